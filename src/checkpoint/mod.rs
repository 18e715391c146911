//! Checkpoints: what all books were at one time, in a form that nobody can take
//! back, and statements, by which somebody else can check one account's.
//!
//! A ledger's chain of hashes shows whether anything in it was changed; it cannot
//! show that its end is missing, or that somebody who may do everything has written
//! all of it anew. A checkpoint does, where it is kept out of that somebody's reach:
//! the heads of all ledgers under one Merkle root, and a signature over the root.
//!
//! | file           | what it is                               | whose                 |
//! |----------------|------------------------------------------|-----------------------|
//! | `FILE`         | time, count, root: a signed note         | to publish            |
//! | `FILE.heads`   | the heads, a line each, sorted           | the operator's        |
//! | a statement    | an account's ledger, paths to the root   | the account's         |
//!
//! Reading order: this file, [`merkle`], [`note`], [`statement`].

pub mod merkle;
pub mod note;
pub mod statement;

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    clock::Timestamp,
    domain::head::Head,
    ids::{AccountId, CreditType},
};
use merkle::Hash;
use note::{NoteError, PublicKey, Signer};

/// The first line of a checkpoint.
const TITLE: &str = "creditgate checkpoint v1";

/// Why a checkpoint, its heads or a statement are of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Of the note, or of a key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint's.
    #[error("this is no checkpoint: {0}")]
    Form(&'static str),
    /// A line of the heads is not one.
    #[error("line {0} of the heads is no head, or out of order")]
    Line(usize),
    /// The heads are not those that were signed.
    #[error("the heads are not those of this checkpoint")]
    Root,
}

/// What all books were at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// When: before the first of its heads was read.
    pub time: Timestamp,
    /// How many heads there are: one for each account and credit type.
    pub heads: u64,
    /// The root of the Merkle tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Of these heads.
    #[must_use]
    pub fn of(time: Timestamp, heads: &Heads) -> Self {
        let leaves = heads.leaves();
        Self { time, heads: leaves.len() as u64, root: merkle::root(&leaves) }
    }

    /// As a note that is signed.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> String {
        signer.sign(&format!(
            "{TITLE}\ntime {}\nheads {}\nroot {}\n",
            shown(self.time),
            self.heads,
            STANDARD.encode(self.root)
        ))
    }

    /// Out of a note that this key has signed.
    ///
    /// # Errors
    ///
    /// It has not, or what it has signed is no checkpoint.
    pub fn open(note: &str, key: &PublicKey) -> Result<Self, CheckpointError> {
        let mut lines = key.open(note)?.lines();
        if lines.next() != Some(TITLE) {
            return Err(CheckpointError::Form("it begins otherwise"));
        }
        let mut field = |name, what| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.ok_or(CheckpointError::Form(what))
        };
        let time = field("time ", "it has no time")?;
        let heads = field("heads ", "it has no number of heads")?;
        let root = field("root ", "it has no root")?;
        Ok(Self {
            time: DateTime::parse_from_rfc3339(time)
                .map_err(|_| CheckpointError::Form("its time is none"))?
                .with_timezone(&Utc),
            heads: heads.parse().map_err(|_| CheckpointError::Form("its heads are no number"))?,
            root: hash(root).ok_or(CheckpointError::Form("its root is no hash"))?,
        })
    }
}

/// Heads, sorted by account and credit type, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads(Vec<Head>);

impl Heads {
    /// Sorts them.
    #[must_use]
    pub fn new(mut heads: Vec<Head>) -> Self {
        heads.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        Self(heads)
    }

    /// A line each: account, credit type, sequence, hash.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.iter().map(|head| line(head) + "\n").collect()
    }

    /// Reads lines, and checks that they are those of a checkpoint.
    ///
    /// # Errors
    ///
    /// They are not, or are no heads.
    pub fn parse(text: &str, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let mut heads: Vec<Head> = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let error = || CheckpointError::Line(index + 1);
            let head = parse(text).ok_or_else(error)?;
            if heads.last().is_some_and(|last| key(last) >= key(&head)) {
                return Err(error());
            }
            heads.push(head);
        }
        let heads = Self(heads);
        if Checkpoint::of(checkpoint.time, &heads) != *checkpoint {
            return Err(CheckpointError::Root);
        }
        Ok(heads)
    }

    /// All of them, sorted.
    #[must_use]
    pub fn all(&self) -> &[Head] {
        &self.0
    }

    /// Those of one account.
    #[must_use]
    pub fn of(&self, account_id: &AccountId) -> &[Head] {
        self.0.get(self.places_of(account_id)).unwrap_or_default()
    }

    /// Where those of one account are.
    fn places_of(&self, account_id: &AccountId) -> Range<usize> {
        let from = self.0.partition_point(|head| head.account_id < *account_id);
        from..self.0.partition_point(|head| head.account_id <= *account_id)
    }

    fn leaves(&self) -> Vec<Hash> {
        self.0.iter().map(leaf).collect()
    }
}

fn key(head: &Head) -> (&AccountId, &CreditType) {
    (&head.account_id, &head.credit_type)
}

/// Ids have no spaces in them: two heads are never one line.
fn line(head: &Head) -> String {
    let Head { account_id, credit_type, sequence, hash } = head;
    format!("{account_id} {credit_type} {sequence} {}", STANDARD.encode(hash))
}

fn leaf(head: &Head) -> Hash {
    merkle::leaf(line(head).as_bytes())
}

fn parse(text: &str) -> Option<Head> {
    let mut words = text.split(' ');
    let head = Head {
        account_id: AccountId::new(words.next()?).ok()?,
        credit_type: CreditType::new(words.next()?).ok()?,
        sequence: words.next()?.parse().ok()?,
        hash: hash(words.next()?)?,
    };
    // The same head written otherwise would be another leaf.
    (line(&head) == text && head.sequence >= 1).then_some(head)
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn shown(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
