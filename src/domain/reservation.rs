//! Reservations: a hold for one scan attempt, the states it passes through, and
//! the causes for which a run is released.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::credit::LotPortion;
use crate::{
    clock::Timestamp,
    ids::{CreditType, ProjectId, ReservationId, ScanKindName},
};

/// Where a reservation stands. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ReservationState {
    /// Its credits are held: the only state in which a scan may run.
    Held = 1,
    /// Its credits are spent.
    Committed = 2,
    /// Its credits went back before they were spent.
    Released = 3,
    /// Its lease ran out; its credits went back.
    Expired = 4,
    /// Its credits were spent, then given back.
    Refunded = 5,
}

impl ReservationState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Held, Self::Committed, Self::Released, Self::Expired, Self::Refunded];

    /// The state with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i16 == number)
    }

    /// Its name on the wire, such as `HELD`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Committed => "COMMITTED",
            Self::Released => "RELEASED",
            Self::Expired => "EXPIRED",
            Self::Refunded => "REFUNDED",
        }
    }
}

/// Why a run did not deliver. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum ReleaseCause {
    /// The scheduler never started it.
    NotStarted = 1,
    /// The platform failed.
    PlatformError = 2,
    /// The run outlasted its limit through the platform's fault.
    PlatformTimeout = 3,
    /// The target turned out to be unsupported.
    UnsupportedTarget = 4,
    /// The target could not be reached.
    TargetUnreachable = 5,
    /// The target's ownership proof had lapsed.
    VerificationLapsed = 6,
    /// Its user cancelled it before it began.
    CanceledBeforeStart = 7,
    /// Its user cancelled it after it began.
    CanceledAfterStart = 8,
}

impl ReleaseCause {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotStarted,
        Self::PlatformError,
        Self::PlatformTimeout,
        Self::UnsupportedTarget,
        Self::TargetUnreachable,
        Self::VerificationLapsed,
        Self::CanceledBeforeStart,
        Self::CanceledAfterStart,
    ];

    /// The cause with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as i16 == number)
    }

    /// Its name on the wire without the prefix, such as `PLATFORM_ERROR`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::PlatformError => "PLATFORM_ERROR",
            Self::PlatformTimeout => "PLATFORM_TIMEOUT",
            Self::UnsupportedTarget => "UNSUPPORTED_TARGET",
            Self::TargetUnreachable => "TARGET_UNREACHABLE",
            Self::VerificationLapsed => "VERIFICATION_LAPSED",
            Self::CanceledBeforeStart => "CANCELED_BEFORE_START",
            Self::CanceledAfterStart => "CANCELED_AFTER_START",
        }
    }

    /// Whether the credits return where the catalog's policy says nothing.
    #[must_use]
    pub fn restores_by_default(self) -> bool {
        match self {
            Self::NotStarted
            | Self::PlatformError
            | Self::PlatformTimeout
            | Self::UnsupportedTarget
            | Self::CanceledBeforeStart => true,
            Self::TargetUnreachable | Self::VerificationLapsed | Self::CanceledAfterStart => false,
        }
    }

    /// Whether the run failed through no fault of the account's owner: then
    /// credits that return to an expired lot live on in a new one.
    #[must_use]
    pub fn is_platforms_fault(self) -> bool {
        match self {
            Self::NotStarted
            | Self::PlatformError
            | Self::PlatformTimeout
            | Self::UnsupportedTarget => true,
            Self::TargetUnreachable
            | Self::VerificationLapsed
            | Self::CanceledBeforeStart
            | Self::CanceledAfterStart => false,
        }
    }
}

/// What became of released credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Held credits went back to the account.
    Restored,
    /// The credits stay, or became, spent.
    Consumed,
    /// Spent credits went back to the account.
    Refunded,
}

/// The scan that a request is about, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The project; `None` for a scan of no project.
    pub project_id: Option<ProjectId>,
    /// The kind of scan.
    pub scan_kind: ScanKindName,
    /// Credits asked for; 0 for the catalog's price.
    pub credits: i64,
}

/// A hold on credits for one scan attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The caller's id.
    pub reservation_id: ReservationId,
    /// The scan, as it was sent: what a retry is compared with.
    pub sent: Scan,
    /// The lease, as it was sent.
    pub sent_lease: Option<TimeDelta>,
    /// The type of its credits; `None` for a free kind.
    pub credit_type: Option<CreditType>,
    /// Credits held at the start; 0 for a free or covered scan.
    pub credits: i64,
    /// Credits that a commit spent; kept when they are refunded.
    pub committed_credits: i64,
    /// Where it stands.
    pub state: ReservationState,
    /// When it was made.
    pub create_time: Timestamp,
    /// When its lease ends.
    pub expire_time: Timestamp,
    /// When it was settled; `None` while held.
    pub settle_time: Option<Timestamp>,
    /// Why it was released, where it was.
    pub release_cause: Option<ReleaseCause>,
    /// True where it was committed after its lease had run out.
    pub late: bool,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// The lots that its credits came from: they add up to `credits` while it
    /// is held, and to `committed_credits` once it is committed.
    pub portions: Vec<LotPortion>,
    /// The sequences of its ledger entries, in the ledger of its credit type.
    pub entries: Vec<i64>,
}

impl Reservation {
    /// Credits spent so far, refunds taken off.
    #[must_use]
    pub fn spent_credits(&self) -> i64 {
        match self.state {
            ReservationState::Refunded => 0,
            _ => self.committed_credits,
        }
    }

    /// True while it holds credits or a slot.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == ReservationState::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_states_and_causes_read_back() {
        for state in ReservationState::ALL {
            assert_eq!(ReservationState::from_number(state as i16), Some(state));
        }
        for cause in ReleaseCause::ALL {
            assert_eq!(ReleaseCause::from_number(cause as i16), Some(cause));
        }
        assert_eq!(ReservationState::from_number(0), None);
        assert_eq!(ReleaseCause::from_number(9), None);
    }
}
