//! A statement: one account's whole ledger, with what shows that a checkpoint
//! vouches for it. Whoever has it, and the public key, can check it without the
//! gate and without its operator.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Checkpoint, CheckpointError, Hash, Heads, hash, leaf, merkle, note::PublicKey};
use crate::{
    clock::Timestamp,
    domain::{
        credit::{Lot, LotPortion, LotSource},
        entry::{Entry, EntryKind},
        head::Head,
        replay::replay,
    },
    ids::{AccountId, CreditType, LotId, ReservationId},
};

/// What a statement says that it is.
const FORMAT: &str = "creditgate statement v1";

/// How long before its end a transaction may have taken the time of its entries.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// One account's ledger, as it is written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    format: String,
    account_id: AccountId,
    /// When it was made: after the checkpoint.
    create_time: Timestamp,
    /// The checkpoint's note, as it was published.
    checkpoint: String,
    /// How the checkpoint vouches for the ledgers that there were.
    proofs: Vec<Proof>,
    lots: Vec<StatedLot>,
    /// By credit type and sequence.
    entries: Vec<StatedEntry>,
}

/// That the head of one credit type's ledger is under the checkpoint's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    credit_type: CreditType,
    sequence: i64,
    /// Its place among all heads.
    index: u64,
    /// Base64, from the leaf to the root.
    path: Vec<String>,
}

/// What never changes about a lot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StatedLot {
    lot_id: Uuid,
    credit_type: CreditType,
    source: String,
    credits: i64,
    expire_time: Option<Timestamp>,
    create_time: Timestamp,
    reference: String,
    origin_lot_id: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StatedEntry {
    credit_type: CreditType,
    sequence: i64,
    kind: String,
    credits: i64,
    available_after: i64,
    reserved_after: i64,
    spent_after: i64,
    create_time: Timestamp,
    reservation_id: Option<ReservationId>,
    reference: String,
    actor: String,
    portions: Vec<StatedPortion>,
    /// Base64.
    hash: String,
    hash_version: i16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StatedPortion {
    lot_id: Uuid,
    credits: i64,
}

/// What a check of a statement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose ledger it is.
    pub account_id: AccountId,
    /// The checkpoint that vouches for it.
    pub checkpoint: Checkpoint,
    /// What there is of each credit type.
    pub ledgers: Vec<CheckedLedger>,
    /// What is wrong, for people; empty where all holds.
    pub findings: Vec<String>,
}

/// One credit type's ledger, followed from its first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLedger {
    /// Of which credits.
    pub credit_type: CreditType,
    /// Entries that the checkpoint vouches for.
    pub vouched: i64,
    /// Entries after it: the next checkpoint's.
    pub later: i64,
    /// Credits available, reserved and spent after the last entry.
    pub balance: (i64, i64, i64),
}

impl Statement {
    /// One account's ledger, and how this checkpoint vouches for it. `lots` are all
    /// that the entries name, `entries` sorted by credit type and sequence.
    #[must_use]
    pub fn new(
        account_id: &AccountId,
        create_time: Timestamp,
        note: &str,
        heads: &Heads,
        lots: &[Lot],
        entries: &[Entry],
    ) -> Self {
        let leaves = heads.leaves();
        let places = heads.places_of(account_id);
        let proofs = places.zip(heads.of(account_id)).map(|(place, head)| Proof {
            credit_type: head.credit_type.clone(),
            sequence: head.sequence,
            index: place as u64,
            path: merkle::path(&leaves, place)
                .unwrap_or_default()
                .iter()
                .map(|hash| STANDARD.encode(hash))
                .collect(),
        });
        Self {
            format: FORMAT.to_owned(),
            account_id: account_id.clone(),
            create_time,
            checkpoint: note.to_owned(),
            proofs: proofs.collect(),
            lots: lots.iter().map(StatedLot::of).collect(),
            entries: entries.iter().map(StatedEntry::of).collect(),
        }
    }

    /// Checks it: every entry from the first, and that the checkpoint, signed with
    /// this key, vouches for all of its time.
    ///
    /// # Errors
    ///
    /// Its checkpoint was not signed with this key, or is none.
    pub fn check(&self, key: &PublicKey) -> Result<Checked, CheckpointError> {
        if self.format != FORMAT {
            return Err(CheckpointError::Form("it is not in a statement of this version"));
        }
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let mut findings = Vec::new();
        let lots: Vec<Lot> = self
            .lots
            .iter()
            .filter_map(|lot| said(lot.lot(), "lot", &lot.lot_id, &mut findings))
            .collect();
        let lots: BTreeMap<LotId, &Lot> = lots.iter().map(|lot| (lot.lot_id, lot)).collect();
        let mut entries: Vec<Entry> = self
            .entries
            .iter()
            .filter_map(|entry| said(entry.entry(), "entry", &entry.sequence, &mut findings))
            .collect();
        entries.sort_by(|a, b| (&a.credit_type, a.sequence).cmp(&(&b.credit_type, b.sequence)));
        let mut by_type: BTreeMap<&CreditType, Vec<&Entry>> =
            self.proofs.iter().map(|proof| (&proof.credit_type, Vec::new())).collect();
        for entry in &entries {
            by_type.entry(&entry.credit_type).or_default().push(entry);
        }
        let mut remaining = BTreeMap::new();
        let mut ledgers = Vec::new();
        for (credit_type, entries) in by_type {
            let balance = replay(
                &self.account_id,
                credit_type,
                &entries,
                &lots,
                &mut remaining,
                &mut findings,
            );
            let vouched = self.vouched(credit_type, &entries, &checkpoint, &mut findings);
            ledgers.push(CheckedLedger {
                credit_type: credit_type.clone(),
                vouched,
                later: balance.sequence.saturating_sub(vouched),
                balance: (balance.available, balance.reserved, balance.spent),
            });
        }
        Ok(Checked { account_id: self.account_id.clone(), checkpoint, ledgers, findings })
    }

