//! A database that drops its connections while events are applied.

use std::time::{Duration, Instant};

use super::{catalog, effects, send::*};
use crate::harness::TestDb;

const PURCHASES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_lose_no_event_and_apply_none_twice() {
    let db = TestDb::new().await;
    let server = effects::start(&db).await;
    let address = server.http_addr();
    let cut = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'creditgate%'";
            assert!(db.count(cut).await > 0);
        }
    };
    let sent = async {
        let mut refused = 0;
        for n in 0..PURCHASES {
            let data = payment(&format!("txn_{n}"), "ctm_a", catalog::PACK, 1);
            let completed = event(&format!("evt_{n}"), "transaction.completed", 1, data);
            // As Paddle does: again, until it is taken.
            while deliver(&address, &completed).await.0 != 200 {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        refused
    };
    let ((), refused) = tokio::join!(cut, sent);
    let begun = Instant::now();
    let waiting = "SELECT count(*) FROM webhook_inbox WHERE state <> 3";
    while db.count(waiting).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} wait", db.count(waiting).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{refused} deliveries were refused; applied {:?} after the last cut", begun.elapsed());
    let failed = "SELECT count(*) FROM webhook_inbox WHERE state = 5";
    assert_eq!(db.count(failed).await, 0);
    let wanted = i64::try_from(PURCHASES).unwrap();
    assert_eq!(db.count("SELECT available FROM balances").await, 5 * wanted);
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries WHERE kind = 1").await, wanted);
    server.finish().await;
    db.finish().await;
}
