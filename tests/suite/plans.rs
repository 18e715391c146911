//! Plans that are made on empty tables must be right when they are full.

use std::time::{Duration, Instant};

use creditgate::{
    billing::Billing,
    domain::command::{Action, Outcome},
};

use crate::{
    harness::{TestDb, eventually, words::*},
    write_path::{is_held, open},
};

/// Traps 1 and 2: a plan made on empty tables must be right when they are full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_database_is_fast_from_its_first_second() {
    let db = TestDb::new().await;
    let ledger = open(&db, 1_000_000).await;
    let mut rates = Vec::new();
    for round in 0..4 {
        let begun = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for caller in 0..32 {
            let ledger = ledger.clone();
            calls.spawn(async move {
                let mut done = 0_u32;
                while begun.elapsed() < Duration::from_secs(1) {
                    let id = format!("r-{round}-{caller}-{done}");
                    assert!(is_held(&ledger.submit(reserve("a", &id, "live_audit")).await));
                    assert!(ledger.submit(commit("a", &id)).await.is_ok());
                    done += 1;
                }
                done
            });
        }
        rates.push(calls.join_all().await.into_iter().sum::<u32>());
    }
    println!("scans reserved and committed, second by second: {rates:?}");
    // Neither slow at first nor slower from then on: a bad plan costs a factor of five
    // and more. What else runs on the machine may cost a factor of two; so the proof
    // is in the scans below.
    let best = rates.iter().max().copied().unwrap_or_default();
    assert!(rates.iter().all(|rate| rate * 4 > best), "{rates:?}");
    ledger.close().await;
    // The statistics arrive once the lanes' sessions have ended.
    let lookups = "SELECT coalesce(max(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                    WHERE indexrelname = 'reservations_pkey'";
    eventually("the statistics arrive", async || db.count(lookups).await > 0).await;
    // Not one sequential scan, however small the tables were at first.
    let scans = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables
                  WHERE schemaname = 'cell_00' AND relname IN
                        ('accounts', 'balances', 'lots', 'reservations', 'ledger_entries')";
    assert_eq!(db.count(scans).await, 0);
    // And no look-up by key on an index that serves something else.
    let indexes = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                    WHERE indexrelname IN ('reservations_settled_idx', 'reservations_held_idx')";
    assert_eq!(db.count(indexes).await, 0);
    // Nor any look at what only billing needs.
    let billing = "SELECT sum(coalesce(idx_scan, 0) + seq_scan)::bigint FROM pg_stat_user_tables
                    WHERE schemaname = 'cell_00' AND relname IN
                          ('top_ups', 'transactions', 'purchases', 'adjustments',
                           'applied_events')";
    assert_eq!(db.count(billing).await, 0);
    db.finish().await;
}

/// What only blocks, and accounts with a plan, read: as much a trap as the rest.
#[tokio::test]
async fn what_a_block_reads_is_found_by_its_account() {
    let db = TestDb::new().await;
    // An autovacuum may well come by before the first row does.
    db.execute("ANALYZE").await;
    let ledger = open(&db, 1).await;
    db.execute(
        "INSERT INTO subscriptions SELECT 'a', 's', 'gone', 3, 1, 'manual', now(), now(),
                                          now() + '1 month', false, now(), NULL;
         UPDATE accounts SET subscriptions = 1",
    )
    .await;
    let mut policy = catalog();
    policy.policy.max_concurrent_scans_per_project = 1;
    policy.plans.push(creditgate::domain::catalog::Plan {
        name: creditgate::ids::PlanName::new("gone").unwrap(),
        allowances: Vec::new(),
        scans: ["live_audit", "deep_audit"]
            .map(|kind| creditgate::domain::catalog::PlanScan {
                scan_kind: creditgate::ids::ScanKindName::new(kind).unwrap(),
                covered: false,
                max_credits: 0,
            })
            .to_vec(),
        max_concurrent_scans: 0,
        prices: Vec::new(),
        provider_prices: Vec::new(),
    });
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(policy, false, "test").await.unwrap();
    let project = creditgate::ids::ProjectId::new("p").unwrap();
    billing.assign_project(&project, Some(&account("a"))).await.unwrap();
    let of_project = |id: &str| {
        let mut command = reserve("a", id, "live_audit");
        if let Action::Reserve(reserve) = &mut command.action {
            reserve.scan.project_id = Some(project.clone());
        }
        command
    };
    assert!(is_held(&ledger.submit(of_project("r")).await));
    for command in [of_project("busy"), reserve("a", "broke", "deep_audit")] {
        let answer = ledger.submit(command).await.unwrap();
        let Outcome::Blocked { block, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(block.holding_reservation_ids, [reservation("r")]);
    }
    ledger.close().await;
    let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                 WHERE indexrelname = 'reservations_held_idx'";
    eventually("the statistics arrive", async || db.count(used).await > 0).await;
    // Those of the workers: over all accounts, whoever asks.
    let workers = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                    WHERE indexrelname IN ('reservations_lease_idx', 'subscriptions_period_end_idx')";
    assert_eq!(db.count(workers).await, 0);
    db.finish().await;
}
