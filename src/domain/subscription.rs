//! Subscriptions, and what the live ones together allow.

use serde::{Deserialize, Serialize};

use super::{
    account::AccountState,
    catalog::{Catalog, ScanKind},
    command::PROVIDER_MANUAL,
    telling,
};
use crate::{
    clock::Timestamp,
    ids::{PlanName, SubscriptionId},
};

/// Where a subscription stands. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum SubscriptionStatus {
    /// An approved trial.
    Trialing = 1,
    /// Paid.
    Active = 2,
    /// A renewal has not been paid.
    PastDue = 3,
    /// Paused at the provider.
    Paused = 4,
    /// Ended.
    Canceled = 5,
}

impl SubscriptionStatus {
    /// The status with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        [Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Canceled]
            .into_iter()
            .find(|status| *status as i16 == number)
    }
}

/// How often a subscription renews. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum BillingInterval {
    /// Each calendar month.
    Month = 1,
    /// Each year.
    Year = 2,
}

impl BillingInterval {
    /// The interval with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        [Self::Month, Self::Year].into_iter().find(|interval| *interval as i16 == number)
    }
}

/// An account's subscription to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub subscription_id: SubscriptionId,
    /// The plan.
    pub plan: PlanName,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// How often it renews.
    pub interval: BillingInterval,
    /// Who renews it: "manual" or a provider.
    pub provider: String,
    /// When the current period (or the trial) began.
    pub period_start_time: Timestamp,
    /// When the current period (or the trial) ends.
    pub period_end_time: Timestamp,
    /// True where it ends with the current period.
    pub cancel_at_period_end: bool,
    /// When it began: renewals keep to its day of the month.
    pub anchor_time: Timestamp,
    /// When it was first heard of here.
    pub create_time: Timestamp,
    /// When it ended, once it has.
    pub end_time: Option<Timestamp>,
    /// What it was started with here; `None` for one that a provider keeps, or
    /// that was imported.
    pub sent: Option<SentSubscription>,
    /// When its provider last said how it stands.
    pub provider_time: Option<Timestamp>,
}

/// What a subscription was started with, as its caller sent it: what a retry is
/// compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentSubscription {
    /// The plan.
    pub plan: PlanName,
    /// How often it renews.
    pub interval: BillingInterval,
    /// When the first period began; `None` for then.
    pub start_time: Option<Timestamp>,
    /// The trial, where it began as one.
    pub trial: Option<Trial>,
}

/// A trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// When it ends.
    pub end_time: Timestamp,
    /// Credits to try with, of the plan's first credit type; may be 0.
    pub credits: i64,
}

/// Starts a manual subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSubscription {
    /// The caller's id for it, and the idempotency key. `None`: a live one to
    /// the same plan and interval is replayed.
    pub subscription_id: Option<SubscriptionId>,
    /// What it is to be.
    pub sent: SentSubscription,
}

impl Subscription {
    /// True unless it has been canceled. Where its end is due, [`super::due`]
    /// cancels it before anything else is decided.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status != SubscriptionStatus::Canceled
    }

    /// True where its plan covers scans and brings credits: while it is paid
    /// or tried, not while a payment is missing.
    #[must_use]
    pub fn is_in_good_standing(&self) -> bool {
        matches!(self.status, SubscriptionStatus::Trialing | SubscriptionStatus::Active)
    }

    /// When it ends by itself: a trial that was not activated with the trial, a
    /// cancelled one with its period. Of a provider's trial the provider says so:
    /// that it became a paid period is reported only after that moment.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let is_trial =
            self.status == SubscriptionStatus::Trialing && self.provider == PROVIDER_MANUAL;
        (self.is_live() && (is_trial || self.cancel_at_period_end)).then_some(self.period_end_time)
    }

    /// When its next period begins by itself: an active one that this service
    /// keeps. A provider's waits for the provider.
    #[must_use]
    pub fn renews_at(&self) -> Option<Timestamp> {
        (self.status == SubscriptionStatus::Active
            && self.provider == PROVIDER_MANUAL
            && !self.cancel_at_period_end)
            .then_some(self.period_end_time)
    }

    /// Ends it.
    pub fn end(&mut self, time: Timestamp) {
        self.status = SubscriptionStatus::Canceled;
        self.end_time = Some(time);
    }
}

impl AccountState {
    /// A subscription by its id: a live one, or one that a command names.
    #[must_use]
    pub fn subscription(&self, id: &SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|known| known.subscription_id == *id)
    }

    /// Keeps a subscription that has changed, and notes what is worth telling of it.
    pub fn change_subscription(&mut self, subscription: Subscription, now: Timestamp) {
        let known = self.subscription(&subscription.subscription_id);
        let notice = telling::ending(known, &subscription, now);
        self.notices.extend(notice);
        self.put_subscription(subscription);
    }

    /// Keeps a subscription.
    pub fn put_subscription(&mut self, subscription: Subscription) {
        self.account.subscriptions += 1;
        let id = &subscription.subscription_id;
        match self.subscriptions.iter_mut().find(|known| known.subscription_id == *id) {
            Some(known) => *known = subscription,
            None => {
                self.subscriptions.push(subscription);
                self.subscriptions.sort_by(|a, b| a.subscription_id.cmp(&b.subscription_id));
            }
        }
    }
}

/// What the live subscriptions of an account allow for one kind of scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inclusion {
    /// No live subscription includes it, or none of this size.
    Excluded,
    /// A scan of this kind may run, for credits.
    Included,
    /// A plan in good standing covers it: it takes no credits.
    Covered,
}

/// What an account's live subscriptions say of a scan of `credits` credits: a
/// kind is included if one of them includes it, covered if one covers it, of
/// the largest size that one allows.
#[must_use]
pub fn inclusion<'a>(
    live: impl Iterator<Item = &'a Subscription>,
    catalog: &Catalog,
    kind: &ScanKind,
    credits: i64,
) -> Inclusion {
    let mut best = Inclusion::Excluded;
    for subscription in live {
        let Some(plan) = catalog.plan(&subscription.plan) else { continue };
        for scan in plan.scans.iter().filter(|scan| scan.scan_kind == kind.name) {
            if scan.max_credits > 0 && credits > scan.max_credits {
                continue;
            }
            if scan.covered && subscription.is_in_good_standing() {
                return Inclusion::Covered;
            }
            best = Inclusion::Included;
        }
    }
    best
}

/// How many scans at once the live subscriptions allow together; `None` for no
/// limit: no plan, or one that sets none.
#[must_use]
pub fn concurrency_limit<'a>(
    live: impl Iterator<Item = &'a Subscription>,
    catalog: &Catalog,
) -> Option<i64> {
    let mut limit = None;
    for subscription in live {
        match catalog.plan(&subscription.plan).map_or(0, |plan| plan.max_concurrent_scans) {
            0 => return None,
            scans => limit = Some(limit.unwrap_or(0) + i64::from(scans)),
        }
    }
    limit
}
