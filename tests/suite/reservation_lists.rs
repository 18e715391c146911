//! Lists of an account's reservations, page by page.

use creditgate::{
    domain::reservation::{ReleaseCause, ReservationState},
    ledger::{ReservationKey, ReservationQuery},
};

use crate::{
    harness::{TestDb, words::*},
    write_path::{is_held, open},
};

/// Those that are held and those that were settled are found by different indexes, and
/// are one list: several were made at the same moment.
#[tokio::test]
async fn pages_of_held_and_settled_reservations_are_one_list_the_newest_first() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    for batch in 0..6 {
        let made = (0..5).map(|n| reserve("a", &format!("r{n}-{batch}"), "live_audit")).collect();
        assert!(ledger.submit_all(made).await.iter().all(is_held));
    }
    ledger.submit(reserve("a", "free", "quick_scan")).await.unwrap();
    for batch in 0..6 {
        ledger.submit(commit("a", &format!("r{}-{batch}", batch % 5))).await.unwrap();
        let other = format!("r{}-{batch}", (batch + 2) % 5);
        ledger.submit(release("a", &other, ReleaseCause::NotStarted)).await.unwrap();
    }
    let cell = db.database().cells().await.unwrap().remove(0);
    let mut of_states = 0;
    for (state, number) in [
        (None, 0),
        (Some(ReservationState::Held), 1),
        (Some(ReservationState::Committed), 2),
        (Some(ReservationState::Released), 3),
        (Some(ReservationState::Refunded), 5),
    ] {
        let ordered: Vec<String> = sqlx::query_scalar(
            "SELECT reservation_id FROM reservations WHERE $1 = 0 OR state = $1
              ORDER BY create_time DESC, reservation_id COLLATE \"C\" DESC",
        )
        .bind(number)
        .fetch_all(&db.owner)
        .await
        .unwrap();
        if number > 0 {
            of_states += ordered.len();
        }
        for limit in [1, 4, 7, 100] {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let account_id = Some(account("a"));
                let query =
                    ReservationQuery { account_id, state, expire_before: None, after, limit };
                let page = cell.reservations(&query).await.unwrap();
                let Some((account_id, last)) = page.last().cloned() else { break };
                after = Some(ReservationKey {
                    time: last.create_time,
                    account_id,
                    reservation_id: last.reservation_id,
                });
                found.extend(page.into_iter().map(|(_, of)| of.reservation_id.to_string()));
            }
            assert_eq!(found, ordered, "{state:?}, {limit} a page");
        }
    }
    assert_eq!(of_states, 31);
    ledger.close().await;
    db.finish().await;
}
