//! What can be asked of an account, and what is answered.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    account::Account,
    credit::{Balance, Lot, LotSource},
    payment::{BeginTopUp, TopUp, TopUpStatus},
    provider::ProviderEvent,
    reservation::{Disposition, ReleaseCause, Reservation, ReservationState, Scan},
    subscription::{StartSubscription, Subscription},
    verdict::Block,
};
use crate::{
    clock::Timestamp,
    ids::{AccountId, CreditType, OperationId, PlanName, ReservationId, SubscriptionId},
};

/// The provider of what this service itself renews and confirms.
pub const PROVIDER_MANUAL: &str = "manual";

/// One thing that somebody wants done to one account. Every command may be
/// sent again: it then has no further effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The account.
    pub account_id: AccountId,
    /// Who asks: the name of the credential, or of the worker.
    pub actor: String,
    /// What for.
    pub action: Action,
}

/// The kinds of command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Whether a scan would be let through; decided on a copy, never written.
    Check(Scan),
    /// Hold credits for a scan.
    Reserve(Reserve),
    /// Prolong a lease, counted from now.
    Extend {
        /// Whose.
        reservation_id: ReservationId,
        /// The new lease, positive.
        lease: TimeDelta,
    },
    /// Spend a hold.
    Commit {
        /// Which.
        reservation_id: ReservationId,
        /// Credits, at least 1; `None` for all that is held.
        credits: Option<i64>,
    },
    /// Report a run that did not deliver.
    Release {
        /// Which.
        reservation_id: ReservationId,
        /// Why.
        cause: ReleaseCause,
        /// A note for the ledger; may be empty.
        note: String,
    },
    /// Free a hold whose lease has run out; nothing where it has not.
    ExpireLease {
        /// Which.
        reservation_id: ReservationId,
    },
    /// Bring credits in.
    Grant(Grant),
    /// Take available credits back.
    Revoke(Revoke),
    /// Suspend the account, or lift that.
    SetSuspension {
        /// Whether it is suspended from now on.
        suspended: bool,
        /// Why.
        reason: String,
    },
    /// Only apply what is due: for accounts that nobody calls for.
    ApplyDue,
    /// Start a subscription or a trial, and grant its first allowance.
    StartSubscription(StartSubscription),
    /// Begin the next period of a manual subscription that is due, or turn its
    /// trial into a paid period.
    RenewSubscription {
        /// Which; `None` for the only live one.
        subscription_id: Option<SubscriptionId>,
        /// When the new period begins; `None` for the one that is due.
        period_start_time: Option<Timestamp>,
    },
    /// Move a manual subscription to another plan.
    ChangePlan {
        /// Which; `None` for the only live one.
        subscription_id: Option<SubscriptionId>,
        /// The new plan.
        plan: PlanName,
    },
    /// End a manual subscription with its period, or now.
    CancelSubscription {
        /// Which; `None` for the only live one.
        subscription_id: Option<SubscriptionId>,
        /// Now.
        immediately: bool,
    },
    /// Take a scheduled cancellation back.
    ResumeSubscription {
        /// Which; `None` for the only live one.
        subscription_id: Option<SubscriptionId>,
    },
    /// Take a subscription over as it stands, without granting anything.
    ImportSubscription(Box<Subscription>),
    /// Open a purchase.
    BeginTopUp(BeginTopUp),
    /// Confirm a manual purchase, and grant its credits.
    ConfirmTopUp {
        /// Which.
        top_up_id: OperationId,
        /// The payment, for people; may be empty.
        provider_reference: String,
    },
    /// Close a purchase that will not be paid.
    FailTopUp {
        /// Which.
        top_up_id: OperationId,
        /// Why, for people.
        reason: String,
    },
    /// Give up waiting for a payment; nothing where it is not due.
    ExpireTopUp {
        /// Which.
        top_up_id: OperationId,
    },
    /// Apply what a payment provider reported.
    ApplyEvent(Box<ProviderEvent>),
}

