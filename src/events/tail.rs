//! How far a feed can be told.
//!
//! Positions are drawn in the order of each account's ledger, but a batch that has
//! drawn a lower one may commit after another with a higher one: whoever told the
//! higher would skip the lower. So a position is told only when whoever can have
//! drawn one below it has ended: the reader looks which is the last that is committed,
//! takes a transaction id, which is greater than those of all who had drawn a lower one
//! by then (a batch has its id before it draws), and waits until all lower ids have ended.
//!
//! The last that is committed, not the last that was drawn: a crash forgets draws of
//! which nothing was committed, and they are drawn again, by those that come later.

use std::collections::VecDeque;

use crate::{
    planted::{self, Bug},
    store::queries::FeedHead,
};

/// What is known of one cell's feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Up to here everything has been committed, or never will be; `None` before that
    /// is known of any position.
    told: Option<i64>,
    /// Positions that are committed, and the transaction id that has to be reached.
    waiting: VecDeque<(i64, i64)>,
}

impl Tail {
    /// Up to where positions are waited for already.
    pub(super) fn known(&self) -> i64 {
        self.waiting.back().map_or(self.told.unwrap_or(0), |(last, _)| *last)
    }

    /// True while something is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The position that is waited for first.
    pub(super) fn first(&self) -> Option<i64> {
        self.waiting.front().map(|(last, _)| *last)
    }

