//! How far a feed can be told.
//!
//! Positions are drawn in the order of each account's ledger, but a batch that has
//! drawn a lower one may commit after another with a higher one: whoever told the
//! higher would skip the lower. So a position is told only when whoever can have
//! drawn it, or one below it, has ended: the reader looks how far positions are drawn,
//! takes a transaction id, which is greater than those of all who have drawn one by
//! then (a batch has its id before it draws), and waits until all lower ids have ended.

use std::collections::VecDeque;

use crate::store::queries::FeedHead;

/// What is known of one cell's feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Up to here everything has been committed, or never will be.
    told: i64,
    /// Positions that were drawn, and the transaction id that has to be reached.
    waiting: VecDeque<(i64, i64)>,
}

impl Tail {
    /// Up to where positions are waited for already.
    pub(super) fn known(&self) -> i64 {
        self.waiting.back().map_or(self.told, |(drawn, _)| *drawn)
    }

    /// True while something is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The position that is waited for first.
    pub(super) fn first(&self) -> Option<i64> {
        self.waiting.front().map(|(drawn, _)| *drawn)
    }

    /// Takes in what was seen, and gives how far the feed can be told.
    pub(super) fn observe(&mut self, head: FeedHead) -> i64 {
        while let Some((drawn, barrier)) = self.waiting.front()
            && head.horizon >= *barrier
        {
            self.told = *drawn;
            self.waiting.pop_front();
        }
        if let Some(barrier) = head.barrier
            && head.drawn > self.known()
        {
            self.waiting.push_back((head.drawn, barrier));
        }
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn head(drawn: i64, barrier: Option<i64>, horizon: i64) -> FeedHead {
        FeedHead { drawn, barrier, horizon }
    }

    #[test]
    fn what_was_drawn_is_told_once_all_who_may_have_drawn_it_have_ended() {
        let mut tail = Tail::default();
        assert_eq!(tail.observe(head(0, None, 90)), 0);
        assert_eq!((tail.known(), tail.is_waiting()), (0, false));
        // Transactions 95 and 97 run, 100 is the reader's own.
        assert_eq!(tail.observe(head(7, Some(100), 95)), 0);
        assert_eq!((tail.known(), tail.is_waiting()), (7, true));
        assert_eq!(tail.observe(head(9, Some(105), 97)), 0);
        assert_eq!(tail.observe(head(9, None, 101)), 7);
        assert_eq!(tail.observe(head(9, None, 104)), 7);
        assert_eq!(tail.observe(head(9, None, 105)), 9);
        assert!(!tail.is_waiting());
    }

    /// A database of transactions that draw positions, and end in any order.
    #[derive(Default)]
    struct World {
        next_id: i64,
        running: BTreeSet<i64>,
        drawn: i64,
        by: BTreeMap<i64, i64>,
        committed: BTreeSet<i64>,
    }

    impl World {
        fn begin(&mut self) -> i64 {
            self.next_id += 1;
            self.running.insert(self.next_id);
            self.next_id
        }

        fn look(&mut self, known: i64) -> FeedHead {
            let horizon = self.running.first().copied().unwrap_or(self.next_id + 1);
            let barrier = (self.drawn > known).then(|| {
                self.next_id += 1;
                self.next_id
            });
            head(self.drawn, barrier, horizon)
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_commits_nothing_is_skipped(
            steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 1..200)
        ) {
            let (mut world, mut tail) = (World::default(), Tail::default());
            let (mut read_to, mut told) = (0, BTreeSet::new());
            let look = |world: &mut World, tail: &mut Tail, read_to: &mut i64,
                        told: &mut BTreeSet<i64>| {
                let up_to = tail.observe(world.look(tail.known()));
                let is_new = |at: &&i64| **at > *read_to && **at <= up_to;
                told.extend(world.committed.iter().filter(is_new));
                *read_to = (*read_to).max(up_to);
            };
            for (step, which) in steps {
                let running: Vec<i64> = world.running.iter().copied().collect();
                match step {
                    0 => { world.begin(); }
                    1 if !running.is_empty() => {
                        let id = *which.get(&running);
                        if !world.by.values().any(|by| *by == id) {
                            world.drawn += 1;
                            world.by.insert(world.drawn, id);
                        }
                    }
                    2 | 3 if !running.is_empty() => {
                        let id = *which.get(&running);
                        world.running.remove(&id);
                        if step == 2 {
                            let drawn = world.by.iter().filter(|(_, by)| **by == id);
                            let drawn: Vec<i64> = drawn.map(|(at, _)| *at).collect();
                            world.committed.extend(drawn);
                        }
                    }
                    _ => look(&mut world, &mut tail, &mut read_to, &mut told),
                }
            }
            world.running.clear();
            look(&mut world, &mut tail, &mut read_to, &mut told);
            look(&mut world, &mut tail, &mut read_to, &mut told);
            prop_assert_eq!(told, world.committed);
            prop_assert_eq!(read_to, world.drawn);
        }
    }
}
