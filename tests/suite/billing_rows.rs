//! Subscriptions, top-ups and payments: what a batch writes is what the next one
//! reads, and a batch that read too early writes nothing.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use creditgate::{
    domain::{
        account::{AccountState, Missing},
        command::{Action, Command, OperationKind},
        payment::{KnownAdjustment, Purchase, TopUp, TopUpStatus},
        provider::{
            Adjustment, AdjustmentAction, AdjustmentItem, AdjustmentStatus, Effect, Origin,
            ProviderEvent, Transaction, TransactionItem,
        },
        subscription::{BillingInterval, Subscription, SubscriptionStatus},
    },
    ids::LotId,
    store::{
        batch::Demand,
        queries::{TopUpKey, TopUpQuery},
    },
};

use crate::{
    harness::{TestDb, hand::*, words::*},
    write_path::open,
};

fn top_up(id: &str, day: i64) -> TopUp {
    TopUp {
        top_up_id: operation(id),
        credit_type: credit_type("scan"),
        credits: 5,
        price_minor: 2_500,
        currency: "USD".to_owned(),
        status: TopUpStatus::Pending,
        provider: "paddle".to_owned(),
        provider_reference: String::new(),
        reason: String::new(),
        create_time: at(day),
        expire_time: at(day + 1),
        settle_time: None,
    }
}

fn purchase(item: &str, lot_id: LotId) -> Purchase {
    Purchase {
        provider: "paddle".to_owned(),
        transaction_id: "txn/1".to_owned(),
        item_id: item.to_owned(),
        credit_type: credit_type("scan"),
        key: (OperationKind::TopUp, operation("bought")),
        lot_id,
        credits: 5,
        paid_minor: 2_500,
        reversed_credits: 0,
    }
}

fn adjustment(id: &str, items: &[(&str, i64)]) -> KnownAdjustment {
    let items = items.iter().map(|(item_id, total_minor)| AdjustmentItem {
        item_id: (*item_id).to_owned(),
        total_minor: *total_minor,
    });
    KnownAdjustment {
        adjustment: Adjustment {
            adjustment_id: id.to_owned(),
            transaction_id: "txn/1".to_owned(),
            action: AdjustmentAction::Refund,
            status: AdjustmentStatus::PendingApproval,
            full: false,
            items: items.collect(),
        },
        occurred_at: at(5),
    }
}

/// A report of a payment of two lines, of which one's id is no id of a top-up.
fn paid(top_up_id: Option<&str>) -> Command {
    let item = |item_id: &str| TransactionItem {
        item_id: item_id.to_owned(),
        price_id: "pri_1".to_owned(),
        quantity: 1,
        total_minor: 2_500,
    };
    let effect = Effect::PaymentCompleted(Transaction {
        transaction_id: "txn/1".to_owned(),
        top_up_id: top_up_id.map(operation),
        subscription_id: None,
        period: None,
        origin: Origin::Web,
        currency: "USD".to_owned(),
        total_minor: 5_000,
        items: vec![item("itm_1"), item("itm_2")],
    });
    report(effect)
}

fn report(effect: Effect) -> Command {
    let event = ProviderEvent {
        provider: "paddle".to_owned(),
        event_id: "evt_1".to_owned(),
        occurred_at: at(3),
        effect,
    };
    command("a", Action::ApplyEvent(Box::new(event)))
}