    /// Takes in what was seen, and gives how far the feed can be told, once that is known.
    pub(super) fn observe(&mut self, head: FeedHead) -> Option<i64> {
        while let Some((last, barrier)) = self.waiting.front()
            // An id that has ended and now has not was forgotten by a crash, which has
            // ended everybody.
            && (head.horizon >= *barrier || head.ended <= *barrier)
        {
            self.told = Some(*last);
            self.waiting.pop_front();
        }
        match head.barrier {
            Some(_) if planted::has(Bug::ToldTooSoon) => self.told = Some(head.last),
            Some(barrier) if head.last > self.known() => {
                self.waiting.push_back((head.last, barrier));
            }
            // An empty feed: whatever comes, comes after it.
            _ if self.waiting.is_empty() => self.told = self.told.or(Some(0)),
            _ => {}
        }
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn head(last: i64, barrier: Option<i64>, horizon: i64) -> FeedHead {
        let ended = barrier.unwrap_or(horizon).max(horizon) + 1;
        FeedHead { last, barrier, horizon, ended }
    }

    #[test]
    fn what_is_committed_is_told_once_all_who_may_have_drawn_less_have_ended() {
        let mut tail = Tail::default();
        assert_eq!(tail.observe(head(0, None, 90)), Some(0));
        assert_eq!((tail.known(), tail.is_waiting()), (0, false));
        // Transactions 95 and 97 run, 100 is the reader's own.
        assert_eq!(tail.observe(head(7, Some(100), 95)), Some(0));
        assert_eq!((tail.known(), tail.is_waiting()), (7, true));
        assert_eq!(tail.observe(head(9, Some(105), 97)), Some(0));
        assert_eq!(tail.observe(FeedHead { ended: 110, ..head(9, None, 101) }), Some(7));
        assert_eq!(tail.observe(FeedHead { ended: 110, ..head(9, None, 104) }), Some(7));
        assert_eq!(tail.observe(head(9, None, 105)), Some(9));
        assert!(!tail.is_waiting());
    }

    #[test]
    fn what_is_there_already_is_told_as_soon_as_it_is_known_to_be_all() {
        let mut tail = Tail::default();
        assert_eq!(tail.observe(head(7, Some(100), 95)), None);
        assert_eq!(tail.observe(head(8, Some(103), 100)), Some(7));
        assert!(tail.is_waiting(), "a busy feed always waits for the next");
    }

    #[test]
    fn a_crash_that_forgets_ids_leaves_nothing_waiting() {
        let mut tail = Tail::default();
        tail.observe(head(7, Some(100), 95));
        // Ids from 93 on are given anew.
        let after = FeedHead { last: 7, barrier: None, horizon: 93, ended: 93 };
        assert_eq!(tail.observe(after), Some(7));
    }

    /// A database of transactions that draw positions, end in any order, and crash.
    #[derive(Default)]
    struct World {
        /// The last id that was given.
        id: i64,
        /// The greatest that has ended.
        ended: i64,
        running: BTreeSet<i64>,
        drawn: i64,
        by: BTreeMap<i64, i64>,
        committed: BTreeSet<i64>,
    }

    impl World {
        fn begin(&mut self) -> i64 {
            self.id += 1;
            self.running.insert(self.id);
            self.id
        }

        fn draw(&mut self, id: i64) {
            if !self.by.values().any(|by| *by == id) {
                self.drawn += 1;
                self.by.insert(self.drawn, id);
            }
        }

        fn end(&mut self, id: i64, commits: bool) {
            self.running.remove(&id);
            self.ended = self.ended.max(id);
            let drawn = self.by.iter().filter(|(_, by)| **by == id);
            let drawn: Vec<i64> = drawn.map(|(at, _)| *at).collect();
            if commits {
                self.committed.extend(drawn);
            }
        }

        /// Whoever runs is gone, and what is not behind a commit may be forgotten: how
        /// much of it is up to `share`.
        fn crash(&mut self, share: &prop::sample::Index) {
            self.running.clear();
            let last = self.committed.last().copied().unwrap_or(0);
            let kept = last
                + i64::try_from(share.index(usize::MAX)).unwrap_or(0) % (self.drawn - last + 1);
            self.drawn = kept;
            self.by.retain(|at, _| self.committed.contains(at));
            let least = self.by.values().max().copied().unwrap_or(0);
            self.id =
                least + i64::try_from(share.index(1 << 30)).unwrap_or(0) % (self.id - least + 1);
            self.ended = self.id;
        }

        fn look(&mut self, known: i64) -> FeedHead {
            // One snapshot, and then an id.
            let ended = self.ended + 1;
            let horizon = self.running.first().copied().unwrap_or(ended).min(ended);
            let last = self.committed.last().copied().unwrap_or(0);
            let barrier = (last > known).then(|| {
                self.id += 1;
                self.ended = self.ended.max(self.id);
                self.id
            });
            FeedHead { last, barrier, horizon, ended }
        }
    }

    /// A reader, who remembers where it was.
    #[derive(Default)]
    struct Reader {
        tail: Tail,
        read_to: i64,
        told: Vec<i64>,
    }

    impl Reader {
        fn look(&mut self, world: &mut World) {
            let Some(up_to) = self.tail.observe(world.look(self.tail.known())) else { return };
            let is_new = |at: &&i64| **at > self.read_to && **at <= up_to;
            self.told.extend(world.committed.iter().filter(is_new));
            self.read_to = self.read_to.max(up_to);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_commits_and_crashes_nothing_is_skipped(
            steps in prop::collection::vec((0u8..12, any::<prop::sample::Index>()), 1..200)
        ) {
            let mut world = World::default();
            // One that goes on, and one that begins anew now and then where it was.
            let mut readers = [Reader::default(), Reader::default()];
            for (step, which) in steps {
                let running: Vec<i64> = world.running.iter().copied().collect();
                match step {
                    0 | 1 => { world.begin(); }
                    2..=4 if !running.is_empty() => world.draw(*which.get(&running)),
                    5..=7 if !running.is_empty() => world.end(*which.get(&running), step != 7),
                    8 => world.crash(&which),
                    9 => readers[1].tail = Tail::default(),
                    _ => readers.iter_mut().for_each(|reader| reader.look(&mut world)),
                }
            }
            for id in world.running.clone() {
                world.end(id, false);
            }
            for reader in &mut readers {
                reader.look(&mut world);
                reader.look(&mut world);
                let told: Vec<i64> = world.committed.iter().copied().collect();
                prop_assert_eq!(&reader.told, &told);
                prop_assert!(!reader.tail.is_waiting());
            }
        }
    }
}