/// A request to hold credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The caller's id for the scan attempt.
    pub reservation_id: ReservationId,
    /// The scan.
    pub scan: Scan,
    /// How long the hold lasts; `None` for the kind's default.
    pub lease: Option<TimeDelta>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
}

/// What a credit movement outside a scan is keyed by. The numbers are the
/// database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum OperationKind {
    /// An operator's grant.
    Grant = 1,
    /// An operator's revocation.
    Revocation = 2,
    /// A confirmed purchase.
    TopUp = 3,
    /// A subscription's period.
    Period = 4,
    /// A purchase that was reversed, in part or whole.
    Reversal = 5,
    /// A reversal that was itself reversed.
    Reinstatement = 6,
    /// What was left of a lot in another system.
    Import = 7,
}

impl OperationKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        [
            Self::Grant,
            Self::Revocation,
            Self::TopUp,
            Self::Period,
            Self::Reversal,
            Self::Reinstatement,
            Self::Import,
        ]
        .into_iter()
        .find(|kind| *kind as i16 == number)
    }
}

/// The key of an operation within its account.
pub type OperationKey = (OperationKind, OperationId);

/// Credits that come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The idempotency key.
    pub key: OperationKey,
    /// Where they come from.
    pub source: LotSource,
    /// Their type.
    pub credit_type: CreditType,
    /// How many, 1 to [`super::credit::MAX_CREDITS`].
    pub credits: i64,
    /// When what is left expires.
    pub expire_time: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}

/// Credits that are taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The idempotency key.
    pub key: OperationKey,
    /// Their type.
    pub credit_type: CreditType,
    /// How many, 1 to [`super::credit::MAX_CREDITS`].
    pub credits: i64,
    /// Why, for people.
    pub reason: String,
}

/// An answer. `balance` is the one after the command; `replayed` is true where
/// an earlier command had already had the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the enum's, explained above it")]
pub enum Outcome {
    /// The scan would run.
    Eligible { credits: i64, credit_type: Option<CreditType>, balance: Option<Balance> },
    /// The scan may run.
    Reserved { reservation: Reservation, balance: Option<Balance>, replayed: bool },
    /// The scan must not run, or would not.
    Blocked { block: Box<Block>, balance: Option<Balance> },
    /// The lease has its new end.
    Extended { reservation: Reservation },
    /// The hold is spent.
    Committed { reservation: Reservation, balance: Option<Balance>, replayed: bool },
    /// The run is settled.
    Released {
        reservation: Reservation,
        disposition: Disposition,
        restored_credits: i64,
        balance: Option<Balance>,
        replayed: bool,
    },
    /// Whether a hold was freed.
    LeaseExpired { freed: bool },
    /// Credits came in.
    Granted { lot: Lot, balance: Balance, replayed: bool },
    /// Credits were taken back.
    Revoked { balance: Balance, replayed: bool },
    /// The account is suspended, or no longer.
    SuspensionSet { account: Account },
    /// What was due is done.
    DueApplied,
    /// A subscription has begun, or a new period of one; with all balances.
    Subscribed { subscription: Subscription, balances: Vec<(CreditType, Balance)>, replayed: bool },
    /// A subscription is as it was asked to be.
    SubscriptionChanged { subscription: Subscription },
    /// A purchase is open.
    TopUpBegun { top_up: TopUp, replayed: bool },
    /// A purchase is paid.
    TopUpConfirmed { top_up: TopUp, balance: Balance, replayed: bool },
    /// A purchase is closed, or was already.
    TopUpClosed { top_up: TopUp },
    /// A provider's report has had its effect.
    EventApplied { replayed: bool },
}

