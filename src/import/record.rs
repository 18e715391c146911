//! What one line brings: its values checked, one by one. Whether there is such an
//! account, type of credits or plan is for others to say.

use std::sync::Arc;

use super::{
    fields::{Column, Fields},
    values::Values,
};
use crate::{
    billing::bulk::NewAccount,
    clock::Timestamp,
    domain::{
        command::PROVIDER_MANUAL,
        credit::LotSource,
        subscription::{BillingInterval, Subscription, SubscriptionStatus},
    },
    ids::{AccountId, CreditType, OperationId, PlanName, ProjectId, SubscriptionId},
};

/// The most bytes of a name or a reason, as the wire has it.
const MAX_TEXT_BYTES: usize = 256;
/// The reason of a lot that comes without one.
const DEFAULT_REASON: &str = "imported";
/// The provider that may keep subscriptions.
pub(super) const PROVIDER_PADDLE: &str = "paddle";

/// What a line brings.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    Account(NewAccount),
    Project(Project),
    Lot(Lot),
    Subscription(Box<AccountSubscription>),
}

/// A project and its account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Project {
    pub(super) project_id: ProjectId,
    pub(super) account_id: AccountId,
}

/// What is left of a lot of credits. Files have millions: it is kept small.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lot {
    pub(super) account_id: AccountId,
    /// The key of its grant.
    pub(super) lot_id: OperationId,
    pub(super) credit_type: CreditType,
    pub(super) credits: i64,
    pub(super) source: LotSource,
    pub(super) expire_time: Option<Timestamp>,
    pub(super) reason: Arc<str>,
}

/// A subscription and its account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AccountSubscription {
    pub(super) account_id: AccountId,
    pub(super) subscription: Subscription,
}

/// What a line brings, or all that is wrong with it.
pub(super) fn record(fields: &Fields<'_>) -> Result<Record, String> {
    let mut values = Values::new(fields);
    let record = match values.given(Column::Type) {
        Some("account") => account(&mut values).map(Record::Account),
        Some("project") => project(&mut values).map(Record::Project),
        Some("lot") => lot(&mut values).map(Record::Lot),
        Some("subscription") => {
            subscription(&mut values).map(|found| Record::Subscription(Box::new(found)))
        }
        None => return Err("type is required: account, project, lot or subscription".to_owned()),
        Some(other) => {
            return Err(format!(
                "type is {other:?}: account, project, lot and subscription are allowed"
            ));
        }
    };
    values.finish(record)
}

/// The account that a line was to bring, where it says at least that: what refers
/// to it is not wrong for it.
pub(super) fn account_meant(fields: &Fields<'_>) -> Option<AccountId> {
    let is_account = fields.get(Column::Type) == Some("account");
    let account_id = fields.get(Column::AccountId).filter(|_| is_account)?;
    AccountId::new(account_id).ok()
}

fn account(values: &mut Values<'_>) -> Option<NewAccount> {
    let account_id = values.id(Column::AccountId, AccountId::new);
    let display_name = values.text(Column::DisplayName, MAX_TEXT_BYTES);
    let billing_email = values.email(Column::BillingEmail);
    Some(NewAccount {
        account_id: account_id?,
        display_name: display_name?.to_owned(),
        billing_email: billing_email?,
    })
}

fn project(values: &mut Values<'_>) -> Option<Project> {
    let project_id = values.id(Column::ProjectId, ProjectId::new);
    let account_id = values.id(Column::AccountId, AccountId::new);
    Some(Project { project_id: project_id?, account_id: account_id? })
}

