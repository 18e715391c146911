//! What becomes of a file: good ones, bad ones, those that are there already.

use serde_json::json;

use super::*;

/// An example of `deploy/import`, its ends moved so far away that it stays good.
fn example(extension: &str) -> TestFile {
    let path = format!("{}/deploy/import/example.{extension}", env!("CARGO_MANIFEST_DIR"));
    let content = std::fs::read_to_string(path).unwrap();
    TestFile::new(extension, content.replace("2027-", "2099-").replace("2026-11-30", "2099-11-30"))
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let page = read("IMPORT.md");
    for example in ["import/example.csv", "import/example.jsonl"] {
        assert!(page.contains(&read(example)), "{example}");
    }
}

const HEADER: &str = "type,account_id,display_name,billing_email,project_id,lot_id,credit_type,credits,source,expire_time,reason\n";

fn csv(lines: &[&str]) -> TestFile {
    TestFile::new("csv", format!("{HEADER}{}\n", lines.join("\n")))
}

#[tokio::test]
async fn both_formats_bring_the_same_and_the_second_time_nothing() {
    let db = database().await;
    let (file, same) = (example("csv"), example("jsonl"));

    // First it is only said what would be done.
    let (code, out, error) = import(&db, &file.0, &[]).await;
    assert_eq!(code, 0, "{out}{error}");
    let table = [
        "               IN FILE  NEW  ALREADY THERE",
        "accounts             2    2              0",
        "projects             1    1              0",
        "lots                 3    3              0",
        "subscriptions        2    2              0",
        "scan credits        14   14              0",
        "",
        "no line is bad; nothing was written: --apply does it",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), table);
    assert_eq!(rows(&db).await, 0);

    let (code, out, error) = import(&db, &file.0, &["--apply"]).await;
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("IN FILE  CREATED  ALREADY THERE") && out.ends_with("done\n"), "{out}");
    let made = rows(&db).await;
    for (wanted, query) in [
        (13, "SELECT available FROM balances WHERE account_id = 'acme'"),
        (1, "SELECT available FROM balances WHERE account_id = 'globex'"),
        (1, "SELECT count(*) FROM projects WHERE account_id = 'acme' AND project_id = 'acme-site'"),
        (
            1,
            "SELECT count(*) FROM lots WHERE account_id = 'acme' AND source = 2 AND credits = 10
                AND remaining = 10 AND reference = 'order 5512'
                AND expire_time = '2099-10-01T00:00:00Z'",
        ),
        (
            1,
            "SELECT count(*) FROM lots WHERE account_id = 'acme' AND source = 1
                AND reference LIKE 'sub_01h8bkr:scan:2026-06-15%'",
        ),
        (
            1,
            "SELECT count(*) FROM operations WHERE account_id = 'globex' AND kind = 7
                AND operation_id = 'lot-1003' AND reason = 'imported'",
        ),
        (
            1,
            "SELECT count(*) FROM subscriptions WHERE account_id = 'globex' AND plan = 'starter'
                AND status = 2 AND cancel_at_period_end AND anchor_time = '2026-01-31T00:00:00Z'",
        ),
        (
            1,
            "SELECT count(*) FROM provider_subscriptions WHERE provider = 'paddle'
                AND subscription_id = 'sub_01h8bkr' AND account_id = 'acme'",
        ),
        (3, "SELECT count(*) FROM ledger_entries WHERE actor = 'import' AND kind = 1"),
    ] {
        assert_eq!(db.count(query).await, wanted, "{query}");
    }

    // The same again, in the other format: nothing is left to do.
    for options in [&["--apply"][..], &[]] {
        let (code, out, error) = import(&db, &same.0, options).await;
        assert_eq!(code, 0, "{out}{error}");
        assert!(out.ends_with("all of it is there already: nothing to do\n"), "{out}");
    }
    let (_, json) = report(&db, &same.0, &["--apply"]).await;
    assert_eq!(json["lots"], json!({ "in_file": 3, "new": 0, "already_there": 3 }));
    assert_eq!(json["credits"]["scan"], json!({ "in_file": 14, "new": 0, "already_there": 14 }));
    assert_eq!(json["bad_lines"], 0);
    assert_eq!(rows(&db).await, made);
    db.finish().await;
}

