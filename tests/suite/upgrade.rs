//! A database of the first version is brought up to date with what is in it, and
//! that version's writes still pass.

use creditgate::{
    billing::Billing,
    clock::Clock,
    domain::{payment::TopUpStatus, subscription::SubscriptionStatus},
    store::{Database, migrate::Plan, queries::TopUpQuery},
};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    harness::{TestDb, words::*},
    write_path::is_held,
};

/// What the first version wrote, in its words.
const FIRST: &str = "
    INSERT INTO public.account_directory VALUES ('a', 0);
    INSERT INTO accounts (account_id, version, held_scans, subscriptions, suspended,
                          suspension_reason, display_name, billing_email, create_time)
    VALUES ('a', 1, 0, 1, false, '', '', '', now());
    INSERT INTO subscriptions VALUES
           ('a', 's1', 'pro', 2, 1, 'paddle', now(), now(), now() + '1 month', false, now(), NULL),
           ('a', 's2', 'pro', 5, 1, 'paddle', now(), now(), now() + '1 month', true, now(), now());
    INSERT INTO top_ups VALUES
           ('a', 't1', 'scan', 5, 2500, 'USD', 1, 'manual', '', now(), now() + '1 day', NULL),
           ('a', 't2', 'scan', 5, 2500, 'USD', 3, 'manual', '', now() - interval '1 day', now(), now())";

/// As it goes on to write beside the new version.
const FIRST_GOES_ON: &str = "
    UPDATE accounts SET version = version + 1, held_scans = 0, subscriptions = 2,
                        suspended = false, suspension_reason = '' WHERE account_id = 'a';
    UPDATE subscriptions SET status = 5, end_time = period_end_time
     WHERE subscription_id = 's1' AND end_time IS NULL;
    INSERT INTO operations VALUES ('a', 2, 'o', 'scan', 1, NULL, '', NULL, 1, now())";

#[tokio::test]
async fn the_first_version_is_brought_up_to_date_and_may_write_on() {
    let db = TestDb::empty().await;
    let mut connection = PgConnection::connect(&db.owner_url()).await.unwrap();
    sqlx::migrate!("migrations/public").run_to(1, &mut connection).await.unwrap();
    connection.execute("CREATE SCHEMA cell_00; SET search_path = cell_00").await.unwrap();
    sqlx::migrate!("migrations/cell").run_to(1, &mut connection).await.unwrap();
    connection.execute("INSERT INTO public.cells VALUES (0, 'cell_00')").await.unwrap();
    connection.execute(FIRST).await.unwrap();
    connection.close().await.unwrap();
    let owner = Database::new(&db.owner_url(), 1).unwrap();
    assert!(owner.check_schema().await.is_err());
    owner.migrate(&Plan { serving_role: "creditgate_app".to_owned(), cells: 1 }).await.unwrap();
    owner.check_schema().await.unwrap();
    owner.close().await;

    let cell = db.database().cells().await.unwrap().remove(0);
    let details = cell.accounts(&[account("a")]).await.unwrap().remove(0);
    assert_eq!(details.account.lapse_time, None);
    let found = details.subscriptions.iter().map(|s| (s.status, s.sent.clone(), s.provider_time));
    let (active, ended) = (SubscriptionStatus::Active, SubscriptionStatus::Canceled);
    assert_eq!(found.collect::<Vec<_>>(), [(active, None, None), (ended, None, None)]);
    let query = TopUpQuery { account_id: account("a"), after: None, limit: 9 };
    let top_ups = cell.top_ups(&query).await.unwrap();
    let found = top_ups.iter().map(|top_up| (top_up.status, top_up.reason.as_str()));
    assert_eq!(found.collect::<Vec<_>>(), [(TopUpStatus::Pending, ""), (TopUpStatus::Failed, "")]);

    db.execute(FIRST_GOES_ON).await;
    db.execute("DELETE FROM operations").await;
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(catalog(), false, "test").await.unwrap();
    ledger.submit(grant("a", "g", "scan", 3)).await.unwrap();
    assert!(is_held(&ledger.submit(reserve("a", "r", "live_audit")).await));
    ledger.close().await;
    db.finish().await;
}
