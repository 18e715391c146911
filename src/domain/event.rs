//! What is worth telling of an account: derived from its ledger, entry by entry,
//! and from its notices, which tell what no entry shows.
//!
//! An event is a pure function of what is written down for ever, so it is the
//! same whoever tells it, and however often: its id too.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    account::Notice,
    credit::LotSource,
    entry::EntryKind,
    report::{REINSTATEMENT, REVERSAL},
    returns::OWED,
    settle::UNSPENT,
};
use crate::{
    clock::Timestamp,
    ids::{AccountId, CreditType},
};

/// What happened. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum EventKind {
    /// A scan spent credits.
    CreditUsed = 1,
    /// What an account has fell to the warning level.
    LowBalance = 2,
    /// It fell to 0.
    ZeroBalance = 3,
    /// A new period brought its allowance.
    Renewed = 4,
    /// A purchase was confirmed.
    ToppedUp = 5,
    /// Credits came back after a run that did not deliver.
    CreditReturned = 6,
    /// Credits expired.
    CreditExpired = 7,
    /// A subscription will end, or has ended.
    SubscriptionEnding = 8,
    /// A purchase was reversed or is disputed.
    PaymentReversed = 9,
    /// A scan ran that could not be charged.
    UnbilledScan = 10,
    /// Credits were given: by an operator, for a trial, or back after a dispute.
    CreditGranted = 11,
    /// An operator took credits back.
    CreditRevoked = 12,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CreditUsed,
        Self::LowBalance,
        Self::ZeroBalance,
        Self::Renewed,
        Self::ToppedUp,
        Self::CreditReturned,
        Self::CreditExpired,
        Self::SubscriptionEnding,
        Self::PaymentReversed,
        Self::UnbilledScan,
        Self::CreditGranted,
        Self::CreditRevoked,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == number)
    }

    /// Its name, such as `credit_used`: of a webhook's type, and of a setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreditUsed => "credit_used",
            Self::LowBalance => "low_balance",
            Self::ZeroBalance => "zero_balance",
            Self::Renewed => "renewed",
            Self::ToppedUp => "topped_up",
            Self::CreditReturned => "credit_returned",
            Self::CreditExpired => "credit_expired",
            Self::SubscriptionEnding => "subscription_ending",
            Self::PaymentReversed => "payment_reversed",
            Self::UnbilledScan => "unbilled_scan",
            Self::CreditGranted => "credit_granted",
            Self::CreditRevoked => "credit_revoked",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same wherever and however often it is told.
    pub event_id: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// Whose.
    pub account_id: AccountId,
    /// The type of credits, where it is about credits.
    pub credit_type: Option<CreditType>,
    /// Credits that moved.
    pub credits: i64,
    /// Available after it; `None` where no balance is in question.
    pub available: Option<i64>,
    /// The reservation, purchase or subscription in question.
    pub subject: String,
    /// For people, what kind and numbers do not say; mostly empty.
    pub detail: String,
    /// Who asked, where somebody did.
    pub actor: String,
    /// When.
    pub create_time: Timestamp,
    /// Where it stands among the account's events.
    pub place: EventPlace,
}

/// Where an event stands among its account's: by time, then in the order of the
/// ledgers; what a notice tells comes after the entry that it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// When.
    pub time: Timestamp,
    /// The ledger; empty for none.
    pub credit_type: String,
    /// The entry in it; the greatest number for none.
    pub sequence: i64,
    /// The notice; empty for what the entry tells itself.
    pub notice_key: String,
}

/// What of an entry an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFacts {
    /// Whose ledger.
    pub account_id: AccountId,
    /// Of which type.
    pub credit_type: CreditType,
    /// Its place in it.
    pub sequence: i64,
    /// What happened.
    pub kind: EntryKind,
    /// Credits moved.
    pub credits: i64,
    /// Available after it.
    pub available_after: i64,
    /// When.
    pub create_time: Timestamp,
    /// The reservation, where there is one.
    pub reservation_id: Option<String>,
    /// What caused it.
    pub reference: String,
    /// Who asked.
    pub actor: String,
    /// Of a grant: where its lot came from.
    pub source: Option<LotSource>,
}

