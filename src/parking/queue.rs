//! Who of an account's parked scans may run: the order, without the waiting.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        command::Outcome,
        verdict::{Block, BlockReason},
    },
    ids::CreditType,
};

/// For how long credits are kept for whoever was told that it may run.
pub(super) const HEAD_START: Duration = Duration::from_secs(2);

/// What a scan has to wait behind others for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scarce {
    /// Credits of a type.
    Credits(CreditType),
    /// Scans at once.
    Slots,
}

/// What becomes of a parked scan whose verdict was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may run: it is told.
    Run,
    /// It stays, behind or for what is scarce, or for something else.
    Stay(Option<Scarce>),
}

/// Credits that were promised: to whoever was told, until it has reserved them, or
/// its head start is over.
#[derive(Debug, Default)]
pub(super) struct Promises {
    made: VecDeque<(Instant, Scarce, i64)>,
    /// Up to which entry of each ledger it is known which were kept.
    looked: BTreeMap<CreditType, i64>,
}

/// One round through the queue, from its front.
#[derive(Debug)]
pub(super) struct Round<'p> {
    promises: &'p mut Promises,
    now: Instant,
    taken: BTreeSet<Scarce>,
}

impl Promises {
    /// When the first of them ends.
    pub(super) fn end(&self) -> Option<Instant> {
        self.made.front().map(|(until, ..)| *until)
    }

    /// The ledgers of which something is promised, and how far they were looked at.
    pub(super) fn looked_at(&self) -> Vec<(CreditType, i64)> {
        let is_promised = |of: &CreditType| self.sum(&Scarce::Credits(of.clone())) > 0;
        let looked = self.looked.iter().filter(|(of, _)| is_promised(of));
        looked.map(|(of, sequence)| (of.clone(), *sequence)).collect()
    }

    /// A ledger was looked at up to this entry.
    pub(super) fn look(&mut self, of: &CreditType, sequence: i64) {
        self.looked.insert(of.clone(), sequence);
    }

    /// A hold of so many credits was made: the oldest promise that it keeps is over.
    pub(super) fn kept(&mut self, of: &CreditType, credits: i64) {
        let is_kept = |(_, scarce, promised): &(Instant, Scarce, i64)| {
            *promised == credits && matches!(scarce, Scarce::Credits(name) if name == of)
        };
        if let Some(index) = self.made.iter().position(is_kept) {
            self.made.remove(index);
        }
    }

    fn sum(&self, of: &Scarce) -> i64 {
        self.made.iter().filter(|(_, scarce, _)| scarce == of).map(|(.., credits)| credits).sum()
    }

    /// Begins a round.
    pub(super) fn round(&mut self, now: Instant) -> Round<'_> {
        self.made.retain(|(until, ..)| *until > now);
        Round { promises: self, now, taken: BTreeSet::new() }
    }
}

impl Round<'_> {
    /// Whether all of it is taken by those in front.
    pub(super) fn is_taken(&self, scarce: &Scarce) -> bool {
        self.taken.contains(scarce)
    }

    /// The turn of the next in the queue, by its fresh verdict; `waits_for` is what it
    /// has waited for so far.
    pub(super) fn turn(&mut self, verdict: &Outcome, waits_for: Option<&Scarce>) -> Turn {
        let scarce = match verdict {
            Outcome::Eligible { credits, credit_type: Some(of), balance } if *credits > 0 => {
                let scarce = Scarce::Credits(of.clone());
                let available = balance.as_ref().map_or(0, |balance| balance.available);
                let free = available.saturating_sub(self.promises.sum(&scarce));
                if !self.is_taken(&scarce) && free >= *credits && !self.waits_for_slot(waits_for) {
                    // What is promised first is looked for from here on.
                    if self.promises.sum(&scarce) == 0 {
                        let sequence = balance.as_ref().map_or(0, |balance| balance.sequence);
                        self.promises.look(of, sequence);
                    }
                    self.promise(scarce, *credits);
                    if waits_for == Some(&Scarce::Slots) {
                        self.promise(Scarce::Slots, 1);
                    }
                    return Turn::Run;
                }
                if free >= *credits && !self.is_taken(&scarce) { Scarce::Slots } else { scarce }
            }
            Outcome::Eligible { .. } => {
                if self.waits_for_slot(waits_for) {
                    Scarce::Slots
                } else {
                    if waits_for == Some(&Scarce::Slots) {
                        self.promise(Scarce::Slots, 1);
                    }
                    return Turn::Run;
                }
            }
            Outcome::Blocked { block, .. } => match scarce_of(block) {
                Some(scarce) => scarce,
                None => return Turn::Stay(None),
            },
            _ => return Turn::Stay(None),
        };
        self.taken.insert(scarce.clone());
        Turn::Stay(Some(scarce))
    }

    /// How many slots are free no verdict says: one of those who wait for one is told
    /// at a time.
    fn waits_for_slot(&self, waits_for: Option<&Scarce>) -> bool {
        waits_for == Some(&Scarce::Slots)
            && (self.is_taken(&Scarce::Slots) || self.promises.sum(&Scarce::Slots) > 0)
    }

    fn promise(&mut self, scarce: Scarce, credits: i64) {
        self.promises.made.push_back((self.now + HEAD_START, scarce, credits));
    }
}

