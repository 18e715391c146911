//! Requests -> domain types. All that is wrong with a request is told at once,
//! with the paths of its fields.

mod access;
mod billing;
mod catalog;
mod delivery;
mod events;
mod fields;
mod gate;
mod lists;
mod subscriptions;
mod time;
mod top_ups;

pub(super) use access::{add_principal, create_key, key_id, principal, rotate_key};
pub(super) use billing::{assignment, create_account, grant, link_provider, revoke, suspension};
pub(super) use catalog::catalog;
pub(super) use delivery::{
    create_endpoint, deliveries, disable_endpoint, endpoint_id, mail_kinds, mails, replay,
};
pub(super) use events::{list_events, watch_events};
pub(super) use fields::one_id;
pub(super) use gate::{batch, check, commit, extend, release, reservation_name, reserve};
pub(super) use lists::{accounts, balances, entries, lots, reservations};
pub(super) use subscriptions::{
    cancel_subscription, change_plan, renew_subscription, resume_subscription, start_subscription,
};
pub(super) use time::in_range as time_in_range;
pub(super) use top_ups::{begin_top_up, confirm_top_up, fail_top_up, top_ups};

use crate::domain::catalog_check::Violation;
use lists::Paged;

/// Why a request was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Fields are missing or malformed.
    Request(Vec<Violation>),
    /// The page token is none of this list's.
    PageToken,
}

impl Invalid {
    /// One field is at fault.
    pub(super) fn field(field: &str, description: &str) -> Self {
        Self::Request(vec![Violation {
            field: field.to_owned(),
            description: description.to_owned(),
        }])
    }
}
