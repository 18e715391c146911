//! A history that is right is not accused; each way in which one can be wrong is.

use std::time::Duration;

use creditgate::{clock::Timestamp, domain::entry::EntryKind};

use super::*;
use crate::{
    books::Entry,
    history::{Ask, Balance, Fate},
};

const ACCOUNT: &str = "a";

/// A history and the books that it left behind.
#[derive(Clone, Default)]
struct Story {
    calls: Vec<Call>,
    books: Books,
}

fn balance(story: &Story) -> Balance {
    let Some(last) = story.books.entries.last() else { return Balance::default() };
    let [available, reserved, spent] = last.after;
    Balance { available, reserved, spent, sequence: last.sequence }
}

fn time(second: usize) -> Timestamp {
    Timestamp::from_timestamp(i64::try_from(second).unwrap(), 0).unwrap()
}

impl Story {
    /// 10 credits came in.
    fn new() -> Self {
        let mut story = Self::default();
        story.entry(EntryKind::Grant, 10, None, "g");
        let balance = balance(&story);
        let ask = Ask::Grant { id: "g".to_owned(), credits: 10 };
        story.call(ask, Answer::Granted { balance, replayed: false });
        story
    }

    fn entry(&mut self, kind: EntryKind, credits: i64, id: Option<&str>, reference: &str) {
        let mut after = self.books.entries.last().map_or([0; 3], |entry| entry.after);
        let effect = kind.effect();
        for (part, by) in after.iter_mut().zip([effect.available, effect.reserved, effect.spent]) {
            *part += by * credits;
        }
        let sequence = i64::try_from(self.books.entries.len() + 1).unwrap();
        self.books.entries.push(Entry {
            sequence,
            kind,
            credits,
            after,
            reservation: id.map(str::to_owned),
            reference: reference.to_owned(),
            time: time(self.books.entries.len()),
        });
    }

    fn call(&mut self, ask: Ask, answer: Answer) {
        let begun = self.calls.last().map_or(Duration::ZERO, |last| last.begun * 2)
            + Duration::from_secs(1);
        let ended = Some((begun + Duration::from_millis(1), answer));
        self.calls.push(Call { account: ACCOUNT.to_owned(), ask, begun, ended });
    }

    fn reserve(&mut self, id: &str) {
        self.entry(EntryKind::Reserve, 3, Some(id), "deep_audit");
        self.books.reservations.insert(id.to_owned(), 1);
        let balance = balance(self);
        let held = Answer::Held { id: id.to_owned(), expires: time(0), balance, replayed: false };
        self.call(Ask::Reserve { id: id.to_owned(), credits: 3 }, held);
    }

    /// Spends 2 of the 3.
    fn commit(&mut self, id: &str) {
        self.entry(EntryKind::Commit, 2, Some(id), "commit");
        self.entry(EntryKind::Restore, 1, Some(id), "unspent");
        self.books.reservations.insert(id.to_owned(), 2);
        let (id, balance) = (id.to_owned(), balance(self));
        let ask = Ask::Commit { id: id.clone(), credits: Some(2) };
        self.call(ask, Answer::Committed { id, spent: 2, balance, replayed: false });
    }

    fn release(&mut self, id: &str) {
        self.entry(EntryKind::Restore, 3, Some(id), "PLATFORM_ERROR");
        self.books.reservations.insert(id.to_owned(), 3);
        let (id, balance) = (id.to_owned(), balance(self));
        let ask = Ask::Release { id: id.clone(), restores: true };
        let (fate, restored) = (Fate::Restored, 3);
        self.call(ask, Answer::Released { id, fate, restored, balance, replayed: false });
    }

    fn expire(&mut self, id: &str) {
        self.entry(EntryKind::LeaseExpire, 3, Some(id), "lease");
        self.books.reservations.insert(id.to_owned(), 4);
    }

    fn findings(&self) -> Vec<String> {
        check(&self.calls, &BTreeMap::from([(ACCOUNT.to_owned(), self.books.clone())])).findings
    }

