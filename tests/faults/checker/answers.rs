//! Whether an answer is the one that the model gives at the place it names.

use std::collections::HashMap;

use creditgate::domain::entry::EntryKind;

use super::{
    order::Order,
    replay::{Effects, SPENDS},
};
use crate::{
    books::Books,
    history::{Answer, Ask, Balance, Call, Fate},
};

/// What ends a hold.
const ENDS: [EntryKind; 3] = [EntryKind::Commit, EntryKind::Restore, EntryKind::LeaseExpire];

/// Checks one answer; what is wrong with it otherwise.
pub fn check(
    call: &Call,
    answer: &Answer,
    books: &Books,
    effects: &Effects,
    order: &Order,
) -> Result<(), String> {
    if let Some(balance) = answer.balance() {
        check_balance(balance, books)?;
    }
    let id = call.ask.reservation().unwrap_or_default();
    let place = answer.balance().map_or(0, |balance| balance.sequence);
    let known = order.known_before(call.begun);
    let has = |kinds: &[EntryKind]| !effects.places(id, kinds).is_empty();
    match (&call.ask, answer) {
        (_, Answer::Broken { why }) => return Err(why.clone()),
        (_, Answer::NotDone)
        | (Ask::Balance, Answer::Read { .. })
        | (Ask::Webhook { .. } | Ask::Forgery { .. }, Answer::Refused { .. }) => {}
        (Ask::Reserve { .. }, Answer::Held { id: told, replayed, .. }) => {
            same(id, told)?;
            let at = one(effects, id, &[EntryKind::Reserve], place, *replayed)?;
            if effects.places(id, &ENDS).iter().any(|end| at < *end && *end <= place) {
                return Err("it was told as held, and was not any more".to_owned());
            }
        }
        (Ask::Reserve { .. } | Ask::Check { .. }, Answer::Blocked { required, balance }) => {
            if *required <= balance.available {
                return Err("it was blocked with enough credits".to_owned());
            }
            if effects.places(id, &[EntryKind::Reserve]).iter().any(|made| *made <= place) {
                return Err("it was blocked though it was held".to_owned());
            }
        }
        (Ask::Check { credits }, Answer::Eligible { balance }) => {
            if *credits > balance.available {
                return Err("it would run without credits".to_owned());
            }
        }
        (Ask::Extend { .. }, Answer::Extended { id: told, .. }) => {
            same(id, told)?;
            if !has(&[EntryKind::Reserve]) {
                return Err("a hold was extended that never was".to_owned());
            }
            if effects.places(id, &ENDS).iter().any(|end| *end <= known) {
                return Err("a hold was extended that was known to be settled".to_owned());
            }
        }
        (Ask::Commit { .. }, Answer::Committed { id: told, spent, replayed, .. }) => {
            same(id, told)?;
            check_spent(effects, id, place, *replayed, Some(*spent))?;
        }
        (
            Ask::Release { restores, .. },
            Answer::Released { id: told, fate, restored, replayed, .. },
        ) => {
            same(id, told)?;
            match (restores, fate) {
                (false, Fate::Consumed) => check_spent(effects, id, place, *replayed, None)?,
                (true, Fate::Restored) if *restored == 0 => {
                    one(effects, id, &[EntryKind::LeaseExpire], place, true)?;
                }
                (true, Fate::Restored) => {
                    one(effects, id, &[EntryKind::Restore], place, *replayed)?;
                }
                (true, Fate::Refunded) => {
                    one(effects, id, &[EntryKind::Refund], place, *replayed)?;
                }
                _ => return Err("its credits went where its cause does not send them".to_owned()),
            }
        }
        (Ask::Grant { id, .. }, Answer::Granted { replayed, .. }) => match effects.grants.get(id) {
            None => return Err("acknowledged credits are lost".to_owned()),
            Some(at) if *at == place || (*replayed && *at < place) => {}
            Some(at) => return Err(format!("they came in at place {at}")),
        },
        (Ask::Webhook { id, .. }, Answer::Stored) => {
            if !effects.grants.contains_key(id) {
                return Err("a payment that was taken brought no credits".to_owned());
            }
        }
        (ask, Answer::Refused { reason }) => {
            let (settled, is_new) = (has(&ENDS), effects.places(id, &[EntryKind::Reserve]));
            let fits = match reason.as_str() {
                "RESERVATION_SETTLED" => settled,
                "RESERVATION_EXPIRED" => has(&[EntryKind::LeaseExpire]),
                "RESERVATION_NOT_FOUND" => is_new.iter().all(|made| *made > known),
                "RESERVATION_ID_REUSED" | "CREDITS_EXCEED_HOLD" => !is_new.is_empty(),
                "INVALID_REQUEST" => id.is_empty(),
                _ => false,
            };
            if !fits {
                return Err(format!("{ask:?} may not be refused so"));
            }
        }
        _ => return Err("this answers another question".to_owned()),
    }
    Ok(())
}

