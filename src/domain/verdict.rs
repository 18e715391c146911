//! Verdicts: a scan may run, or why it must not and what would clear that.

use crate::{
    clock::Timestamp,
    ids::{CreditType, PlanName, ReservationId},
};

/// Why a scan is blocked, in the order in which the reasons are tried: where
/// several hold, the first is given. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum BlockReason {
    /// The project belongs to another account, or to none.
    WrongAccount = 5,
    /// An operator or a payment dispute has suspended the account.
    AccountSuspended = 7,
    /// No live plan has such a scan, or none of this size.
    PlanExcludes = 4,
    /// As many scans as the plan or the project allows at once are running.
    ConcurrencyLimit = 6,
    /// Too little is available, and a payment is awaited.
    PaymentPending = 3,
    /// What the account had is spent, held, expired or too little.
    Exhausted = 2,
    /// The account has no plan and never had a credit of this type.
    CreditRequired = 1,
}

impl BlockReason {
    /// Its name on the wire without the prefix: also a metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongAccount => "WRONG_ACCOUNT",
            Self::AccountSuspended => "ACCOUNT_SUSPENDED",
            Self::PlanExcludes => "PLAN_EXCLUDES",
            Self::ConcurrencyLimit => "CONCURRENCY_LIMIT",
            Self::PaymentPending => "PAYMENT_PENDING",
            Self::Exhausted => "EXHAUSTED",
            Self::CreditRequired => "CREDIT_REQUIRED",
        }
    }
}

/// What would clear a block. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Remedy {
    /// Buy credits, subscribe or start a trial.
    TopUp = 1,
    /// Wait for the provider's confirmation.
    WaitForPayment = 2,
    /// Wait until a running scan settles.
    WaitForRunningScan = 3,
    /// Choose another plan, or ask for a smaller scan.
    ChangePlan = 4,
    /// Use the account that owns the project.
    SwitchAccount = 5,
    /// Talk to the operator.
    ContactSupport = 6,
}

/// A payment that the provider has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPayment {
    /// The top-up that waits.
    pub top_up_id: String,
    /// The type of its credits.
    pub credit_type: CreditType,
    /// When it began.
    pub create_time: Timestamp,
    /// When it is given up.
    pub expire_time: Timestamp,
    /// Credits that it brings.
    pub credits: i64,
}

/// Why a scan must not run, what stands in the way, and what would clear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The reason, for programs.
    pub reason: BlockReason,
    /// The reason, for people.
    pub message: String,
    /// What would clear it.
    pub remedy: Remedy,
    /// The type of credits the scan needs; `None` for a free kind.
    pub credit_type: Option<CreditType>,
    /// Credits that the scan needs.
    pub required_credits: i64,
    /// Credits that could be reserved now.
    pub available_credits: i64,
    /// Credits that running scans hold.
    pub reserved_credits: i64,
    /// Up to [`MAX_HOLDERS`] of the reservations in the way, the earliest lease
    /// first: those that hold the credits, or the slots.
    pub holding_reservation_ids: Vec<ReservationId>,
    /// When the first of them expires at the latest.
    pub earliest_return_time: Option<Timestamp>,
    /// For [`BlockReason::PaymentPending`]: the oldest payment that is awaited.
    pub pending_payment: Option<PendingPayment>,
    /// The plans of the account's live subscriptions.
    pub plans: Vec<PlanName>,
    /// When the next allowance of this type is due.
    pub next_grant_time: Option<Timestamp>,
}

/// The most holding reservations that a block names.
pub const MAX_HOLDERS: usize = 10;

/// Whether a scan may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may: this many credits of this type would be held.
    Eligible {
        /// Credits; 0 for a free or covered scan.
        credits: i64,
        /// Their type; `None` for a free kind.
        credit_type: Option<CreditType>,
    },
    /// It must not.
    Blocked(Box<Block>),
}
