//! Checkpoints and statements: what somebody who may do everything changes is found
//! by whoever kept a checkpoint, and what is changed in a statement by its reader.

use std::collections::BTreeMap;

use creditgate::{
    domain::{
        command::{Action, Command},
        head::Head,
        reservation::ReleaseCause,
    },
    ledger::{Ledger, verify},
    server::{
        self,
        checkpoints::{self, Heads, PublicKey, Signer, Statement},
    },
    store::{Cell, Database},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    harness::{TABLES, TestDb, owner_settings, words::*},
    write_path::open,
};

/// More are tried where CREDITGATE_TAMPERINGS says so.
const TAMPERINGS: usize = 300;
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

/// Scans of all ends on three accounts.
async fn live(ledger: &Ledger, round: usize) {
    let mut commands: Vec<Command> = Vec::new();
    for account in ACCOUNTS {
        commands.push(grant(account, &format!("g{round}"), "scan", 20));
        for (end, kind) in ["spent", "held", "released", "refunded", "late", "free"].iter().zip([
            "deep_audit",
            "live_audit",
            "live_audit",
            "deep_audit",
            "live_audit",
            "quick_scan",
        ]) {
            let id = format!("{end}-{round}");
            commands.push(reserve(account, &id, kind));
            match *end {
                "spent" => commands.push(commit(account, &id)),
                "released" => commands.push(release(account, &id, ReleaseCause::PlatformError)),
                "refunded" => {
                    commands.push(commit(account, &id));
                    commands.push(release(account, &id, ReleaseCause::PlatformError));
                }
                "late" => {
                    commands.push(command(
                        account,
                        Action::Commit { reservation_id: reservation(&id), credits: Some(1) },
                    ));
                }
                _ => {}
            }
        }
    }
    for answer in ledger.submit_all(commands).await {
        answer.unwrap();
    }
}

async fn started(db: &TestDb) -> Ledger {
    let ledger = open(db, 0).await;
    let billing = creditgate::billing::Billing::new(db.database(), ledger.clone());
    for id in &ACCOUNTS[1..] {
        billing.create_account(&account(id), "", "").await.unwrap();
    }
    live(&ledger, 0).await;
    ledger
}

async fn findings(cell: &Cell, heads: &Heads) -> Vec<String> {
    let mut findings = cell.orphans().await.unwrap();
    for id in ACCOUNTS {
        let of_it: &[Head] = heads.of(&account(id));
        let report = verify::read(cell, &account(id), of_it).await.unwrap().unwrap();
        findings.extend(report.findings.iter().map(|what| format!("{id}: {what}")));
    }
    findings
}

/// Another value of the same kind.
fn other(value: &Value, random: &mut SmallRng) -> Value {
    match value {
        Value::Null => json!(if random.random() { "x" } else { "2031-02-03T04:05:06Z" }),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            let by = *[1, -1, 7, -number, number, 1_000_000].choose(random).unwrap();
            json!(number.wrapping_add(if by == 0 { 1 } else { by }))
        }
        Value::String(text) => {
            let mut text: Vec<char> = text.chars().collect();
            let places: Vec<usize> =
                (0..text.len()).filter(|place| text[*place].is_ascii_alphanumeric()).collect();
            let Some(place) = places.choose(random) else { return json!("x") };
            text[*place] = match text[*place] {
                '0'..='8' => char::from(text[*place] as u8 + 1),
                'a'..='e' => char::from(text[*place] as u8 + 1),
                '9' => '0',
                _ => 'a',
            };
            json!(text.into_iter().collect::<String>())
        }
        Value::Array(values) => {
            let mut values = values.clone();
            match values.len().checked_sub(1) {
                None => values.push(json!(1)),
                Some(last) if random.random() => values[last] = other(&values[last], random),
                Some(_) => {
                    values.pop();
                }
            }
            json!(values)
        }
        Value::Object(_) => json!({}),
    }
}