#[tokio::test]
async fn a_subscription_is_read_as_it_was_written_and_named_ones_after_their_end_too() {
    let db = TestDb::new().await;
    let ledger = open(&db, 0).await;
    let (mut hand, cell) = Hand::new(&db).await;
    let named = [start("s1"), start("s2")];
    let (written, found) = hand
        .change(&named, |state| {
            state.subscriptions.push(subscription("s1", "pro"));
            let imported = Subscription { sent: None, ..subscription("s2", "pro") };
            state.subscriptions.push(imported);
            state.account.subscriptions += 1;
            state.account.lapse_time = Some(at(-3));
        })
        .await;
    assert_eq!(found, written);
    let (written, found) = hand
        .change(&named, |state| {
            state.account.lapse_time = None;
            state.subscriptions[0] = Subscription {
                plan: plan_name("team"),
                status: SubscriptionStatus::Canceled,
                interval: BillingInterval::Month,
                provider: "paddle".to_owned(),
                period_start_time: at(15),
                period_end_time: at(45),
                cancel_at_period_end: true,
                anchor_time: at(15),
                end_time: Some(at(20)),
                provider_time: Some(at(19)),
                sent: None,
                ..state.subscriptions[0].clone()
            };
        })
        .await;
    assert_eq!(found, written);
    let details = cell.accounts(&[account("a")]).await.unwrap().remove(0);
    assert_eq!(details.subscriptions, written.subscriptions);
    // Whoever does not name it sees only what is live.
    let live = hand.read(&[command("a", Action::ApplyDue)]).await;
    hand.lane.rollback().await.unwrap();
    assert_eq!(live.subscriptions, written.subscriptions[1..]);
    for change in [
        |s: &mut Subscription| s.period_end_time += TimeDelta::days(1),
        |s: &mut Subscription| s.period_start_time += TimeDelta::days(1),
        |s: &mut Subscription| s.provider_time = Some(at(30)),
        |s: &mut Subscription| s.status = SubscriptionStatus::PastDue,
    ] {
        assert!(hand.is_guarded(&named, |state| change(&mut state.subscriptions[1])).await);
    }
    // And a new one only once.
    assert!(
        hand.is_guarded(&[start("s3")], |state| {
            state.subscriptions.push(subscription("s3", "pro"));
        })
        .await
    );
    hand.lane.close().await;
    ledger.close().await;
}

#[tokio::test]
async fn top_ups_and_what_a_payment_brought_are_read_as_they_were_written() {
    let db = TestDb::new().await;
    let ledger = open(&db, 5).await;
    ledger.submit(reserve("a", "r", "deep_audit")).await.unwrap();
    db.execute("UPDATE operations SET kind = 3, operation_id = 'bought'").await;
    let (mut hand, _cell) = Hand::new(&db).await;
    let lot_id = *hand.read(&[reserve("a", "r", "deep_audit")]).await.lots.keys().next().unwrap();
    hand.lane.rollback().await.unwrap();
    let named = [paid(Some("bought"))];
    let (written, found) = hand
        .change(&named, |state| {
            assert_eq!(state.operations.len(), 1);
            state.top_ups.insert(operation("bought"), top_up("bought", 0));
            state.transactions.insert(("paddle".to_owned(), "txn/1".to_owned()));
            state.applied_events.insert(("paddle".to_owned(), "evt_1".to_owned()));
            state.purchases = vec![purchase("itm_1", lot_id), purchase("itm_2", lot_id)];
            for (id, items) in [("adj_1", &[][..]), ("adj_2", &[("itm_1", 7), ("itm_2", 8)])] {
                let key = ("paddle".to_owned(), id.to_owned());
                state.adjustments.insert(key, adjustment(id, items));
            }
            state.account.version -= 1;
        })
        .await;
    assert_eq!(found, AccountState { account: found.account.clone(), ..written });
    let change = |state: &mut AccountState| {
        let bought = state.top_ups.get_mut(&operation("bought")).unwrap();
        bought.status = TopUpStatus::Failed;
        bought.settle_time = Some(at(1));
        bought.provider_reference = "txn/1".to_owned();
        bought.reason = "declined".to_owned();
        state.purchases[1].reversed_credits = 3;
        let known = state.adjustments.values_mut().next().unwrap();
        known.adjustment.status = AdjustmentStatus::Approved;
        known.adjustment.items = adjustment("", &[("itm_2", 9)]).adjustment.items;
        known.occurred_at = at(6);
    };
    let (written, found) = hand.change(&named, change).await;
    assert_eq!(found, AccountState { account: found.account.clone(), ..written });
    // A report of something else about the payment sees the same, and the lots of
    // what it brought, empty or not.
    db.execute("UPDATE lots SET remaining = 0, is_open = false").await;
    let adjusted = report(Effect::Adjusted(adjustment("adj_9", &[]).adjustment));
    let seen = hand.read(&[adjusted]).await;
    hand.lane.rollback().await.unwrap();
    assert_eq!(seen.purchases, found.purchases);
    assert_eq!(seen.adjustments, found.adjustments);
    assert_eq!(seen.top_ups, found.top_ups);
    assert_eq!(seen.lots.keys().collect::<Vec<_>>(), [&lot_id]);
    db.execute("UPDATE lots SET remaining = 2, is_open = true").await;
    let of = |change: fn(&mut AccountState)| change;
    for change in [
        of(|state| {
            let bought = state.top_ups.get_mut(&operation("bought")).unwrap();
            bought.status = TopUpStatus::Expired;
        }),
        of(|state| state.purchases[0].reversed_credits += 1),
        of(|state| state.adjustments.values_mut().for_each(|known| known.occurred_at = at(9))),
        of(|state| _ = state.transactions.insert(("paddle".to_owned(), "txn/2".to_owned()))),
        of(|state| _ = state.applied_events.insert(("paddle".to_owned(), "evt_2".to_owned()))),
    ] {
        assert!(hand.is_guarded(&named, change).await);
    }
    hand.lane.close().await;
    ledger.close().await;
}