/// What others in front may be waiting for as well. A project that is another's, a plan
/// without such a scan, a suspended account: they keep no place from anybody.
fn scarce_of(block: &Block) -> Option<Scarce> {
    match block.reason {
        BlockReason::PaymentPending | BlockReason::Exhausted | BlockReason::CreditRequired => {
            block.credit_type.clone().map(Scarce::Credits)
        }
        BlockReason::ConcurrencyLimit => Some(Scarce::Slots),
        BlockReason::WrongAccount | BlockReason::AccountSuspended | BlockReason::PlanExcludes => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credit::Balance;

    fn eligible(credits: i64, available: i64) -> Outcome {
        Outcome::Eligible {
            credits,
            credit_type: Some(CreditType::new("scan").unwrap()),
            balance: Some(Balance { available, ..Balance::EMPTY }),
        }
    }

    fn scan() -> Scarce {
        Scarce::Credits(CreditType::new("scan").unwrap())
    }

    #[test]
    fn so_many_are_told_as_the_credits_are_for_and_nobody_is_overtaken() {
        let (mut promises, now) = (Promises::default(), Instant::now());
        let mut round = promises.round(now);
        assert_eq!(round.turn(&eligible(1, 3), None), Turn::Run);
        assert_eq!(round.turn(&eligible(1, 3), Some(&scan())), Turn::Run);
        assert_eq!(round.turn(&eligible(2, 3), None), Turn::Stay(Some(scan())), "1 is left");
        assert_eq!(round.turn(&eligible(1, 3), None), Turn::Stay(Some(scan())), "2 came first");
        // The first two have reserved: 1 is available, and none promised.
        promises.kept(&CreditType::new("scan").unwrap(), 1);
        promises.kept(&CreditType::new("scan").unwrap(), 1);
        promises.kept(&CreditType::new("scan").unwrap(), 1);
        let mut round = promises.round(now);
        assert_eq!(round.turn(&eligible(2, 1), Some(&scan())), Turn::Stay(Some(scan())));
        // Who was told and does not come loses its head start.
        let mut round = promises.round(now);
        assert_eq!(round.turn(&eligible(1, 1), Some(&scan())), Turn::Run);
        let mut round = promises.round(now);
        assert_eq!(round.turn(&eligible(1, 1), Some(&scan())), Turn::Stay(Some(scan())));
        let mut round = promises.round(now + HEAD_START);
        assert_eq!(round.turn(&eligible(1, 1), Some(&scan())), Turn::Run);
    }

    #[test]
    fn of_those_who_wait_for_a_slot_one_is_told_at_a_time() {
        let (mut promises, now) = (Promises::default(), Instant::now());
        let mut round = promises.round(now);
        let slots = Some(&Scarce::Slots);
        assert_eq!(round.turn(&eligible(1, 9), slots), Turn::Run);
        assert_eq!(round.turn(&eligible(1, 9), slots), Turn::Stay(Some(Scarce::Slots)));
        assert_eq!(round.turn(&eligible(1, 9), None), Turn::Run, "it has not waited for one");
        let free = Outcome::Eligible { credits: 0, credit_type: None, balance: None };
        assert_eq!(round.turn(&free, slots), Turn::Stay(Some(Scarce::Slots)));
        assert_eq!(round.turn(&free, None), Turn::Run);
        let mut round = promises.round(now + HEAD_START);
        assert_eq!(round.turn(&free, slots), Turn::Run);
    }
}