    /// Up to which entry the checkpoint vouches for a ledger; 0 where it does not
    /// know of it.
    fn vouched(
        &self,
        credit_type: &CreditType,
        entries: &[&Entry],
        checkpoint: &Checkpoint,
        findings: &mut Vec<String>,
    ) -> i64 {
        let Some(proof) = self.proofs.iter().find(|proof| proof.credit_type == *credit_type) else {
            // A ledger may have begun after the checkpoint; one that was there before
            // is in it.
            let begun = checkpoint.time.checked_sub_signed(SLACK);
            if entries.first().is_some_and(|entry| Some(entry.create_time) < begun) {
                findings
                    .push(format!("{credit_type}: is older than the checkpoint, and not in it"));
            }
            return 0;
        };
        let mut say = |what| findings.push(format!("{credit_type} {}: {what}", proof.sequence));
        let Some(entry) = entries.iter().find(|entry| entry.sequence == proof.sequence) else {
            say("is in the checkpoint, and missing");
            return 0;
        };
        let head = Head {
            account_id: self.account_id.clone(),
            credit_type: credit_type.clone(),
            sequence: entry.sequence,
            hash: entry.hash,
        };
        let path: Option<Vec<Hash>> = proof.path.iter().map(|text| hash(text)).collect();
        let root =
            path.and_then(|path| merkle::climb(leaf(&head), proof.index, checkpoint.heads, &path));
        if root != Some(checkpoint.root) {
            say("is not the entry that the checkpoint vouches for");
            return 0;
        }
        proof.sequence
    }
}

/// What can be read; of the rest it is said that it cannot.
fn said<T>(
    read: Option<T>,
    what: &str,
    which: &dyn std::fmt::Display,
    findings: &mut Vec<String>,
) -> Option<T> {
    if read.is_none() {
        findings.push(format!("{what} {which}: is not understood"));
    }
    read
}

impl StatedLot {
    fn of(lot: &Lot) -> Self {
        Self {
            lot_id: lot.lot_id.0,
            credit_type: lot.credit_type.clone(),
            source: lot.source.name().to_owned(),
            credits: lot.credits,
            expire_time: lot.expire_time,
            create_time: lot.create_time,
            reference: lot.reference.clone(),
            origin_lot_id: lot.origin.map(|origin| origin.0),
        }
    }

    fn lot(&self) -> Option<Lot> {
        Some(Lot {
            lot_id: LotId(self.lot_id),
            credit_type: self.credit_type.clone(),
            source: LotSource::ALL.into_iter().find(|source| source.name() == self.source)?,
            reference: self.reference.clone(),
            credits: self.credits,
            // What changes about a lot is for its entries to say.
            remaining: 0,
            unrecovered: 0,
            expire_time: self.expire_time,
            create_time: self.create_time,
            origin: self.origin_lot_id.map(LotId),
        })
    }
}

impl StatedEntry {
    fn of(entry: &Entry) -> Self {
        Self {
            credit_type: entry.credit_type.clone(),
            sequence: entry.sequence,
            kind: entry.kind.name().to_owned(),
            credits: entry.credits,
            available_after: entry.available_after,
            reserved_after: entry.reserved_after,
            spent_after: entry.spent_after,
            create_time: entry.create_time,
            reservation_id: entry.reservation_id.clone(),
            reference: entry.reference.clone(),
            actor: entry.actor.clone(),
            portions: entry
                .portions
                .iter()
                .map(|part| StatedPortion { lot_id: part.lot_id.0, credits: part.credits })
                .collect(),
            hash: STANDARD.encode(entry.hash),
            hash_version: entry.hash_version,
        }
    }

    fn entry(&self) -> Option<Entry> {
        Some(Entry {
            credit_type: self.credit_type.clone(),
            sequence: self.sequence,
            kind: EntryKind::ALL.into_iter().find(|kind| kind.name() == self.kind)?,
            credits: self.credits,
            available_after: self.available_after,
            reserved_after: self.reserved_after,
            spent_after: self.spent_after,
            reservation_id: self.reservation_id.clone(),
            reference: self.reference.clone(),
            actor: self.actor.clone(),
            create_time: self.create_time,
            portions: self
                .portions
                .iter()
                .map(|part| LotPortion { lot_id: LotId(part.lot_id), credits: part.credits })
                .collect(),
            hash: hash(&self.hash)?,
            hash_version: self.hash_version,
        })
    }
}
