//! Compares a history of calls with the ledger that they left behind, as Jepsen's
//! checkers do. The ledger says in which order everything happened, and whether a
//! call whose answer was lost took effect; so one account's history needs no
//! search, only `n log n`:
//!
//! - [`replay`]: a single-threaded model carries the ledger's entries out, one by
//!   one. Each has to be possible, asked for by a call, and give the balance that
//!   stands beside it.
//! - [`answers`]: every answer has to be the one that the model would have given
//!   at the place in the ledger that the answer names.
//! - [`order`]: a call that began after another was answered may not come before
//!   it in the ledger.

mod answers;
mod order;
mod replay;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    books::Books,
    history::{Answer, Call},
};

/// What a check found, and how much it looked at.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What must not be; empty where all is well.
    pub findings: Vec<String>,
    /// Calls of which it was unknown what became of them.
    pub unknown: usize,
    /// Of those, the ones that had taken effect.
    pub unknown_done: usize,
}

/// Checks every account's history against its books.
pub fn check(calls: &[Call], books: &BTreeMap<String, Books>) -> Verdict {
    let mut by_account: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for account in books.keys() {
        by_account.entry(account).or_default();
    }
    for call in calls {
        by_account.entry(&call.account).or_default().push(call);
    }
    let none = Books::default();
    let mut verdict = Verdict::default();
    for (account, calls) in by_account {
        let books = books.get(account).unwrap_or(&none);
        let mut findings = Vec::new();
        let effects = replay::replay(books, &calls, &mut findings);
        let order = order::Order::of(&calls);
        order.check(&calls, &effects, &mut findings);
        for call in &calls {
            match &call.ended {
                None => {
                    verdict.unknown += 1;
                    verdict.unknown_done += usize::from(effects.has(&call.ask));
                }
                Some((_, answer)) => {
                    if let Err(why) = answers::check(call, answer, books, &effects, &order) {
                        findings.push(format!("{why}: {call:?}"));
                    }
                }
            }
        }
        answers::check_fresh(&calls, &mut findings);
        verdict.findings.extend(findings.into_iter().map(|f| format!("{account}: {f}")));
    }
    verdict
}

/// True where a call may have had an effect: all but those that say it had none.
///
/// One that hears that its reservation is settled may have had one: where the answer
/// to its COMMIT is lost it is sent again, and finds what has become of its own hold
/// meanwhile.
fn may_have_acted(call: &Call) -> bool {
    match &call.ended {
        Some((_, Answer::Refused { reason })) => reason == "RESERVATION_SETTLED",
        Some((_, Answer::NotDone | Answer::Blocked { .. })) => false,
        _ => true,
    }
}
