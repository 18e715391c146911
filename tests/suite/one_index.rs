//! Each statement of a batch finds its rows by one index, and could by no other:
//! a plan is made while the tables are empty, where all indexes cost the same.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::TestDb;

/// As lanes plan: see `src/store/connect.rs`.
const LANE: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
                    SET enable_hashjoin = off; SET enable_mergejoin = off;
                    SET enable_bitmapscan = off; SET jit = off; SET search_path = cell_00";

/// All statements in the sources under a folder: what stands in r#"..."#.
fn statements(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let mut entries: Vec<_> =
            path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        return entries.iter().flat_map(|path| statements(path)).collect();
    }
    let source = std::fs::read_to_string(path).unwrap();
    let texts = source.split("r#\"").skip(1).map(|rest| rest.split("\"#").next().unwrap());
    texts.map(ToOwned::to_owned).collect()
}

/// How often a plan scans each relation by each index; `None` for a scan of all.
type Scans = BTreeMap<(String, Option<String>), usize>;

/// The table of each index: a bitmap's scan does not say it.
type Owners = BTreeMap<String, String>;

async fn owners(connection: &mut PgConnection) -> Owners {
    let query = "SELECT indexname::text, tablename::text FROM pg_indexes
                  WHERE schemaname = 'cell_00'";
    let rows: Vec<(String, String)> = sqlx::query_as(query).fetch_all(connection).await.unwrap();
    rows.into_iter().collect()
}

fn collect(node: &Value, owners: &Owners, scans: &mut Scans) {
    let text = |key: &str| node.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    if let Some(index) = text("Index Name") {
        *scans.entry((owners[&index].clone(), Some(index))).or_default() += 1;
    } else if text("Node Type").as_deref() == Some("Seq Scan") {
        *scans.entry((text("Relation Name").unwrap(), None)).or_default() += 1;
    }
    for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        collect(child, owners, scans);
    }
}

async fn plan(connection: &mut PgConnection, owners: &Owners, statement: &str) -> Scans {
    let parameters = (1..100).filter(|n| {
        let name = format!("${n}");
        statement.match_indices(&name).any(|(at, _)| {
            !statement[at + name.len()..].starts_with(|next: char| next.is_ascii_digit())
        })
    });
    let values = vec!["NULL"; parameters.count()].join(", ");
    let values = if values.is_empty() { values } else { format!("({values})") };
    let prepare = format!("PREPARE asked AS {statement}");
    connection.execute(AssertSqlSafe(prepare)).await.unwrap();
    let explain = format!("EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE asked{values}");
    let plan: Value =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
    connection.execute("DEALLOCATE asked").await.unwrap();
    let mut scans = Scans::new();
    collect(&plan[0]["Plan"], owners, &mut scans);
    scans
}

#[tokio::test]
async fn a_statement_of_a_batch_has_one_index_and_could_use_no_other() {
    let db = TestDb::new().await;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/batch");
    let statements = statements(&sources);
    assert!(statements.len() > 30, "{}", statements.len());
    let mut connection = PgConnection::connect(&db.owner_url()).await.unwrap();
    connection.execute(LANE).await.unwrap();
    let owners = owners(&mut connection).await;
    let mut used = BTreeMap::new();
    // An autovacuum may well come by before the first row does.
    for statistics in ["SELECT 1", "ANALYZE"] {
        connection.execute(statistics).await.unwrap();
        for statement in &statements {
            let scans = plan(&mut connection, &owners, statement).await;
            for ((table, index), times) in &scans {
                let index = index.as_ref().unwrap_or_else(|| {
                    panic!("{table} is scanned as a whole: {scans:?}\n{statement}")
                });
                *used.entry(index.clone()).or_insert(0) += times;
                // Without it, nothing is left but to read the whole table.
                let mut transaction = connection.begin().await.unwrap();
                let hide = format!(
                    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass"
                );
                transaction.execute(AssertSqlSafe(hide)).await.unwrap();
                let mut without = plan(&mut transaction, &owners, statement).await;
                transaction.rollback().await.unwrap();
                without.retain(|(other, index), _| other == table && index.is_some());
                let others = scans.iter().filter(|((other, by), _)| {
                    other == table && by.as_ref().is_some_and(|by| by != index)
                });
                let others: Scans = others.map(|(scan, times)| (scan.clone(), *times)).collect();
                assert_eq!(without, others, "two indexes, one of them {index}:\n{statement}");
            }
        }
    }
    println!("{used:#?}");
    connection.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn lists_and_workers_have_an_index_of_their_own() {
    let db = TestDb::new().await;
    let mut connection = PgConnection::connect(&db.owner_url()).await.unwrap();
    connection.execute(LANE).await.unwrap();
    let owners = owners(&mut connection).await;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/queries");
    for (file, indexes) in [
        (
            "due.rs",
            &[
                &["reservations_lease_idx"][..],
                &["reservations_lease_idx"],
                &["top_ups_expiry_idx"],
                &["lots_due_idx", "subscriptions_period_end_idx"],
            ][..],
        ),
        (
            "reservations.rs",
            &[
                &["reservations_pkey"],
                &["reservations_held_idx", "reservations_settled_idx"],
                &["reservations_lease_idx"],
            ],
        ),
        ("top_ups.rs", &[&["top_ups_newest_idx"]]),
    ] {
        let statements = statements(&sources.join(file));
        assert_eq!(statements.len(), indexes.len(), "{file}");
        for (statement, wanted) in statements.iter().zip(indexes) {
            let scans = plan(&mut connection, &owners, statement).await;
            let used: Vec<_> = scans.keys().map(|(_, index)| index.as_deref().unwrap()).collect();
            assert_eq!(used, **wanted, "{statement}");
        }
    }
    connection.close().await.unwrap();
    db.finish().await;
}