/// Of the calls with one id, one at most is the first.
pub fn check_fresh(calls: &[&Call], findings: &mut Vec<String>) {
    let mut fresh: HashMap<(&str, &str), u32> = HashMap::new();
    for call in calls {
        let key = match (&call.ask, &call.ended) {
            (Ask::Reserve { id, .. }, Some((_, Answer::Held { replayed: false, .. }))) => {
                (id.as_str(), "held")
            }
            (Ask::Commit { id, .. }, Some((_, Answer::Committed { replayed: false, .. }))) => {
                (id.as_str(), "committed")
            }
            (Ask::Grant { id, .. }, Some((_, Answer::Granted { replayed: false, .. }))) => {
                (id.as_str(), "granted")
            }
            _ => continue,
        };
        *fresh.entry(key).or_default() += 1;
    }
    for ((id, what), times) in fresh.into_iter().filter(|(_, times)| *times > 1) {
        findings.push(format!("{times} calls were each told to be the one that {what} {id}"));
    }
}

fn same(asked: &str, told: &str) -> Result<(), String> {
    if asked == told { Ok(()) } else { Err(format!("{told} was answered for {asked}")) }
}

/// The balance is the ledger's at its place.
fn check_balance(balance: Balance, books: &Books) -> Result<(), String> {
    let told = [balance.available, balance.reserved, balance.spent];
    let stored = match usize::try_from(balance.sequence).ok().and_then(|place| place.checked_sub(1))
    {
        None => [0; 3],
        Some(index) => match books.entries.get(index) {
            Some(entry) => entry.after,
            None => return Err("what was acknowledged is not in the ledger".to_owned()),
        },
    };
    if told == stored { Ok(()) } else { Err(format!("the ledger has {stored:?} at that place")) }
}

/// The place of a reservation's entry of these kinds, which is the place that was
/// told, or before it where the answer is a repetition.
fn one(
    effects: &Effects,
    id: &str,
    kinds: &[EntryKind],
    place: i64,
    replayed: bool,
) -> Result<i64, String> {
    let places = effects.places(id, kinds);
    let Some(at) = places.last() else {
        return Err("what was acknowledged is not in the ledger".to_owned());
    };
    if *at == place || (replayed && *at < place) {
        return Ok(*at);
    }
    Err(format!("it took effect at place {at}"))
}

fn check_spent(
    effects: &Effects,
    id: &str,
    place: i64,
    replayed: bool,
    spent: Option<i64>,
) -> Result<(), String> {
    let of = effects.reservations.get(id).map_or(&[][..], Vec::as_slice);
    let Some((at, kind, credits)) = of.iter().find(|(_, kind, _)| SPENDS.contains(kind)) else {
        return Err("what was acknowledged is not in the ledger".to_owned());
    };
    if spent.is_some_and(|spent| spent != *credits) {
        return Err(format!("{credits} were spent"));
    }
    // What was not spent comes back with the next entry.
    let rest = |(next, restore, _): &&(i64, EntryKind, i64)| {
        *kind == EntryKind::Commit && *restore == EntryKind::Restore && *next == at + 1
    };
    let done = of.iter().find(rest).map_or(*at, |(next, ..)| *next);
    if done == place || (replayed && done < place) {
        return Ok(());
    }
    Err(format!("it took effect at place {done}"))
}
