//! The write path against real Postgres: races, replays, poison, locks.

use creditgate::{
    billing::Billing,
    clock::Clock,
    domain::command::{Action, Command, Outcome, Refusal, Reserve},
    ledger::{Ledger, LedgerError},
};

use crate::harness::{TestDb, words::*};

/// A ledger with the catalog and one account of so many credits.
pub async fn open(db: &TestDb, credits: i64) -> Ledger {
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(catalog(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    if credits > 0 {
        ledger.submit(grant("a", "g1", "scan", credits)).await.unwrap();
    }
    ledger
}

pub fn is_held(answer: &Result<Outcome, LedgerError>) -> bool {
    matches!(answer, Ok(Outcome::Reserved { .. }))
}

/// Sends all commands at once, each from a task of its own.
pub async fn at_once(
    ledgers: &[&Ledger],
    commands: Vec<Command>,
) -> Vec<Result<Outcome, LedgerError>> {
    let mut calls = tokio::task::JoinSet::new();
    for (position, command) in commands.into_iter().enumerate() {
        let ledger = ledgers[position % ledgers.len()].clone();
        calls.spawn(async move { ledger.submit(command).await });
    }
    calls.join_all().await
}

pub fn reserves(callers: usize) -> Vec<Command> {
    (0..callers).map(|caller| reserve("a", &format!("r{caller}"), "live_audit")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_callers_who_race_for_10_credits_exactly_10_win() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let answers = at_once(&[&ledger], reserves(64)).await;
    assert_eq!(answers.iter().filter(|answer| is_held(answer)).count(), 10);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    ledger.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_share_the_race() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let other = db.ledger(Clock::Database).await;
    let answers = at_once(&[&ledger, &other], reserves(64)).await;
    assert_eq!(answers.iter().filter(|answer| is_held(answer)).count(), 10);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    ledger.close().await;
    other.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_from_32_callers_at_once_is_one_hold_and_32_equal_answers() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let other = db.ledger(Clock::Database).await;
    let commands = (0..32).map(|_| reserve("a", "same", "deep_audit")).collect();
    let mut firsts = 0;
    let mut seen = Vec::new();
    for answer in at_once(&[&ledger, &other], commands).await {
        let Ok(Outcome::Reserved { reservation, balance, replayed }) = answer else {
            panic!("{answer:?}")
        };
        firsts += u32::from(!replayed);
        seen.push((reservation, balance));
    }
    assert_eq!(firsts, 1);
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(db.count("SELECT count(*) FROM reservations").await, 1);
    ledger.close().await;
    other.close().await;
    db.finish().await;
}

#[tokio::test]
async fn the_books_of_one_batch_are_those_of_its_commands_one_by_one() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let answers = ledger
        .submit_all(vec![
            reserve("a", "r1", "deep_audit"),
            commit("a", "r1"),
            reserve("a", "r1", "deep_audit"),
            reserve("a", "r2", "deep_audit"),
            release("a", "r2", creditgate::domain::reservation::ReleaseCause::PlatformError),
            reserve("nobody", "r", "live_audit"),
            reserve("a", "r3", "no_such_kind"),
            commit("a", "r9"),
        ])
        .await;
    assert!(is_held(&answers[0]) && is_held(&answers[3]));
    assert!(matches!(&answers[1], Ok(Outcome::Committed { replayed: false, .. })));
    assert!(matches!(&answers[2], Err(LedgerError::Refused(Refusal::ReservationSettled { .. }))));
    assert!(matches!(&answers[4], Ok(Outcome::Released { restored_credits: 3, .. })));
    assert!(matches!(&answers[5], Err(LedgerError::Refused(Refusal::AccountNotFound { .. }))));
    assert!(matches!(&answers[6], Err(LedgerError::Refused(Refusal::ScanKindUnknown { .. }))));
    assert!(matches!(&answers[7], Err(LedgerError::Refused(Refusal::ReservationNotFound { .. }))));
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_project_is_one_accounts_and_a_check_agrees_with_the_reserve_that_follows() {
    let db = TestDb::new().await;
    let ledger = open(&db, 2).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.create_account(&account("b"), "", "").await.unwrap();
    let project = creditgate::ids::ProjectId::new("p").unwrap();
    assert_eq!(billing.assign_project(&project, Some(&account("b"))).await.unwrap(), None);
    for round in 0..3 {
        let mut wanted = scan("live_audit");
        wanted.project_id = Some(project.clone());
        let checked = ledger.submit(command("a", Action::Check(wanted.clone()))).await.unwrap();
        let action = Action::Reserve(Reserve {
            reservation_id: reservation(&format!("r{round}")),
            scan: wanted,
            lease: None,
            labels: std::collections::BTreeMap::new(),
        });
        let reserved = ledger.submit(command("a", action)).await.unwrap();
        match (round, checked, reserved) {
            (0, Outcome::Blocked { block, .. }, Outcome::Blocked { block: same, .. }) => {
                assert_eq!(block, same);
                let previous = billing.assign_project(&project, Some(&account("a"))).await.unwrap();
                assert_eq!(previous.as_deref(), Some("b"));
            }
            (1 | 2, Outcome::Eligible { credits, .. }, Outcome::Reserved { reservation, .. }) => {
                assert_eq!(credits, reservation.credits);
            }
            (_, checked, reserved) => panic!("{checked:?} {reserved:?}"),
        }
    }
    ledger.close().await;
    db.finish().await;
}
