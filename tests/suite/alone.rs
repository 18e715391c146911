//! A write that is a transaction of its own: whatever it was decided on and is so no more,
//! nothing of it happens.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use creditgate::{
    domain::account::AccountState,
    ids::ProjectId,
    store::{StoreError, batch::Footing},
};

use crate::{
    harness::{TestDb, hand::*, words::*},
    write_path::open,
};

/// What is assumed.
struct Assumed {
    state: AccountState,
    revision: i64,
    decided_at: creditgate::clock::Timestamp,
}

/// One thing of it that is not so.
type Untrue = fn(&mut Assumed);

const UNTRUE: [(&str, Untrue); 6] = [
    ("the account", |assumed| assumed.state.account.version += 1),
    ("the balance", |assumed| balance(&mut assumed.state).sequence += 1),
    ("the lot", |assumed| {
        let lot_id = *assumed.state.lots.keys().next().unwrap();
        assumed.state.lots.get_mut(&lot_id).unwrap().remaining += 1;
    }),
    ("the project", |assumed| {
        assumed.state.projects.insert(ProjectId::new("nobodys").unwrap());
    }),
    ("the catalog", |assumed| assumed.revision += 1),
    ("the clock", |assumed| assumed.decided_at -= TimeDelta::hours(1)),
];

fn balance(state: &mut AccountState) -> &mut creditgate::domain::credit::Balance {
    let credit_type = state.balances.keys().next().unwrap().clone();
    state.balances.get_mut(&credit_type).unwrap()
}

/// Spends a credit without an entry, on whatever is assumed: nothing of that may be found.
async fn spend(hand: &mut Hand, assumed: &Assumed) -> Result<(), StoreError> {
    let mut new = assumed.state.clone();
    balance(&mut new).sequence += 1;
    balance(&mut new).available -= 1;
    let lot_id = *new.lots.keys().next().unwrap();
    new.lots.get_mut(&lot_id).unwrap().remaining -= 1;
    let footing = Footing {
        is_locked: false,
        known: BTreeSet::from([account("a")]),
        decided_at: Some(assumed.decided_at),
    };
    let changes = std::iter::once((&assumed.state, &new));
    hand.lane.write_alone(footing, at(4), assumed.revision, changes).await.map(|_| ())
}

#[tokio::test]
async fn a_write_alone_is_refused_whole_where_anything_it_stands_on_is_not_so() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    let (mut hand, _) = Hand::new(&db).await;
    let read = hand.read(&[reserve("a", "r", "live_audit")]).await;
    hand.lane.rollback().await.unwrap();
    let assume = |hand: &Hand| Assumed {
        state: read.clone(),
        revision: hand.revision,
        decided_at: Utc::now(),
    };
    for (what, untrue) in UNTRUE {
        let mut assumed = assume(&hand);
        untrue(&mut assumed);
        let refused = spend(&mut hand, &assumed).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{what}: {refused:?}");
        let found = hand.read(&[reserve("a", "r", "live_audit")]).await;
        hand.lane.rollback().await.unwrap();
        assert_eq!(found, read, "{what}");
    }
    let assumed = assume(&hand);
    spend(&mut hand, &assumed).await.unwrap();
    let mut found = hand.read(&[reserve("a", "r", "live_audit")]).await;
    hand.lane.rollback().await.unwrap();
    let mut expected = read.clone();
    assert_eq!(balance(&mut found).available, balance(&mut expected).available - 1);
    db.execute(
        "UPDATE balances SET available = 100, sequence = 1; UPDATE lots SET remaining = 100",
    )
    .await;
    ledger.close().await;
    db.finish().await;
}
