//! The connections that reads and changes of the directories share.

use std::time::Duration;

use creditgate::store::Database;

use crate::harness::{TestDb, eventually, words};

/// Transactions that are open on the test's database.
async fn open(db: &TestDb) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND backend_type = 'client backend' AND xact_start IS NOT NULL";
    db.count(query).await
}

#[tokio::test]
async fn a_transaction_that_fails_holds_nothing() {
    let db = TestDb::new().await;
    let database = db.database();
    let cells = database.cells().await.unwrap();
    let id = words::account("a");
    // It has written into the directory by the time it finds that there is no cell.
    database.create_account(&[], &cells[0], &id, "", "").await.unwrap_err();
    eventually("its transaction has ended", async || open(&db).await == 0).await;
    database.create_account(&cells, &cells[0], &id, "", "").await.unwrap();
    database.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_transaction_whose_caller_goes_away_holds_nothing() {
    let db = TestDb::new().await;
    // One connection: whatever is left behind on it meets the next caller.
    let database = Database::new(&db.url(), 1).unwrap();
    let cells = database.cells().await.unwrap();
    let id = words::account("a");
    database.create_account(&cells, &cells[0], &id, "", "").await.unwrap();
    let catalog = words::catalog();
    for pause in 0..60 {
        let applying = database.apply_catalog(&catalog, "test");
        let _ = tokio::time::timeout(Duration::from_micros(pause * 50), applying).await;
        let looking = cells[0].books(&id);
        let _ = tokio::time::timeout(Duration::from_micros(pause * 50), looking).await;
        database.catalog().await.unwrap();
        assert_eq!(cells[0].account_ids(None, 10).await.unwrap().len(), 1);
    }
    eventually("their transactions have ended", async || open(&db).await == 0).await;
    database.apply_catalog(&catalog, "test").await.unwrap();
    database.close().await;
    db.finish().await;
}
