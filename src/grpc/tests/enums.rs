//! The domain's numbers are the wire's: they are cast, so they have to agree,
//! value by value and in number.

use std::fmt::Debug;

use crate::{
    domain::{
        credit::LotSource,
        entry::EntryKind,
        payment::TopUpStatus,
        reservation::{ReleaseCause, ReservationState},
        subscription::{BillingInterval, SubscriptionStatus},
        verdict::{BlockReason, Remedy},
    },
    proto,
};

/// `LateCommit` -> `LATE_COMMIT`.
fn upper_snake(value: impl Debug) -> String {
    let mut name = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

macro_rules! agrees {
    ($proto:ty, $prefix:literal, $values:expr) => {
        let values = $values;
        for value in values {
            let wire = <$proto>::try_from(value as i32).unwrap();
            let name = format!("{}{}", $prefix, upper_snake(value));
            assert_eq!(wire.as_str_name(), name);
        }
        let on_the_wire = (1..100).filter(|n| <$proto>::try_from(*n).is_ok()).count();
        assert_eq!(on_the_wire, values.len(), $prefix);
    };
}

#[test]
fn every_number_means_the_same_on_both_sides() {
    agrees!(proto::ReservationState, "RESERVATION_STATE_", ReservationState::ALL);
    agrees!(proto::ReleaseCause, "RELEASE_CAUSE_", ReleaseCause::ALL);
    agrees!(proto::LotSource, "LOT_SOURCE_", LotSource::ALL);
    agrees!(proto::LedgerEntryKind, "LEDGER_ENTRY_KIND_", EntryKind::ALL);
    agrees!(
        proto::SubscriptionStatus,
        "SUBSCRIPTION_STATUS_",
        [1, 2, 3, 4, 5].map(|number| SubscriptionStatus::from_number(number).unwrap())
    );
    agrees!(
        proto::BillingInterval,
        "BILLING_INTERVAL_",
        [BillingInterval::Month, BillingInterval::Year]
    );
    agrees!(proto::TopUpStatus, "TOP_UP_STATUS_", TopUpStatus::ALL);
    agrees!(
        proto::BlockReason,
        "BLOCK_REASON_",
        [
            BlockReason::WrongAccount,
            BlockReason::AccountSuspended,
            BlockReason::PlanExcludes,
            BlockReason::ConcurrencyLimit,
            BlockReason::PaymentPending,
            BlockReason::Exhausted,
            BlockReason::CreditRequired,
        ]
    );
    agrees!(
        proto::Remedy,
        "REMEDY_",
        [
            Remedy::TopUp,
            Remedy::WaitForPayment,
            Remedy::WaitForRunningScan,
            Remedy::ChangePlan,
            Remedy::SwitchAccount,
            Remedy::ContactSupport,
        ]
    );
}