#[tokio::test]
async fn an_operation_that_is_looked_for_on_demand_comes_with_its_lot() {
    let db = TestDb::new().await;
    let ledger = open(&db, 3).await;
    ledger.submit(reserve("a", "r", "deep_audit")).await.unwrap();
    let (mut hand, _cell) = Hand::new(&db).await;
    let read = hand.read(&[command("a", Action::ApplyDue)]).await;
    assert!(read.operations.is_empty() && read.lots.is_empty() && read.looked_up.is_empty());
    let keys = [(OperationKind::Grant, "g1"), (OperationKind::TopUp, "g1")]
        .map(|(kind, id)| (kind, operation(id)));
    let demands = keys.clone().map(|key| Demand {
        account_id: account("a"),
        missing: Missing::Operations(vec![key]),
        limit: 1,
    });
    let mut accounts = [(account("a"), read)].into();
    hand.lane.supply(&demands, &mut accounts).await.unwrap();
    hand.lane.rollback().await.unwrap();
    let state = &accounts[&account("a")];
    let made = state.operation(&keys[0]).unwrap().unwrap();
    assert_eq!(state.lots[&made.lot_id.unwrap()].remaining, 0);
    assert_eq!(state.operation(&keys[1]), Ok(None));
    assert_eq!(state.looked_up, BTreeSet::from(keys));
    hand.lane.close().await;
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn top_ups_are_listed_the_newest_first_and_belong_to_whoever_came_first() {
    let db = TestDb::new().await;
    let ledger = open(&db, 0).await;
    let (mut hand, cell) = Hand::new(&db).await;
    let days = [("t1", 1), ("t2", 2), ("t3", 2), ("t4", 3)];
    let begun = hand.read(&[command("a", Action::ApplyDue)]).await;
    let mut new = begun.clone();
    for (id, day) in days {
        new.top_ups.insert(operation(id), top_up(id, day));
    }
    hand.write(&begun, &new).await.unwrap();
    let mut query = TopUpQuery { account_id: account("a"), after: None, limit: 3 };
    let mut listed = Vec::new();
    loop {
        let page = cell.top_ups(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after =
            Some(TopUpKey { create_time: last.create_time, top_up_id: last.top_up_id.clone() });
        listed.extend(page.into_iter().map(|top_up| top_up.top_up_id.to_string()));
    }
    assert_eq!(listed, ["t4", "t3", "t2", "t1"]);
    // The oldest first, page by page, and only those whose time is over.
    let mut expired = cell.expired_top_ups(Some(at(3)), None, 2).await.unwrap();
    let rest = cell.expired_top_ups(Some(at(3)), expired.last(), 2).await.unwrap();
    expired.extend(rest);
    let expired: Vec<String> = expired.iter().map(|t| t.top_up_id.to_string()).collect();
    assert_eq!(expired, ["t1", "t2", "t3"]);

    let database = db.database();
    let id = operation("t1");
    assert_eq!(database.account_of_top_up(&id).await.unwrap(), None);
    for claimant in ["a", "b", "a"] {
        let owner = database.claim_top_up(&id, &account(claimant)).await.unwrap();
        assert_eq!(owner, account("a"));
    }
    assert_eq!(database.account_of_top_up(&id).await.unwrap(), Some(account("a")));
    hand.lane.close().await;
    ledger.close().await;
    db.finish().await;
}