/// Changes one column of one row, takes the row away, or adds one like it. Says what
/// was done; nothing where the schema refuses.
async fn tamper(db: &TestDb, random: &mut SmallRng) -> Option<(String, Value)> {
    let table = *["ledger_entries", "ledger_entries", "balances", "lots"].choose(random).unwrap();
    let rows: Vec<(Value,)> =
        sqlx::query_as(AssertSqlSafe(format!("SELECT to_jsonb(t) FROM {table} t ORDER BY 1")))
            .fetch_all(&db.owner)
            .await
            .unwrap();
    let (row,) = rows.choose(random)?.clone();
    let columns: Vec<String> = row.as_object()?.keys().cloned().collect();
    let column = columns.choose(random)?;
    let mut changed = row.clone();
    changed[column] = other(&row[column], random);
    if changed == row {
        return None;
    }
    let take = format!("DELETE FROM {table} t WHERE to_jsonb(t) = $1");
    let put = format!("INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, $1)");
    let (takes, puts) = *[(true, true), (true, true), (true, true), (true, false), (false, true)]
        .choose(random)
        .unwrap();
    let mut transaction = db.owner.begin().await.unwrap();
    if takes {
        sqlx::query(AssertSqlSafe(take)).bind(&row).execute(&mut *transaction).await.unwrap();
    }
    if puts {
        let put = sqlx::query(AssertSqlSafe(put)).bind(&changed).execute(&mut *transaction).await;
        put.ok()?;
    }
    transaction.commit().await.unwrap();
    Some(match (takes, puts) {
        (true, true) => (format!("{table}.{column}: {} -> {}", row[column], changed[column]), row),
        (true, false) => (format!("{table}: one row less"), row),
        _ => (format!("{table}: one row more"), changed),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_random_tamperings_each_is_found_with_its_account_and_entry() {
    let asked = std::env::var("CREDITGATE_TAMPERINGS").ok();
    let wanted = asked.and_then(|count| count.parse().ok()).unwrap_or(TAMPERINGS);
    let db = TestDb::new().await;
    let ledger = started(&db).await;
    ledger.close().await;
    let (_, heads) = checkpoints::checkpoint(&owner_settings(&db)).await.unwrap();
    let database = Database::new(&db.owner_url(), 2).unwrap();
    let cell = database.cells().await.unwrap().remove(0);
    assert_eq!(findings(&cell, &heads).await, Vec::<String>::new());
    let tables = ["ledger_entries", "balances", "lots"];
    for table in tables {
        db.execute(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut made, mut refused) = (0, 0);
    while made < wanted {
        let Some((what, row)) = tamper(&db, &mut random).await else {
            refused += 1;
            continue;
        };
        made += 1;
        let found = findings(&cell, &heads).await;
        let account = row["account_id"].as_str().unwrap();
        assert!(found.iter().any(|f| f.starts_with(account)), "{what} of {row}: {found:?}");
        // Where an entry's own key was changed, it is another entry that is wrong.
        if what.starts_with("ledger_entries") && !what.contains("one row more") {
            let sequence = row["sequence"].as_i64().unwrap();
            let names = |number: i64| {
                let entry = format!("{} {number}:", row["credit_type"].as_str().unwrap());
                found.iter().any(|finding| finding.contains(&entry))
            };
            assert!(names(sequence) || names(sequence + 1), "{what} of {row}: {found:?}");
        }
        for table in tables {
            db.execute(&format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept_{table}")).await;
        }
    }
    println!("{made} tamperings found, {refused} refused by the schema, or of no effect");
    cell.close().await;
    database.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_were_rolled_back_whole_are_found_by_a_checkpoint_alone() {
    let db = TestDb::new().await;
    let ledger = started(&db).await;
    for table in TABLES {
        db.execute(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    live(&ledger, 1).await;
    let owner = owner_settings(&db);
    let (_, heads) = checkpoints::checkpoint(&owner).await.unwrap();
    live(&ledger, 2).await;
    ledger.close().await;
    let audit = server::audit(&owner, None, Some(&heads)).await.unwrap();
    assert_eq!(audit.findings, [], "books that went on agree with what they were");
    for table in TABLES {
        db.execute(&format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept_{table}")).await;
    }
    assert_eq!(server::audit(&owner, None, None).await.unwrap().findings, []);
    let audit = server::audit(&owner, None, Some(&heads)).await.unwrap();
    let accounts: Vec<&str> = audit.findings.iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ACCOUNTS);
    assert!(audit.findings[0].1.ends_with("is in the checkpoint, and gone"), "{audit:?}");
    // An account that is gone with all that it had.
    for table in TABLES {
        db.execute(&format!("DELETE FROM {table} WHERE account_id = 'b'")).await;
    }
    let audit = server::audit(&owner, None, Some(&heads)).await.unwrap();
    let gone = ("b".to_owned(), "is in the checkpoint, and there is no such account".to_owned());
    assert!(audit.findings.contains(&gone), "{audit:?}");
    db.finish().await;
}

/// Every value in a document, by its path.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                leaves(value, &format!("{path}/{place}"), found);
            }
        }
        leaf => {
            found.insert(path.to_owned(), leaf.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_agrees_as_it_was_made_and_with_no_value_of_it_changed() {
    let db = TestDb::new().await;
    let ledger = started(&db).await;
    let owner = owner_settings(&db);
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signer = Signer::from_pem("test", pair.serialize_pem().as_bytes()).unwrap();
    let key = PublicKey::from_pem(pair.public_key_pem().as_bytes()).unwrap();
    let (checkpoint, heads) = checkpoints::checkpoint(&owner).await.unwrap();
    let note = checkpoint.sign(&signer);
    live(&ledger, 1).await;
    ledger.close().await;

    let made = checkpoints::statement(&owner, &account("b"), &note, &heads).await.unwrap().unwrap();
    let document = serde_json::to_value(&made).unwrap();
    let checked = made.check(&key).unwrap();
    assert_eq!(checked.findings, Vec::<String>::new());
    assert_eq!(checked.checkpoint, checkpoint);
    let [ledger] = checked.ledgers.as_slice() else { panic!("{checked:?}") };
    assert_eq!(ledger.vouched, heads.of(&account("b"))[0].sequence);
    assert_eq!(ledger.later, ledger.vouched, "as much again has happened since");
    let available = db.count("SELECT available FROM balances WHERE account_id = 'b'").await;
    assert_eq!(ledger.balance.0, available);

    let agrees = |document: &Value| {
        let statement = serde_json::from_value::<Statement>(document.clone());
        let checked = statement.ok().and_then(|statement| statement.check(&key).ok());
        checked.is_some_and(|checked| checked.findings.is_empty())
    };
    assert!(agrees(&document));
    let mut values = BTreeMap::new();
    leaves(&document, "", &mut values);
    // When it was made is for its reader's eyes.
    values.remove("/create_time");
    let mut random = SmallRng::seed_from_u64(7);
    for (path, value) in &values {
        let mut changed = document.clone();
        *changed.pointer_mut(path).unwrap() = other(value, &mut random);
        assert!(!agrees(&changed), "{path}: {value} -> {}", changed.pointer(path).unwrap());
        let extremes = [
            json!(i64::MAX),
            json!(i64::MIN),
            json!(""),
            json!("+262142-12-31T23:59:59Z"),
            json!("-262143-01-01T00:00:00Z"),
            json!([]),
        ];
        let extreme = extremes.choose(&mut random).unwrap();
        changed.pointer_mut(path).unwrap().clone_from(extreme);
        assert!(extreme == value || !agrees(&changed), "{path}: {value} -> {extreme}");
    }
    for (list, vouched) in [("entries", ledger.vouched), ("lots", 1)] {
        for place in 0..usize::try_from(vouched).unwrap() {
            let mut changed = document.clone();
            changed[list].as_array_mut().unwrap().remove(place);
            assert!(!agrees(&changed), "{list} without {place}");
        }
    }
    // Without the proof nothing is vouched for, and that is what is said.
    let mut bare = document.clone();
    bare["proofs"] = json!([]);
    let checked = serde_json::from_value::<Statement>(bare).unwrap().check(&key).unwrap();
    assert_eq!(checked.ledgers[0].vouched, 0);
    // Somebody else's key has vouched for nothing.
    let stranger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let stranger = PublicKey::from_pem(stranger.public_key_pem().as_bytes()).unwrap();
    assert!(made.check(&stranger).is_err());
    let missing = checkpoints::statement(&owner, &account("nobody"), &note, &heads).await;
    assert!(missing.unwrap().is_none());
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_read_as_they_were_written_and_in_no_other_way() {
    let db = TestDb::new().await;
    let ledger = started(&db).await;
    ledger.close().await;
    let (checkpoint, heads) = checkpoints::checkpoint(&owner_settings(&db)).await.unwrap();
    let text = heads.to_text();
    assert_eq!(Heads::parse(&text, &checkpoint).unwrap(), heads);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), ACCOUNTS.len());
    for wrong in [
        String::new(),
        text.replacen(" scan ", "  scan ", 1),
        text.replacen('\n', " \n", 1),
        format!("{text}{}\n", lines[0]),
        format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]),
        lines[..2].join("\n"),
        text.replacen("b scan", "bb scan", 1),
    ] {
        assert!(Heads::parse(&wrong, &checkpoint).is_err(), "{wrong}");
    }
    db.finish().await;
}