    /// A story that ends otherwise.
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn last_answer(&mut self) -> &mut Answer {
        &mut self.calls.last_mut().unwrap().ended.as_mut().unwrap().1
    }
}

/// Everything that may happen, once.
fn whole() -> Story {
    let mut story = Story::new();
    story.reserve("committed");
    story.commit("committed");
    story.reserve("released");
    story.release("released");
    story.reserve("expired");
    story.expire("expired");
    story.call(Ask::Balance, Answer::Read { balance: balance(&story) });
    story.reserve("held");
    story
}

#[test]
fn a_right_history_is_not_accused() {
    assert_eq!(whole().findings(), Vec::<String>::new());
}

#[test]
fn an_unknown_call_may_have_been_done_or_not() {
    let done = whole().but(|story| story.calls.last_mut().unwrap().ended = None);
    let books = BTreeMap::from([(ACCOUNT.to_owned(), done.books.clone())]);
    let verdict = check(&done.calls, &books);
    assert_eq!((verdict.findings.len(), verdict.unknown, verdict.unknown_done), (0, 1, 1));

    let not_done = done.but(|story| {
        story.books.entries.pop();
        story.books.reservations.remove("held");
    });
    let books = BTreeMap::from([(ACCOUNT.to_owned(), not_done.books.clone())]);
    let verdict = check(&not_done.calls, &books);
    assert_eq!((verdict.findings.len(), verdict.unknown, verdict.unknown_done), (0, 1, 0));
}

