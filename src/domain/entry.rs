//! Ledger entries: one movement of credits each, chained by a hash.
//!
//! # The canonical form, version 2
//!
//! `hash = SHA-256(previous hash, 32 bytes, zeros before the first || form)`,
//! where the form is these fields in this order:
//!
//! - a number: 8 bytes, two's complement, big-endian; a time: its microseconds
//!   since 1970 as a number, the smallest number for "never"; a text: its length
//!   in bytes as a number, then its UTF-8 bytes;
//! - account id, credit type (texts); sequence, kind, credits, available,
//!   reserved and spent after it (numbers); reservation id (text, empty for
//!   none), reference, actor (texts); time;
//! - the number of portions, and for each the lot's 16 bytes of id and the
//!   credits moved, then what never changes about that lot: source and credits
//!   it began with (numbers), expiry and creation (times), reference (text), and
//!   the 16 bytes of the lot that its credits were of first, zeros for none.
//!
//! So a lot whose expiry or source was changed shows in the chain too. Version 1
//! ends each portion with the reference.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::credit::{Balance, Lot, LotPortion};
use crate::{
    clock::Timestamp,
    ids::{AccountId, CreditType, ReservationId},
};

/// The version of the canonical form that new entries are hashed with. Of those
/// before it there may be entries for ever.
pub const HASH_VERSION: i16 = 2;

/// What a ledger entry records. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum EntryKind {
    /// available + n.
    Grant = 1,
    /// available - n, reserved + n.
    Reserve = 2,
    /// reserved - n, spent + n.
    Commit = 3,
    /// reserved - n, available + n: released, or the rest of a commit.
    Restore = 4,
    /// reserved - n, available + n: the lease ran out.
    LeaseExpire = 5,
    /// spent - n, available + n.
    Refund = 6,
    /// available - n: a lot expired.
    LotExpire = 7,
    /// available - n: taken back.
    Revoke = 8,
    /// available - n, spent + n: a late commit.
    LateCommit = 9,
}

/// What one credit of a movement does to each part of a balance: -1, 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// To what is available, and to what the lots have left.
    pub available: i64,
    /// To what is reserved.
    pub reserved: i64,
    /// To what is spent.
    pub spent: i64,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Grant,
        Self::Reserve,
        Self::Commit,
        Self::Restore,
        Self::LeaseExpire,
        Self::Refund,
        Self::LotExpire,
        Self::Revoke,
        Self::LateCommit,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == number)
    }

    /// Its name: the wire's, without its prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "GRANT",
            Self::Reserve => "RESERVE",
            Self::Commit => "COMMIT",
            Self::Restore => "RESTORE",
            Self::LeaseExpire => "LEASE_EXPIRE",
            Self::Refund => "REFUND",
            Self::LotExpire => "LOT_EXPIRE",
            Self::Revoke => "REVOKE",
            Self::LateCommit => "LATE_COMMIT",
        }
    }

    /// What it does to a balance.
    #[must_use]
    pub fn effect(self) -> Effect {
        let effect = |available, reserved, spent| Effect { available, reserved, spent };
        match self {
            Self::Grant => effect(1, 0, 0),
            Self::Reserve => effect(-1, 1, 0),
            Self::Commit => effect(0, -1, 1),
            Self::Restore | Self::LeaseExpire => effect(1, -1, 0),
            Self::Refund => effect(1, 0, -1),
            Self::LotExpire | Self::Revoke => effect(-1, 0, 0),
            Self::LateCommit => effect(-1, 0, 1),
        }
    }
}

/// One movement of credits. Entries are only ever added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The type of credit.
    pub credit_type: CreditType,
    /// 1, 2, 3, ... within (account, credit type), with no gaps.
    pub sequence: i64,
    /// What happened.
    pub kind: EntryKind,
    /// Credits moved, positive.
    pub credits: i64,
    /// Available after it.
    pub available_after: i64,
    /// Reserved after it.
    pub reserved_after: i64,
    /// Spent after it.
    pub spent_after: i64,
    /// The reservation, where there is one.
    pub reservation_id: Option<ReservationId>,
    /// What caused it, for people.
    pub reference: String,
    /// Who asked.
    pub actor: String,
    /// When.
    pub create_time: Timestamp,
    /// The lots that it moved credits of; they add up to `credits`.
    pub portions: Vec<LotPortion>,
    /// Over the canonical form and the hash before it.
    pub hash: [u8; 32],
    /// The version of that form.
    pub hash_version: i16,
}

impl Entry {
    /// The hash that this entry must have after `previous`, in the form of its
    /// version. `lot_of` finds the
    /// lot of a portion; one that is missing is hashed by its id alone, which
    /// matches nothing that was ever written.
    #[must_use]
    pub fn compute_hash<'a>(
        &self,
        account_id: &AccountId,
        previous: &[u8; 32],
        lot_of: impl Fn(&LotPortion) -> Option<&'a Lot>,
    ) -> [u8; 32] {
        let mut form = Form(Sha256::new());
        form.0.update(previous);
        form.text(account_id.as_str());
        form.text(self.credit_type.as_str());
        form.number(self.sequence);
        form.number(i64::from(self.kind as i16));
        form.number(self.credits);
        form.number(self.available_after);
        form.number(self.reserved_after);
        form.number(self.spent_after);
        form.text(self.reservation_id.as_ref().map_or("", ReservationId::as_str));
        form.text(&self.reference);
        form.text(&self.actor);
        form.time(Some(self.create_time));
        form.length(self.portions.len());
        for portion in &self.portions {
            form.0.update(portion.lot_id.0.as_bytes());
            form.number(portion.credits);
            if let Some(lot) = lot_of(portion) {
                form.number(i64::from(lot.source as i16));
                form.number(lot.credits);
                form.time(lot.expire_time);
                form.time(Some(lot.create_time));
                form.text(&lot.reference);
                if self.hash_version >= 2 {
                    form.0.update(lot.origin.map_or(Uuid::nil(), |origin| origin.0).as_bytes());
                }
            }
        }
        form.0.finalize().into()
    }

    /// The balance that this entry leaves behind; `held_scans` is not in it.
    #[must_use]
    pub fn balance_after(&self) -> Balance {
        Balance {
            available: self.available_after,
            reserved: self.reserved_after,
            spent: self.spent_after,
            held_scans: 0,
            sequence: self.sequence,
            last_entry_time: self.create_time,
            last_hash: self.hash,
        }
    }
}

/// Writes the canonical form into the hash.
struct Form(Sha256);

impl Form {
    fn number(&mut self, number: i64) {
        self.0.update(number.to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        self.number(i64::try_from(length).unwrap_or(i64::MAX));
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    fn time(&mut self, time: Option<Timestamp>) {
        self.number(time.map_or(i64::MIN, |time| time.timestamp_micros()));
    }
}
