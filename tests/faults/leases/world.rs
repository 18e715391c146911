//! What there is in the model: the database, two replicas, and what callers know.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use creditgate::domain::{account::AccountState, entry::EntryKind};

/// What is asked, and how often at most: small worlds that together have everything
/// meet everything.
pub const WORLDS: [&[(Asked, u8)]; 4] = [
    // Everything is sent again.
    &[(Asked::Reserve(0), 2), (Asked::Commit(0), 2), (Asked::Expire(0), 2)],
    // Whoever settles first.
    &[(Asked::Reserve(0), 1), (Asked::Commit(0), 2), (Asked::Release(0), 2), (Asked::Expire(0), 1)],
    // A heartbeat against the reaper.
    &[(Asked::Reserve(0), 1), (Asked::Extend(0), 2), (Asked::Commit(0), 1), (Asked::Expire(0), 2)],
    // Two scans want one credit, and one comes too late.
    &[
        (Asked::Reserve(0), 1),
        (Asked::Reserve(1), 1),
        (Asked::Commit(0), 1),
        (Asked::Commit(1), 1),
        (Asked::Expire(0), 1),
        (Asked::Expire(1), 1),
    ],
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    Reserve(usize),
    Extend(usize),
    Commit(usize),
    Release(usize),
    /// What a reaper asks, of a hold that it found to be over.
    Expire(usize),
}

/// A command that a replica is about to carry out.
#[derive(Clone, PartialEq)]
pub struct Running {
    pub command: usize,
    pub read: AccountState,
    pub minute: u8,
}

#[derive(Clone, PartialEq)]
pub struct World {
    pub minute: u8,
    pub stored: AccountState,
    pub ledger: Vec<(EntryKind, usize, u8)>,
    pub replicas: [Option<Running>; 2],
    /// What each reaper found.
    pub found: [[bool; 2]; 2],
    pub begun: Vec<u8>,
    /// What callers were told: until which minute a scan's credits are held, and
    /// that they are spent.
    pub promised: [Option<u8>; 2],
    pub spent: [bool; 2],
    pub blocked: bool,
}

impl World {
    /// Replicas are alike: of two worlds that only differ by who is who, one is
    /// enough.
    pub fn order(&mut self) {
        let key = |replica: usize| {
            let running = self.replicas[replica].as_ref();
            (running.map(|running| (running.command, running.minute)), self.found[replica])
        };
        if key(0) > key(1) {
            self.replicas.swap(0, 1);
            self.found.swap(0, 1);
        }
    }

    /// Whether a scan has an entry of a kind.
    pub fn has(&self, kind: EntryKind, scan: usize) -> bool {
        self.count(kind, scan) > 0
    }

    /// Entries of a kind that a scan has.
    pub fn count(&self, kind: EntryKind, scan: usize) -> usize {
        self.ledger.iter().filter(|(k, s, _)| (*k, *s) == (kind, scan)).count()
    }
}

/// All on which the future depends: neither hashes nor ids of lots.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let facts = |account: &AccountState, state: &mut H| {
            for balance in account.balances.values() {
                let last = balance.last_entry_time.timestamp();
                (balance.available, balance.reserved, balance.sequence, last).hash(state);
            }
            for r in account.reservations.values() {
                (r.state as i16, r.expire_time.timestamp(), r.late).hash(state);
                r.reservation_id.as_str().hash(state);
            }
        };
        (self.minute, self.found, &self.begun, self.promised, self.spent).hash(state);
        self.blocked.hash(state);
        facts(&self.stored, state);
        self.ledger.iter().for_each(|(kind, scan, _)| (*kind as i16, *scan).hash(state));
        for replica in &self.replicas {
            replica.as_ref().map(|running| (running.command, running.minute)).hash(state);
            if let Some(running) = replica {
                facts(&running.read, state);
            }
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "minute {}, ledger {:?}", self.minute, self.ledger)
    }
}