#[tokio::test]
async fn each_bad_line_is_told_and_nothing_of_its_file_is_applied() {
    let db = database().await;
    let file = csv(&[
        "account,a,A,,,,,,,,",
        "lot,a,,,,l1,scan,1,grant,,fine",
        "account,a,A,,,,,,,,",
        "lot,a,,,,l1,scan,1,grant,,fine",
        "lot,nobody,,,,l2,scan,1,grant,,",
        "lot,a,,,,l3,gold,1,grant,,",
        "lot,a,,,,l4,scan,1,grant,2020-01-01T00:00:00Z,",
        "lot,a,,,p,,scan,0,gift,tomorrow,",
        "project,nobody,,,p,,,,,,",
        "account,b,B,no address,,,,,,,",
        "lot,b,,,,l5,scan,1,grant,,its account is told already",
        "lot,a,,,,\"l6,scan,1,grant,,",
        "invoice,a,,,,,,,,,",
    ]);
    let wanted = [
        (4, "account a is in line 2 already"),
        (5, "lot l1 is in line 3 already"),
        (6, "there is no account nobody, neither in the database nor in the file"),
        (7, "the catalog has no credit type \"gold\""),
        (8, "the lot has expired, at 2020-01-01T00:00:00+00:00: leave it out"),
        (
            9,
            "lot_id is required; credits is \"0\": whole numbers from 1 to 1000000000000 are \
             allowed; source is \"gift\": it may be plan, top_up, trial, grant; expire_time is \
             \"tomorrow\": a time is such as 2026-01-31T12:00:00Z, of the years 1970 to 9999; \
             project_id is not for type lot",
        ),
        (10, "there is no account nobody, neither in the database nor in the file"),
        (11, "billing_email must be one address, such as billing@example.com, or empty"),
        (13, "a quote is never closed: a value cannot span lines"),
        (14, "type is \"invoice\": account, project, lot and subscription are allowed"),
    ];
    for options in [&["--apply"][..], &[]] {
        let (code, json) = report(&db, &file.0, options).await;
        assert_eq!((code, &json["applied"], &json["bad_lines"]), (1, &json!(false), &json!(10)));
        let told: Vec<(i64, &str)> = json["first_bad_lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bad| (bad["line"].as_i64().unwrap(), bad["what"].as_str().unwrap()))
            .collect();
        assert_eq!(told, wanted);
        let (code, out, _) = import(&db, &file.0, options).await;
        assert_eq!(code, 1);
        assert!(out.starts_with("line 4: account a is in line 2 already\nline 5: "), "{out}");
        assert!(out.ends_with("10 of 14 lines are bad: nothing was written\n"), "{out}");
    }
    assert_eq!(rows(&db).await, 0);
    db.finish().await;
}

#[tokio::test]
async fn of_many_bad_lines_the_first_are_told_and_all_are_counted() {
    let db = database().await;
    let mut lines = "\u{feff}{\"type\":\"account\",\"account_id\":\"a\"}\r\n\r\n".to_owned();
    lines.push_str(&"{\"type\":\"lot\"}\r\n".repeat(1_000));
    let mut content = lines.into_bytes();
    content.extend([&[b'x'; 100_000][..], b"\n\xff\xfe\n{\"type\":\"lot\"\0}\n"].concat());
    let file = TestFile::new("ndjson", content);
    let (code, json) = report(&db, &file.0, &["--apply"]).await;
    assert_eq!((code, &json["bad_lines"], &json["lines"]), (1, &json!(1_003), &json!(1_005)));
    assert_eq!(json["first_bad_lines"].as_array().unwrap().len(), 100);
    let (_, out, _) = import(&db, &file.0, &[]).await;
    assert!(out.contains("\n... and 903 bad lines more\n"), "{out}");
    assert_eq!(rows(&db).await, 0);

    for (extension, content, says) in [
        ("csv", "account_id,lot_id\na,b\n", "there is no column \"type\""),
        ("csv", "type,account\naccount,a\n", "there is no column \"account\": there are type, "),
        ("csv", "{\"type\":\"account\",\"account_id\":\"a\"}\n", "there is no column"),
    ] {
        let file = TestFile::new(extension, content);
        let (code, json) = report(&db, &file.0, &["--apply"]).await;
        assert_eq!((code, &json["bad_lines"]), (1, &json!(1)), "{content}");
        assert_eq!(json["first_bad_lines"][0]["line"], 1);
        let what = json["first_bad_lines"][0]["what"].as_str().unwrap();
        assert!(what.starts_with(says), "{what}");
    }
    let file = TestFile::new("txt", "");
    assert_eq!(import(&db, &file.0, &[]).await.0, 2, "of what format is it?");
    assert_eq!(import(&db, &file.0, &["--format", "csv", "--apply"]).await.0, 0, "nothing in it");
    assert_eq!(import(&db, Path::new("/nowhere.csv"), &[]).await.0, 1);
    db.finish().await;
}

#[tokio::test]
async fn what_is_in_the_way_in_the_database_is_told_and_left_alone() {
    let db = database().await;
    let first = csv(&[
        "account,a,Acme,a@acme.example,,,,,,,",
        "account,b,Globex,,,,,,,,",
        "project,a,,,p,,,,,,",
        "lot,a,,,,l1,scan,5,top_up,2099-01-01T00:00:00Z,order 1",
    ]);
    assert_eq!(import(&db, &first.0, &["--apply"]).await.0, 0);
    let made = rows(&db).await;
    let other = csv(&[
        "account,a,Acme Inc.,a@acme.example,,,,,,,",
        "account,b,Globex,b@globex.example,,,,,,,",
        "project,b,,,p,,,,,,",
        "lot,a,,,,l1,scan,6,top_up,2099-01-01T00:00:00Z,order 1",
        "lot,a,,,,l2,scan,1,grant,,new",
    ]);
    let (code, json) = report(&db, &other.0, &["--apply"]).await;
    assert_eq!(code, 1);
    assert_eq!(
        json["first_bad_lines"],
        json!([
            { "line": 2, "what": "account a exists with another display name" },
            { "line": 3, "what": "account b exists with another billing email" },
            {
                "line": 4,
                "what": "project p belongs to account a: `creditgate project assign` moves it",
            },
            { "line": 5, "what": "lot l1 was imported with another number of credits" },
        ])
    );
    for (line, says) in [
        ("lot,a,,,,l1,scan,5,plan,2099-01-01T00:00:00Z,order 1", "source"),
        ("lot,a,,,,l1,scan,5,top_up,2099-01-02T00:00:00Z,order 1", "expiry"),
        ("lot,a,,,,l1,scan,5,top_up,2099-01-01T00:00:00Z,order 2", "reason"),
    ] {
        let (code, json) = report(&db, &csv(&[line]).0, &["--apply"]).await;
        let what = json["first_bad_lines"][0]["what"].as_str().unwrap();
        assert_eq!((code, what), (1, &*format!("lot l1 was imported with another {says}")));
    }
    assert_eq!(rows(&db).await, made);

    // What is there as the file has it is left alone, also once it could not be
    // imported any more; and a project that was taken from everybody can be given.
    db.execute("DELETE FROM public.catalogs; DELETE FROM cell_00.catalogs").await;
    db.execute("UPDATE project_directory SET account_id = NULL; DELETE FROM projects").await;
    let (code, json) = report(&db, &first.0, &["--apply"]).await;
    assert_eq!(code, 0, "{json}");
    assert_eq!(json["projects"]["new"], 1);
    assert_eq!(json["lots"]["already_there"], 1);
    assert_eq!(rows(&db).await, made);
    db.finish().await;
}

#[tokio::test]
async fn subscriptions_are_taken_over_once_and_never_from_another_account() {
    let db = database().await;
    let line = |id: &str, account: &str, plan: &str, more: &str| {
        format!(
            "{{\"type\":\"subscription\",\"subscription_id\":\"{id}\",\"account_id\":\"{account}\",\
             \"plan\":\"{plan}\",\"interval\":\"month\",\"period_start_time\":\"2026-11-01T00:00:00Z\",\
             \"period_end_time\":\"2099-12-01T00:00:00Z\",{more}}}\n"
        )
    };
    let accounts = "{\"type\":\"account\",\"account_id\":\"a\"}\n\
                    {\"type\":\"account\",\"account_id\":\"b\"}\n";
    let active = "\"status\":\"active\"";
    let paddle = "\"status\":\"past_due\",\"provider\":\"paddle\"";
    let good =
        [accounts, &line("s1", "a", "pro", active), &line("s2", "a", "pro", paddle)].concat();
    let good = TestFile::new("jsonl", good);
    assert_eq!(import(&db, &good.0, &["--apply"]).await.0, 0);
    let made = rows(&db).await;
    // It has been renewed, and its plan was changed: it is still the same one.
    db.execute(
        "UPDATE subscriptions SET plan = 'starter', period_start_time = '2026-11-02T00:00:00Z'",
    )
    .await;
    assert_eq!(import(&db, &good.0, &["--apply"]).await.0, 0);
    let bad = [
        &line("s1", "a", "pro", paddle),
        &line("s2", "b", "pro", paddle),
        &line("s3", "b", "gold", active),
        &line("s4", "b", "pro", "\"status\":\"canceled\""),
        &line("s5", "b", "pro", "\"status\":\"active\",\"anchor_time\":\"2026-11-02T00:00:00Z\""),
        &line("s6", "b", "pro", "\"status\":\"trialing\"")
            .replace("2099", "2026")
            .replace("2026-12-01", "2026-11-02"),
    ];
    let bad = TestFile::new("jsonl", bad.map(String::as_str).concat());
    let (code, json) = report(&db, &bad.0, &["--apply"]).await;
    assert_eq!(code, 1);
    let told: Vec<&str> = json["first_bad_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bad| bad["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "subscription s1 exists with another provider",
            "subscription s2 belongs to account a",
            "the catalog has no plan \"gold\"",
            "status is \"canceled\": it may be trialing, active, past_due, paused",
            "anchor_time is after period_start_time",
            "the subscription has ended, at 2026-11-02T00:00:00+00:00: leave it out",
        ]
    );
    assert_eq!(rows(&db).await, made);
    db.finish().await;
}