fn lot(values: &mut Values<'_>) -> Option<Lot> {
    let lot_id = values.id(Column::LotId, OperationId::of_caller);
    let account_id = values.id(Column::AccountId, AccountId::new);
    let credit_type = values.id(Column::CreditType, CreditType::new);
    let credits = values.credits(Column::Credits);
    let source = values.choice(
        Column::Source,
        &[
            ("plan", LotSource::Plan),
            ("top_up", LotSource::TopUp),
            ("trial", LotSource::Trial),
            ("grant", LotSource::Grant),
        ],
    );
    let expire_time = values.time(Column::ExpireTime);
    let reason = reason(values, source, credit_type.as_ref());
    Some(Lot {
        account_id: account_id?,
        lot_id: lot_id?,
        credit_type: credit_type?,
        credits: credits?,
        source: source?,
        expire_time: expire_time?,
        reason: reason?,
    })
}

/// Why there is a lot. Of a plan's it may be said of which period it is: then it
/// is named as one that was granted here, so that what a plan does not let roll
/// over is found.
fn reason(
    values: &mut Values<'_>,
    source: Option<LotSource>,
    credit_type: Option<&CreditType>,
) -> Option<Arc<str>> {
    let has_period = [Column::SubscriptionId, Column::PeriodStartTime]
        .into_iter()
        .any(|column| values.given(column).is_some());
    let reason = values.text(Column::Reason, MAX_TEXT_BYTES);
    if !has_period {
        return reason.map(|reason| match reason.trim() {
            "" => DEFAULT_REASON.into(),
            _ => reason.into(),
        });
    }
    let subscription_id = values.id(Column::SubscriptionId, SubscriptionId::new);
    let start = values.required_time(Column::PeriodStartTime);
    if source.is_some_and(|source| source != LotSource::Plan) {
        values.wrong(Column::SubscriptionId, "is for lots of source plan");
    }
    if reason.is_some_and(|reason| !reason.is_empty()) {
        values.wrong(Column::Reason, "is not for a lot with a subscription_id: it is its period");
    }
    let id = OperationId::of_period(&subscription_id?, credit_type?, start?);
    Some(id.as_str().into())
}

fn subscription(values: &mut Values<'_>) -> Option<AccountSubscription> {
    let subscription_id = values.id(Column::SubscriptionId, SubscriptionId::new);
    let account_id = values.id(Column::AccountId, AccountId::new);
    let plan = values.id(Column::Plan, PlanName::new);
    // One that has ended brings nothing.
    let status = values.choice(
        Column::Status,
        &[
            ("trialing", SubscriptionStatus::Trialing),
            ("active", SubscriptionStatus::Active),
            ("past_due", SubscriptionStatus::PastDue),
            ("paused", SubscriptionStatus::Paused),
        ],
    );
    let interval = values.choice(
        Column::Interval,
        &[("month", BillingInterval::Month), ("year", BillingInterval::Year)],
    );
    let provider = match values.given(Column::Provider) {
        None => Some(PROVIDER_MANUAL),
        Some(_) => values.choice(
            Column::Provider,
            &[(PROVIDER_MANUAL, PROVIDER_MANUAL), (PROVIDER_PADDLE, PROVIDER_PADDLE)],
        ),
    };
    let start = values.required_time(Column::PeriodStartTime);
    let end = values.required_time(Column::PeriodEndTime);
    let anchor = values.time(Column::AnchorTime);
    let cancel = match values.given(Column::CancelAtPeriodEnd) {
        None => Some(false),
        Some(_) => values.choice(Column::CancelAtPeriodEnd, &[("true", true), ("false", false)]),
    };
    let (start, end) = (start?, end?);
    let anchor_time = anchor?.unwrap_or(start);
    if end <= start {
        values.wrong(Column::PeriodEndTime, "is not after period_start_time");
    }
    if anchor_time > start {
        values.wrong(Column::AnchorTime, "is after period_start_time");
    }
    let subscription = Subscription {
        subscription_id: subscription_id?,
        plan: plan?,
        status: status?,
        interval: interval?,
        provider: provider?.to_owned(),
        period_start_time: start,
        period_end_time: end,
        cancel_at_period_end: cancel?,
        anchor_time,
        create_time: anchor_time,
        end_time: None,
        sent: None,
        provider_time: None,
    };
    Some(AccountSubscription { account_id: account_id?, subscription })
}
