//! The single-threaded model: carries out the ledger's entries, one by one.

use std::collections::{BTreeMap, HashMap, HashSet};

use creditgate::{clock::Timestamp, domain::entry::EntryKind};

use super::may_have_acted;
use crate::{
    books::{Books, Entry},
    history::{Answer, Ask, Call},
};

/// Where in the ledger everything took effect.
#[derive(Debug, Default)]
pub struct Effects {
    /// Of each reservation, its entries in their order.
    pub reservations: HashMap<String, Vec<(i64, EntryKind, i64)>>,
    /// Of each grant and each payment, its entry.
    pub grants: HashMap<String, i64>,
}

impl Effects {
    /// The places of a reservation's entries of these kinds.
    pub fn places(&self, id: &str, kinds: &[EntryKind]) -> Vec<i64> {
        let of = self.reservations.get(id).map_or(&[][..], Vec::as_slice);
        of.iter().filter(|(_, kind, _)| kinds.contains(kind)).map(|(place, ..)| *place).collect()
    }

    /// Whether what is asked has been done, by this call or another like it.
    pub fn has(&self, ask: &Ask) -> bool {
        let any = |id: &str, kinds: &[EntryKind]| !self.places(id, kinds).is_empty();
        match ask {
            Ask::Reserve { id, .. } => any(id, &[EntryKind::Reserve]),
            Ask::Commit { id, .. } => any(id, &SPENDS),
            Ask::Release { id, restores: true } => {
                any(id, &[EntryKind::Restore, EntryKind::Refund])
            }
            Ask::Release { id, restores: false } => any(id, &SPENDS),
            Ask::Grant { id, .. } | Ask::Webhook { id, .. } => self.grants.contains_key(id),
            Ask::Extend { .. } | Ask::Forgery { .. } | Ask::Balance | Ask::Check { .. } => false,
        }
    }
}

/// What spends a reservation's credits.
pub const SPENDS: [EntryKind; 2] = [EntryKind::Commit, EntryKind::LateCommit];

/// What was asked for, by calls that may have had an effect.
#[derive(Default)]
struct Asked<'c> {
    reserves: HashMap<&'c str, HashSet<i64>>,
    commits: HashSet<&'c str>,
    consumes: HashSet<&'c str>,
    returns: HashSet<&'c str>,
    grants: HashMap<&'c str, i64>,
    /// Until when somebody was told that the credits are held.
    promised: HashMap<&'c str, Timestamp>,
}

impl<'c> Asked<'c> {
    fn by(calls: &[&'c Call]) -> Self {
        let mut asked = Self::default();
        for call in calls {
            if let Some((_, Answer::Held { id, expires, .. } | Answer::Extended { id, expires })) =
                &call.ended
            {
                let promised = asked.promised.entry(id).or_insert(*expires);
                *promised = (*promised).max(*expires);
            }
            if !may_have_acted(call) {
                continue;
            }
            match &call.ask {
                Ask::Reserve { id, credits } => {
                    asked.reserves.entry(id).or_default().insert(*credits);
                }
                Ask::Commit { id, .. } => {
                    asked.commits.insert(id);
                }
                Ask::Release { id, restores: true } => {
                    asked.returns.insert(id);
                }
                Ask::Release { id, restores: false } => {
                    asked.consumes.insert(id);
                }
                Ask::Grant { id, credits } | Ask::Webhook { id, credits } => {
                    asked.grants.insert(id, *credits);
                }
                Ask::Extend { .. } | Ask::Forgery { .. } | Ask::Balance | Ask::Check { .. } => {}
            }
        }
        asked
    }

    fn spent(&self, id: &str) -> bool {
        self.commits.contains(id) || self.consumes.contains(id)
    }
}

/// Where a reservation stands in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held {
        credits: i64,
    },
    /// Committed in part: the rest has to come back at once.
    Returning {
        spent: i64,
        rest: i64,
    },
    Committed {
        spent: i64,
    },
    Released,
    Expired {
        credits: i64,
    },
    Refunded,
}

impl State {
    /// The database's number.
    fn number(self) -> i16 {
        match self {
            Self::Held { .. } => 1,
            Self::Returning { .. } | Self::Committed { .. } => 2,
            Self::Released => 3,
            Self::Expired { .. } => 4,
            Self::Refunded => 5,
        }
    }
}

#[derive(Default)]
struct Model {
    balance: [i64; 3],
    reservations: BTreeMap<String, State>,
}

