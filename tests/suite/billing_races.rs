//! Subscriptions and purchases against real Postgres: many callers, two replicas,
//! and what the reaper does of itself.

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock, Timestamp},
    domain::{
        command::{Command, Outcome, Refusal},
        provider::{AdjustmentAction, Effect},
    },
    ledger::{Ledger, LedgerError},
    store::catalogs::Applied,
    workers::reaper,
};

use crate::{
    harness::{TestDb, shop, shop::*, words::account},
    write_path::at_once,
};

async fn open(db: &TestDb, clock: Clock) -> Ledger {
    let ledger = db.ledger(clock).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(shop::catalog(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_it_and_however_often_a_purchase_and_a_period_grant_once() {
    let db = TestDb::new().await;
    let one = open(&db, Clock::Database).await;
    let other = db.ledger(Clock::Database).await;
    one.submit(begin("m", 7)).await.unwrap();
    let paid = || report("evt_1", 1, Effect::PaymentCompleted(transaction("txn_1")));
    let again = || report("evt_2", 2, Effect::PaymentCompleted(transaction("txn_1")));
    let commands: Vec<Command> =
        (0..16).flat_map(|_| [start("s"), confirm("m"), paid(), again(), begin("n", 1)]).collect();
    let answers = at_once(&[&one, &other], commands).await;
    let firsts = answers.iter().filter(|answer| match answer {
        Ok(
            Outcome::Subscribed { replayed, .. }
            | Outcome::TopUpConfirmed { replayed, .. }
            | Outcome::TopUpBegun { replayed, .. }
            | Outcome::EventApplied { replayed },
        ) => !replayed,
        answer => panic!("{answer:?}"),
    });
    // Both reports were applied; the second found the payment completed.
    assert_eq!(firsts.count(), 5);
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries WHERE kind = 1").await, 3);
    assert_eq!(db.count("SELECT sum(available)::bigint FROM balances").await, 3 + 7 + 10);
    one.close().await;
    other.close().await;
    db.finish().await;
}

/// Whatever comes first: a report that lacks its payment is refused, and sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_come_at_once_and_in_any_order_end_alike() {
    let db = TestDb::new().await;
    let one = open(&db, Clock::Database).await;
    let other = db.ledger(Clock::Database).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..12 {
        for step in 0..3 {
            let ledger = if (n + step) % 2 == 0 { one.clone() } else { other.clone() };
            let (payment, event) = (format!("txn_{n}"), format!("evt_{n}_{step}"));
            let adjusted = |action| Effect::Adjusted(adjustment(&event, &payment, action));
            let effect = match step {
                0 => Effect::PaymentCompleted(transaction(&payment)),
                1 => adjusted(AdjustmentAction::Chargeback),
                _ => adjusted(AdjustmentAction::ChargebackReverse),
            };
            let command = report(&event, step, effect);
            calls.spawn(async move {
                loop {
                    match ledger.submit(command.clone()).await {
                        Ok(_) => return,
                        Err(LedgerError::Refused(Refusal::TransactionUnknown { .. })) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            });
        }
    }
    calls.join_all().await;
    assert_eq!(db.count("SELECT sum(available)::bigint FROM balances").await, 120);
    assert_eq!(db.count("SELECT sum(reversed_credits)::bigint FROM purchases").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM accounts WHERE suspended").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM applied_events").await, 36);
    one.close().await;
    other.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reaper_renews_what_nobody_calls_for_and_gives_up_unpaid_purchases() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH + TimeDelta::days(20_000));
    let ledger = open(&db, Clock::Manual(clock.clone())).await;
    let mut commands: Vec<Command> = (0..600).map(|n| begin(&format!("m{n}"), 1)).collect();
    commands.extend([start("s"), confirm("m0")]);
    ledger.submit_all(commands).await;
    let pending = "SELECT count(*) FROM top_ups WHERE status = 1";
    reaper::sweep(&ledger).await.unwrap();
    assert_eq!(db.count(pending).await, 599);
    clock.advance(TimeDelta::days(100));
    // More than one page, and a month after the other.
    reaper::sweep(&ledger).await.unwrap();
    assert_eq!(db.count(pending).await, 0);
    assert_eq!(db.count("SELECT count(*) FROM top_ups WHERE status = 4").await, 599);
    assert_eq!(db.count("SELECT available FROM balances").await, 1 + 4 * 3);
    assert_eq!(db.count("SELECT count(*) FROM operations WHERE kind = 4").await, 4);
    ledger.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_goes_only_while_nobody_begins_it() {
    let db = TestDb::new().await;
    let ledger = open(&db, Clock::Database).await;
    let (database, without) = (db.database(), crate::harness::words::catalog());
    let ledgers = [&ledger];
    for round in 0..10 {
        let commands = (0..4).map(|n| start(&format!("s{round}-{n}"))).collect();
        let (answers, removal) =
            tokio::join!(at_once(&ledgers, commands), database.apply_catalog(&without, "test"));
        let begun = answers.iter().filter(|answer| match answer {
            Ok(Outcome::Subscribed { .. }) => true,
            Err(LedgerError::Refused(Refusal::PlanUnknown { .. })) => false,
            answer => panic!("{answer:?}"),
        });
        match (begun.count(), removal.unwrap()) {
            (0, Applied::Changed { .. }) => {
                database.apply_catalog(&shop::catalog(), "test").await.unwrap();
            }
            (4, Applied::PlansInUse(_)) => {}
            other => panic!("{other:?}"),
        }
        db.execute("UPDATE subscriptions SET status = 5, end_time = now() WHERE status <> 5").await;
    }
    ledger.close().await;
    db.finish().await;
}