/// The kind of event that an entry is; `None` for what is told by nobody: a hold,
/// which is news only once it is settled, the unspent rest of one, and what a
/// reversed payment took back, which its notice tells.
#[must_use]
pub fn kind_of(kind: EntryKind, reference: &str, source: Option<LotSource>) -> Option<EventKind> {
    Some(match kind {
        EntryKind::Reserve => return None,
        EntryKind::Restore if reference == UNSPENT => return None,
        EntryKind::Revoke if reference.starts_with(REVERSAL) => return None,
        EntryKind::Grant => match source {
            _ if reference.starts_with(REINSTATEMENT) => EventKind::CreditGranted,
            Some(LotSource::Plan) => EventKind::Renewed,
            Some(LotSource::TopUp) => EventKind::ToppedUp,
            Some(LotSource::Trial | LotSource::Grant | LotSource::Restored) | None => {
                EventKind::CreditGranted
            }
        },
        EntryKind::Commit | EntryKind::LateCommit => EventKind::CreditUsed,
        EntryKind::Restore | EntryKind::LeaseExpire | EntryKind::Refund => {
            EventKind::CreditReturned
        }
        EntryKind::LotExpire => EventKind::CreditExpired,
        EntryKind::Revoke if reference == OWED => EventKind::PaymentReversed,
        EntryKind::Revoke => EventKind::CreditRevoked,
    })
}

impl Event {
    /// What an entry tells, if anything.
    #[must_use]
    pub fn of_entry(facts: EntryFacts) -> Option<Self> {
        let kind = kind_of(facts.kind, &facts.reference, facts.source)?;
        let id = [
            "entry",
            facts.account_id.as_str(),
            facts.credit_type.as_str(),
            &facts.sequence.to_string(),
        ];
        Some(Self {
            event_id: event_id(&id),
            kind,
            place: EventPlace {
                time: facts.create_time,
                credit_type: facts.credit_type.to_string(),
                sequence: facts.sequence,
                notice_key: String::new(),
            },
            account_id: facts.account_id,
            credit_type: Some(facts.credit_type),
            credits: facts.credits,
            available: Some(facts.available_after),
            subject: facts.reservation_id.unwrap_or(facts.reference),
            detail: String::new(),
            actor: facts.actor,
            create_time: facts.create_time,
        })
    }

    /// What a notice tells.
    #[must_use]
    pub fn of_notice(account_id: AccountId, notice: Notice) -> Self {
        Self {
            event_id: event_id(&["notice", account_id.as_str(), &notice.key]),
            kind: notice.kind,
            place: EventPlace {
                time: notice.create_time,
                credit_type: notice
                    .credit_type
                    .as_ref()
                    .map_or_else(String::new, |of| of.to_string()),
                sequence: notice.sequence.unwrap_or(i64::MAX),
                notice_key: notice.key,
            },
            account_id,
            credit_type: notice.credit_type,
            credits: notice.credits,
            available: notice.available,
            subject: notice.subject,
            detail: notice.detail,
            actor: String::new(),
            create_time: notice.create_time,
        }
    }

    /// In words, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let credits = self.counted();
        let left = match self.available {
            Some(0) => "; none are available".to_owned(),
            Some(1) => "; 1 is available".to_owned(),
            Some(available) => format!("; {available} are available"),
            None => String::new(),
        };
        let subject = &self.subject;
        let is_or_are = if self.credits == 1 { "was" } else { "were" };
        match self.kind {
            EventKind::CreditUsed => format!("{credits} {is_or_are} used by {subject}{left}"),
            EventKind::LowBalance => format!(
                "The balance is low: {} left, running scans included",
                counted(self.credits, self.credit_type.as_ref())
            ),
            EventKind::ZeroBalance => format!(
                "The balance is 0: no {}credits are left",
                self.credit_type.as_ref().map_or_else(String::new, |of| format!("{of} "))
            ),
            EventKind::Renewed => format!("A new period brought {credits}{left}"),
            EventKind::ToppedUp => format!("The purchase {subject} brought {credits}{left}"),
            EventKind::CreditReturned => format!("{credits} came back from {subject}{left}"),
            EventKind::CreditExpired => format!("{credits} expired{left}"),
            EventKind::SubscriptionEnding => {
                format!("The subscription {subject} {}", self.detail)
            }
            EventKind::PaymentReversed => {
                format!(
                    "A payment was reversed or is disputed ({subject}): {credits} taken back{left}"
                )
            }
            EventKind::UnbilledScan => format!(
                "The scan {subject} ran longer than its hold, and {credits} could not be charged{left}"
            ),
            EventKind::CreditGranted => format!("{credits} {is_or_are} granted{left}"),
            EventKind::CreditRevoked => format!("{credits} {is_or_are} taken back{left}"),
        }
    }

    fn counted(&self) -> String {
        counted(self.credits, self.credit_type.as_ref())
    }
}

/// Such as "1 scan credit".
fn counted(credits: i64, credit_type: Option<&CreditType>) -> String {
    let of = credit_type.map_or_else(String::new, |of| format!("{of} "));
    format!("{credits} {of}{}", if credits == 1 { "credit" } else { "credits" })
}

/// A UUID of version 8 (RFC 9562): the first bits of a hash of what makes the event
/// one of its own.
fn event_id(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update("creditgate event");
    for part in parts {
        hash.update([0]);
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}