/// A story that went wrong, and what is said of it.
fn expect(story: &Story, wanted: &str) {
    let findings = story.findings();
    assert!(findings.iter().any(|finding| finding.contains(wanted)), "{wanted}: {findings:#?}");
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_found() {
    let lost = whole().but(|story| {
        story.books.entries.pop();
        story.books.reservations.remove("held");
    });
    expect(&lost, "what was acknowledged is not in the ledger");
}

#[test]
fn what_was_said_to_be_not_done_and_is_there_is_found() {
    let done = whole().but(|story| *story.last_answer() = Answer::NotDone);
    expect(&done, "nobody asked for this hold");
}

#[test]
fn a_hold_that_expired_before_its_lost_answer_was_asked_for_again_is_nobodys_fault() {
    let settled = Answer::Refused { reason: "RESERVATION_SETTLED".to_owned() };
    let mut story = whole().but(|story| *story.last_answer() = settled);
    expect(&story, "may not be refused so");
    story.expire("held");
    assert_eq!(story.findings(), Vec::<String>::new());
}

#[test]
fn credits_out_of_nothing_are_found() {
    let made = whole().but(|story| story.entry(EntryKind::Grant, 5, None, "nobody"));
    expect(&made, "credits were made from nothing");
    let twice = whole().but(|story| story.entry(EntryKind::Grant, 10, None, "g"));
    expect(&twice, "the same credits came in twice");
}

#[test]
fn credits_that_are_spent_twice_are_found() {
    for kind in [EntryKind::Commit, EntryKind::LateCommit] {
        let twice = whole().but(|story| story.entry(kind, 2, Some("committed"), "commit"));
        expect(&twice, "this cannot follow what came before");
    }
    let held = whole().but(|story| story.entry(EntryKind::Reserve, 3, Some("committed"), "scan"));
    expect(&held, "a reservation is held twice");
}

#[test]
fn credits_that_come_back_twice_or_never_are_found() {
    let twice = whole().but(|story| story.entry(EntryKind::Restore, 3, Some("released"), ""));
    expect(&twice, "this cannot follow what came before");
    let mut never = Story::new();
    never.reserve("r");
    never.commit("r");
    never.books.entries.pop();
    expect(&never, "the rest of r never came back");
}

#[test]
fn a_lease_that_ends_before_what_was_promised_is_found() {
    let mut early = Story::new();
    early.reserve("r");
    let expires = time(100);
    early
        .call(Ask::Extend { id: "r".to_owned() }, Answer::Extended { id: "r".to_owned(), expires });
    assert_eq!(early.findings(), Vec::<String>::new());
    early.expire("r");
    expect(&early, "it expired before the end that was promised");
}

#[test]
fn an_answer_that_is_anothers_is_found() {
    let other = whole().but(|story| {
        if let Answer::Held { id, .. } = story.last_answer() {
            *id = "committed".to_owned();
        }
    });
    expect(&other, "committed was answered for held");
}

#[test]
fn an_answer_from_the_past_is_found() {
    let (mut stale, old) = (whole(), Balance { available: 10, sequence: 1, ..Balance::default() });
    stale.call(Ask::Balance, Answer::Read { balance: old });
    expect(&stale, "place 1 was told after place");
    // While the later one was not answered yet, it is no past.
    stale.calls.last_mut().unwrap().begun = Duration::from_secs(1);
    assert_eq!(stale.findings(), Vec::<String>::new());
}

#[test]
fn an_effect_before_its_cause_is_found() {
    let mut early = whole();
    // Asked for only once its place in the ledger was known to be taken.
    let ask = Ask::Reserve { id: "expired".to_owned(), credits: 3 };
    early.calls.retain(|call| call.ask != ask);
    early.call(ask, Answer::Read { balance: Balance::default() });
    early.calls.last_mut().unwrap().ended = None;
    expect(&early, "before it was asked for");
}

#[test]
fn a_balance_that_the_ledger_does_not_have_is_found() {
    let wrong = whole().but(|story| {
        if let Answer::Held { balance, .. } = story.last_answer() {
            balance.available += 1;
        }
    });
    expect(&wrong, "the ledger has");
    let gap = whole().but(|story| story.books.entries.last_mut().unwrap().sequence += 1);
    expect(&gap, "entry 10 is the 9th");
    let sum = whole().but(|story| story.books.entries.last_mut().unwrap().after[2] += 1);
    expect(&sum, "the model has");
}

#[test]
fn a_row_that_says_otherwise_than_the_ledger_is_found() {
    let other = whole().but(|story| {
        story.books.reservations.insert("held".to_owned(), 2);
    });
    expect(&other, "by the ledger");
}

#[test]
fn a_block_with_enough_credits_is_found() {
    let mut blocked = whole();
    let ask = Ask::Reserve { id: "new".to_owned(), credits: 1 };
    let balance = balance(&blocked);
    blocked.call(ask, Answer::Blocked { required: 1, balance });
    expect(&blocked, "it was blocked with enough credits");
}

#[test]
fn refusals_have_to_have_a_cause() {
    for (reason, id, fits) in [
        ("RESERVATION_SETTLED", "released", true),
        ("RESERVATION_SETTLED", "held", false),
        ("RESERVATION_EXPIRED", "expired", true),
        ("RESERVATION_EXPIRED", "committed", false),
        ("RESERVATION_NOT_FOUND", "unheard-of", true),
        ("RESERVATION_NOT_FOUND", "held", false),
        ("SOMETHING_ELSE", "held", false),
    ] {
        let mut refused = whole();
        let ask = Ask::Commit { id: id.to_owned(), credits: None };
        refused.call(ask, Answer::Refused { reason: reason.to_owned() });
        assert_eq!(refused.findings().is_empty(), fits, "{reason} {id}: {:?}", refused.findings());
    }
}

#[test]
fn two_that_were_each_the_first_are_found() {
    let mut twice = Story::new();
    twice.reserve("r");
    let again = twice.calls.last().unwrap().clone();
    twice.calls.push(again);
    expect(&twice, "2 calls were each told to be the one that held r");
}

#[test]
fn a_payment_that_was_taken_and_brought_nothing_is_found() {
    let mut lost = Story::new();
    lost.call(Ask::Webhook { id: "txn".to_owned(), credits: 5 }, Answer::Stored);
    expect(&lost, "a payment that was taken brought no credits");
}
