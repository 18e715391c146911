//! Real-time order: what was answered before a call began comes before it in the
//! ledger.

use std::{collections::HashMap, time::Duration};

use super::{
    may_have_acted,
    replay::{Effects, SPENDS},
};
use crate::history::{Ask, Call};
use creditgate::domain::entry::EntryKind;

/// How far the ledger was known to have come, by time.
#[derive(Debug)]
pub struct Order {
    /// When answers came, and the furthest place that any answer till then named.
    known: Vec<(Duration, i64)>,
}

impl Order {
    pub fn of(calls: &[&Call]) -> Self {
        let mut known: Vec<(Duration, i64)> = calls
            .iter()
            .filter_map(|call| call.ended.as_ref())
            .filter_map(|(ended, answer)| Some((*ended, answer.balance()?.sequence)))
            .collect();
        known.sort_unstable();
        let mut furthest = 0;
        for (_, place) in &mut known {
            furthest = furthest.max(*place);
            *place = furthest;
        }
        Self { known }
    }

    /// The furthest place that an answer had named before this time.
    pub fn known_before(&self, time: Duration) -> i64 {
        let count = self.known.partition_point(|(ended, _)| *ended < time);
        count.checked_sub(1).map_or(0, |last| self.known[last].1)
    }

    pub fn check(&self, calls: &[&Call], effects: &Effects, findings: &mut Vec<String>) {
        // The first call that may have caused an effect.
        let mut first: HashMap<(&str, Cause), Duration> = HashMap::new();
        for call in calls {
            let known = self.known_before(call.begun);
            let told = call.ended.as_ref().and_then(|(_, answer)| answer.balance());
            if let Some(balance) = told.filter(|balance| balance.sequence < known) {
                let place = balance.sequence;
                findings.push(format!("place {place} was told after place {known}: {call:?}"));
            }
            if may_have_acted(call)
                && let Some(cause) = Cause::of(&call.ask)
            {
                let begun = first.entry(cause).or_insert(call.begun);
                *begun = (*begun).min(call.begun);
            }
        }
        for ((id, cause), begun) in first {
            let known = self.known_before(begun);
            for place in cause.places(id, effects) {
                if place <= known {
                    findings.push(format!(
                        "{id} took effect at place {place}, before it was asked for: place \
                         {known} was known by then"
                    ));
                }
            }
        }
    }
}

/// What brings an effect about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cause {
    Reserve,
    Spend,
    Return,
    Grant,
}

impl Cause {
    fn of(ask: &Ask) -> Option<(&str, Self)> {
        Some(match ask {
            Ask::Reserve { id, .. } => (id, Self::Reserve),
            Ask::Commit { id, .. } | Ask::Release { id, restores: false } => (id, Self::Spend),
            Ask::Release { id, restores: true } => (id, Self::Return),
            Ask::Grant { id, .. } | Ask::Webhook { id, .. } => (id, Self::Grant),
            Ask::Extend { .. } | Ask::Forgery { .. } | Ask::Balance | Ask::Check { .. } => {
                return None;
            }
        })
    }

    fn places(self, id: &str, effects: &Effects) -> Vec<i64> {
        match self {
            Self::Reserve => effects.places(id, &[EntryKind::Reserve]),
            Self::Spend => effects.places(id, &SPENDS),
            // A RESTORE may also be the rest of a commit.
            Self::Return => effects.places(id, &[EntryKind::Refund]),
            Self::Grant => effects.grants.get(id).copied().into_iter().collect(),
        }
    }
}