/// Carries the ledger out, and tells where everything took effect.
pub fn replay(books: &Books, calls: &[&Call], findings: &mut Vec<String>) -> Effects {
    let asked = Asked::by(calls);
    let mut effects = Effects::default();
    let mut model = Model::default();
    for (index, entry) in books.entries.iter().enumerate() {
        if usize::try_from(entry.sequence) != Ok(index + 1) {
            findings.push(format!("entry {} is the {}th: {entry:?}", entry.sequence, index + 1));
        }
        if let Err(why) = model.carry_out(entry, &asked, &mut effects) {
            findings.push(format!("{why}: {entry:?}"));
        }
        if model.balance != entry.after {
            findings.push(format!("the model has {:?} after {entry:?}", model.balance));
            model.balance = entry.after;
        }
    }
    for (id, state) in &model.reservations {
        if matches!(state, State::Returning { .. }) {
            findings.push(format!("the rest of {id} never came back"));
        }
        if books.reservations.get(id) != Some(&state.number()) {
            let stored = books.reservations.get(id);
            findings.push(format!("{id} is {state:?} by the ledger, {stored:?} by its row"));
        }
    }
    for id in books.reservations.keys().filter(|id| !model.reservations.contains_key(*id)) {
        findings.push(format!("{id} is a reservation of which the ledger knows nothing"));
    }
    effects
}

impl Model {
    fn carry_out(
        &mut self,
        entry: &Entry,
        asked: &Asked<'_>,
        effects: &mut Effects,
    ) -> Result<(), &'static str> {
        let effect = entry.kind.effect();
        for (part, by) in
            self.balance.iter_mut().zip([effect.available, effect.reserved, effect.spent])
        {
            *part += by * entry.credits;
        }
        if self.balance.iter().any(|part| *part < 0) {
            return Err("less than nothing is left");
        }
        let Some(id) = entry.reservation.as_deref() else {
            return grant(entry, asked, effects);
        };
        effects.reservations.entry(id.to_owned()).or_default().push((
            entry.sequence,
            entry.kind,
            entry.credits,
        ));
        let next = self.next(id, entry, asked)?;
        self.reservations.insert(id.to_owned(), next);
        Ok(())
    }

    /// Where an entry takes a reservation.
    fn next(&self, id: &str, entry: &Entry, asked: &Asked<'_>) -> Result<State, &'static str> {
        let state = self.reservations.get(id).copied();
        let n = entry.credits;
        match (entry.kind, state) {
            (EntryKind::Reserve, None) => match asked.reserves.get(id) {
                Some(prices) if prices.contains(&n) => Ok(State::Held { credits: n }),
                Some(_) => Err("it holds what nobody asked for"),
                None => Err("nobody asked for this hold"),
            },
            (EntryKind::Reserve, Some(_)) => Err("a reservation is held twice"),
            (EntryKind::Commit, Some(State::Held { credits })) if n <= credits => {
                if !asked.spent(id) {
                    return Err("nobody asked to spend this");
                }
                Ok(if n == credits {
                    State::Committed { spent: n }
                } else {
                    State::Returning { spent: n, rest: credits - n }
                })
            }
            (EntryKind::Restore, Some(State::Returning { spent, rest }))
                if n == rest && entry.reference == "unspent" =>
            {
                Ok(State::Committed { spent })
            }
            (EntryKind::Restore, Some(State::Held { credits })) if n == credits => {
                if asked.returns.contains(id) {
                    Ok(State::Released)
                } else {
                    Err("nobody released this")
                }
            }
            (EntryKind::LeaseExpire, Some(State::Held { credits })) if n == credits => {
                match asked.promised.get(id) {
                    Some(promised) if entry.time < *promised => {
                        Err("it expired before the end that was promised")
                    }
                    _ => Ok(State::Expired { credits }),
                }
            }
            (EntryKind::LateCommit, Some(State::Expired { credits })) if n <= credits => {
                if asked.spent(id) {
                    Ok(State::Committed { spent: n })
                } else {
                    Err("nobody asked to spend this")
                }
            }
            (EntryKind::Refund, Some(State::Committed { spent })) if n == spent => {
                if asked.returns.contains(id) {
                    Ok(State::Refunded)
                } else {
                    Err("nobody asked for this refund")
                }
            }
            _ => Err("this cannot follow what came before"),
        }
    }
}

/// Credits that come in: once, as many as were asked for.
fn grant(entry: &Entry, asked: &Asked<'_>, effects: &mut Effects) -> Result<(), &'static str> {
    let id = entry.reference.as_str();
    if entry.kind != EntryKind::Grant {
        return Err("nothing of the kind was asked for");
    }
    match asked.grants.get(id) {
        None => Err("credits were made from nothing"),
        Some(credits) if *credits != entry.credits => Err("other credits than were asked for"),
        Some(_) => match effects.grants.insert(id.to_owned(), entry.sequence) {
            None => Ok(()),
            Some(_) => Err("the same credits came in twice"),
        },
    }
}