/// Why a command cannot be carried out. None of it is a verdict on a scan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message names its fields")]
pub enum Refusal {
    #[error("there is no account {account_id}")]
    AccountNotFound { account_id: AccountId },
    #[error("account has no reservation {reservation_id}")]
    ReservationNotFound { reservation_id: ReservationId },
    #[error(
        "reservation {reservation_id} was made with another {field}: a new attempt needs a new id"
    )]
    ReservationIdReused { reservation_id: ReservationId, field: &'static str },
    #[error("reservation {reservation_id} is {}: {advice}", state.name())]
    ReservationSettled {
        reservation_id: ReservationId,
        state: ReservationState,
        advice: &'static str,
    },
    #[error(
        "the lease of reservation {reservation_id} had run out and only {available} credits are \
         available: the scan stays unbilled"
    )]
    ReservationExpired { reservation_id: ReservationId, available: i64 },
    #[error("the reservation holds {held} credits")]
    CreditsExceedHold { held: i64 },
    #[error("the catalog has no kind of scan {name:?}")]
    ScanKindUnknown { name: String },
    #[error("a scan of kind {name} has no set price: say how many credits it needs")]
    CreditsRequired { name: String },
    #[error("a scan of kind {name} is free: leave the credits out")]
    CreditsNotTaken { name: String },
    #[error("the longest lease of this kind is {} s", max.num_seconds())]
    LeaseTooLong { max: TimeDelta },
    #[error("the catalog has no credit type {name:?}")]
    CreditTypeUnknown { name: String },
    #[error("operation {operation_id} was made with another {field}: a new one needs a new id")]
    OperationIdReused { operation_id: OperationId, field: &'static str },
    #[error("the lot of operation {operation_id} is gone from the ledger: run `creditgate verify`")]
    LotMissing { operation_id: OperationId },
    #[error("the expiry lies in the past")]
    ExpiryInPast,
    #[error("only {available} credits are available")]
    InsufficientCredits { available: i64 },
    #[error("the account would have more credits than can be counted")]
    BalanceTooLarge,
    #[error("the catalog has no plan {name:?}")]
    PlanUnknown { name: String },
    #[error("the account has no {}", which(subscription_id.as_ref()))]
    SubscriptionNotFound { subscription_id: Option<SubscriptionId> },
    #[error("the account has {count} live subscriptions: say which one")]
    SubscriptionAmbiguous { count: usize },
    #[error("subscription {subscription_id} has ended: start a new one")]
    SubscriptionEnded { subscription_id: SubscriptionId },
    #[error(
        "subscription {subscription_id} was started with another {field}: a new one needs a new id"
    )]
    SubscriptionIdReused { subscription_id: SubscriptionId, field: &'static str },
    #[error("{subject} is kept by {provider}: change it there")]
    ProviderManaged { subject: String, provider: String },
    #[error("the subscription would begin in the future")]
    StartInFuture,
    #[error("the first period would have ended already: import the subscription instead")]
    StartTooEarly,
    #[error("a trial must end after it begins, and after now")]
    TrialEndInvalid,
    #[error("plan {plan} has no credit type to try")]
    TrialWithoutCredits { plan: PlanName },
    #[error("the next period begins at {}: nothing is due yet", due.to_rfc3339())]
    PeriodNotDue { due: Timestamp },
    #[error("no period begins then: the next one begins at {}", next.to_rfc3339())]
    PeriodUnknown { next: Timestamp },
    #[error("{credit_type} credits are not for sale to this account: it needs a plan with a price")]
    NotForSale { credit_type: CreditType },
    #[error("the price would be more than can be counted")]
    PriceTooLarge,
    #[error("there is no top-up {top_up_id}")]
    TopUpNotFound { top_up_id: OperationId },
    #[error("top-up {top_up_id} was begun with another {field}: a new one needs a new id")]
    TopUpIdReused { top_up_id: OperationId, field: &'static str },
    #[error("top-up {top_up_id} is {}: {advice}", status.name())]
    TopUpSettled { top_up_id: OperationId, status: TopUpStatus, advice: &'static str },
    #[error("payment {transaction_id} has not been completed here")]
    TransactionUnknown { transaction_id: String },
    #[error("the catalog has no price {price_id}: add it, then replay the event")]
    PriceUnknown { price_id: String },
    #[error("the report is not understood: {what}")]
    ReportNotUnderstood { what: &'static str },
}

fn which(subscription_id: Option<&SubscriptionId>) -> String {
    subscription_id.map_or("live subscription".to_owned(), |id| format!("subscription {id}"))
}
