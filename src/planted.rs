//! Bugs that are planted on purpose, one at a time, so that `make faults-selftest`
//! can show that the checker of `tests/faults` catches each of them.
//!
//! They exist with the feature `planted-bugs` alone, which no build without debug
//! assertions takes; otherwise [`has`] is `false` at compile time, and what it
//! guards is no part of the program.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted-bugs is for the self-test of tests/faults: no release may contain it");

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A batch is answered whatever COMMIT says.
    AnswersWhateverCommitSays,
    /// Accounts are not locked. Harmless: the guards hold.
    NoRowLock,
    /// Accounts are not locked, and a guard that did not match is not noticed.
    NoLockNoGuard,
    /// A reservation's id is not looked up: each call holds anew.
    IdIgnored,
    /// The reaper frees what it has found, whatever has become of it.
    ReaperUnchecked,
    /// A late commit does not ask whether there are credits.
    LateCommitUnchecked,
    /// What was released is given back again.
    RestoredTwice,
    /// What was refunded is refunded again.
    RefundedTwice,
    /// A provider's report is noted as applied before it is.
    SeenApart,
    /// A lane that only looks goes on in its old snapshot.
    StaleSnapshot,
    /// After an unknown COMMIT, a grant is sent again as another one.
    RetriedAsNew,
    /// The answers of one account's commands change places.
    AnswersSwapped,
    /// A batch commits half-way.
    CommitsMidway,
    /// A RESTORE takes the sequence of the entry before it.
    SequenceReused,
    /// What a commit leaves unspent does not come back.
    UnspentLost,
    /// Extend may shorten a lease.
    ExtendShortens,
    /// Events are told before all that come before them are committed.
    ToldTooSoon,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::AnswersWhateverCommitSays,
        Self::NoRowLock,
        Self::NoLockNoGuard,
        Self::IdIgnored,
        Self::ReaperUnchecked,
        Self::LateCommitUnchecked,
        Self::RestoredTwice,
        Self::RefundedTwice,
        Self::SeenApart,
        Self::StaleSnapshot,
        Self::RetriedAsNew,
        Self::AnswersSwapped,
        Self::CommitsMidway,
        Self::SequenceReused,
        Self::UnspentLost,
        Self::ExtendShortens,
        Self::ToldTooSoon,
    ];

    /// Its name, as `CREDITGATE_PLANTED_BUG` gives it.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Whether a bug is planted in this process.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn has(_bug: Bug) -> bool {
    false
}

/// Whether a bug is planted in this process.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn has(bug: Bug) -> bool {
    use std::sync::LazyLock;
    static PLANTED: LazyLock<Option<Bug>> = LazyLock::new(|| {
        let name = std::env::var("CREDITGATE_PLANTED_BUG").ok()?;
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    });
    *PLANTED == Some(bug)
}
