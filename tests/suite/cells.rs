//! Several cells in one database: accounts live apart and nobody notices.

use creditgate::{
    billing::Billing,
    clock::Clock,
    domain::{
        command::{Action, Outcome, Refusal},
        verdict::BlockReason,
    },
    ids::ProjectId,
    ledger::{LedgerError, ReservationQuery},
    store::{Database, migrate::Plan},
};

use crate::harness::{TestDb, words::*};

async fn migrate(db: &TestDb, cells: i16) {
    let owner = Database::new(&db.owner_url(), 1).unwrap();
    let plan = Plan { serving_role: "creditgate_app".to_owned(), cells };
    owner.migrate(&plan).await.unwrap();
    owner.close().await;
}

#[tokio::test]
async fn accounts_of_two_cells_are_served_as_one() {
    let db = TestDb::empty().await;
    migrate(&db, 1).await;
    {
        let ledger = db.ledger(Clock::Database).await;
        let billing = Billing::new(db.database(), ledger.clone());
        billing.apply_catalog(catalog(), false, "test").await.unwrap();
        ledger.close().await;
    }
    // A second cell is opened later, with the catalog that holds; migrating
    // again changes nothing.
    migrate(&db, 2).await;
    migrate(&db, 2).await;
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    let names: Vec<String> = (0..12).map(|n| format!("acc-{n:02}")).collect();
    for name in &names {
        billing.create_account(&account(name), "", "").await.unwrap();
        ledger.submit(grant(name, "g", "scan", 3)).await.unwrap();
    }
    for cell in ["cell_00", "cell_01"] {
        assert!(db.count(&format!("SELECT count(*) FROM {cell}.accounts")).await > 0, "{cell}");
    }
    let held = ledger
        .submit_all(names.iter().map(|name| reserve(name, "r", "live_audit")).collect())
        .await;
    assert!(held.iter().all(|answer| matches!(answer, Ok(Outcome::Reserved { .. }))), "{held:?}");
    let answer = ledger.submit(reserve("nobody", "r", "live_audit")).await;
    assert!(matches!(answer, Err(LedgerError::Refused(Refusal::AccountNotFound { .. }))));

    let listed = billing.accounts(None, 100).await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|(a, _)| a.account_id.as_str()).collect();
    assert_eq!(listed, names);
    let all_held = |limit| ReservationQuery {
        account_id: None,
        state: None,
        expire_before: None,
        after: None,
        limit,
    };
    let page = ledger.reservations(all_held(100)).await.unwrap();
    assert_eq!(page.len(), 12);
    assert!(page.is_sorted_by_key(|(_, reservation)| reservation.expire_time));
    assert_eq!(ledger.reservations(all_held(5)).await.unwrap(), page[..5]);

    // A project that moves from cell to cell is never two accounts'.
    let project = ProjectId::new("p").unwrap();
    let mut previous = None;
    for name in &names {
        let moved = billing.assign_project(&project, Some(&account(name))).await.unwrap();
        assert_eq!(moved, previous);
        previous = Some(name.clone());
        let owners = "SELECT (SELECT count(*) FROM cell_00.projects)
                           + (SELECT count(*) FROM cell_01.projects)";
        assert_eq!(db.count(owners).await, 1);
        let mut wanted = scan("live_audit");
        wanted.project_id = Some(project.clone());
        let check = |account_id: &str| command(account_id, Action::Check(wanted.clone()));
        let mine = ledger.submit(check(name)).await.unwrap();
        assert!(matches!(mine, Outcome::Eligible { .. }), "{mine:?}");
        let other = if name == "acc-00" { "acc-01" } else { "acc-00" };
        match ledger.submit(check(other)).await.unwrap() {
            Outcome::Blocked { block, .. } => assert_eq!(block.reason, BlockReason::WrongAccount),
            outcome => panic!("{outcome:?}"),
        }
    }
    let catalogs = "SELECT (SELECT max(revision) FROM cell_00.catalogs) * 10
                         + (SELECT max(revision) FROM cell_01.catalogs)";
    assert_eq!(db.count(catalogs).await, 11);
    billing.apply_catalog(Default::default(), false, "test").await.unwrap();
    assert_eq!(db.count(catalogs).await, 22);
    let answer = ledger.submit(reserve("acc-00", "r2", "live_audit")).await;
    assert!(matches!(answer, Err(LedgerError::Refused(Refusal::ScanKindUnknown { .. }))));
    ledger.close().await;
    db.finish().await;
}

/// A server that is older than a cell knows nothing of it, and does no harm.
#[tokio::test]
async fn a_cell_that_is_opened_under_a_running_server_gets_its_catalogs() {
    let db = TestDb::empty().await;
    migrate(&db, 2).await;
    let old = db.ledger(Clock::Database).await;
    migrate(&db, 3).await;
    let billing = Billing::new(db.database(), old.clone());
    billing.apply_catalog(catalog(), false, "test").await.unwrap();
    for cell in ["cell_00", "cell_01", "cell_02"] {
        assert_eq!(db.count(&format!("SELECT max(revision) FROM {cell}.catalogs")).await, 1);
    }
    let new = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), new.clone());
    for n in 0..12 {
        billing.create_account(&account(&format!("acc-{n}")), "", "").await.unwrap();
    }
    let mut elsewhere = 0;
    for n in 0..12 {
        let name = format!("acc-{n}");
        match old.submit(grant(&name, "g", "scan", 3)).await {
            Ok(_) => {}
            // Not that there is no such account: there is.
            Err(error) => {
                assert_eq!(error, LedgerError::Unavailable);
                elsewhere += 1;
            }
        }
        new.submit(grant(&name, "g", "scan", 3)).await.unwrap();
    }
    assert!(elsewhere > 0);
    old.close().await;
    new.close().await;
    db.finish().await;
}

#[tokio::test]
async fn tables_of_others_are_left_alone() {
    let db = TestDb::empty().await;
    db.execute("CREATE TABLE public.theirs (secret text)").await;
    migrate(&db, 1).await;
    let rights = "SELECT has_table_privilege('creditgate_app', 'public.theirs',
                                             'SELECT, INSERT, UPDATE, DELETE')::int::bigint";
    assert_eq!(db.count(rights).await, 0);
    db.finish().await;
}
