//! What `creditgate doctor` and `creditgate health` say.

use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    harness::{TestDb, TestServer, eventually},
    mails::server::MailServer,
    program::{output, program, text},
    tls::{Files, authority},
};

/// What was found: each thing with its health and its words; and the exit code.
async fn examined(url: Option<&str>, options: &[&str]) -> (Vec<(String, String, String)>, i32) {
    examined_with(url, options, &[]).await
}

/// The same, with more of an environment.
async fn examined_with(
    url: Option<&str>,
    options: &[&str],
    environment: &[(&str, &str)],
) -> (Vec<(String, String, String)>, i32) {
    let mut command = program();
    command.args(["doctor", "--output", "json"]).args(options).envs(environment.iter().copied());
    match url {
        Some(url) => command.env("DATABASE_URL", url),
        None => command.env_remove("DATABASE_URL"),
    };
    let said = output(&mut command).await;
    let document: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&said.stderr)));
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let found = document["findings"].as_array().unwrap().iter();
    let found = found.map(|one| (word(one, "checked"), word(one, "health"), word(one, "found")));
    (found.collect(), said.status.code().unwrap())
}

/// The health of one thing, and what was said of it.
fn of<'a>(found: &'a [(String, String, String)], what: &str) -> (&'a str, &'a str) {
    let found = found.iter().find(|(checked, ..)| checked == what);
    let (_, health, said) = found.unwrap_or_else(|| panic!("{what} was not looked at"));
    (health, said)
}

#[tokio::test]
async fn on_a_database_that_is_ready_all_is_well_and_what_is_missing_is_told_with_what_to_do() {
    let db = TestDb::new().await;
    let (found, _) = examined(Some(&db.url()), &[]).await;
    assert_eq!(of(&found, "schema"), ("ok", "up to date, cells: 1"));
    assert_eq!(of(&found, "catalog").0, "warning");
    assert!(of(&found, "catalog").1.contains("creditgate catalog apply"));
    assert_eq!(of(&found, "rights").0, "ok");
    assert_eq!(of(&found, "clock").0, "ok");
    TestServer::open(&db, "a", 1).await.finish().await;
    let (found, code) = examined(Some(&db.url()), &[]).await;
    // Most tests run on a database that flushes nothing: bad, and told.
    let (durability, rest): (Vec<_>, Vec<_>) =
        found.iter().filter(|(_, health, _)| health != "ok").partition(|one| one.0 == "durability");
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(code, i32::from(!durability.is_empty()));

    let (found, _) = examined(Some(&db.owner_url()), &["--auth", "keys"]).await;
    let (health, said) = of(&found, "rights");
    assert!(health == "warning" && said.contains("ledger_entries"), "{said}");
    let (health, said) = of(&found, "callers");
    assert!(health == "warning" && said.contains("creditgate key create"), "{said}");

    let open = ["--grpc-addr", "0.0.0.0:1", "--http-addr", "0.0.0.0:2"];
    let (found, code) = examined(Some(&db.url()), &open).await;
    assert_eq!((of(&found, "who may call").0, of(&found, "HTTP").0, code), ("bad", "warning", 1));
    let many = ["--read-connections", "200"];
    let (found, _) = examined(Some(&db.url()), &many).await;
    assert_eq!(of(&found, "connections").0, "warning");
    db.finish().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_or_not_migrated_is_told_and_the_rest_is_looked_at_too() {
    let (found, code) = examined(None, &[]).await;
    assert_eq!((of(&found, "database").0, code), ("bad", 1));
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let (found, code) = examined(Some(nowhere), &[]).await;
    assert_eq!((of(&found, "database").0, of(&found, "TLS").0, code), ("bad", "ok", 1));
    let db = TestDb::empty().await;
    let (found, code) = examined(Some(&db.owner_url()), &[]).await;
    let (health, said) = of(&found, "schema");
    assert!(health == "bad" && said.contains("creditgate migrate") && code == 1, "{said}");
    let migrated = output(program().arg("migrate").env("DATABASE_URL", db.owner_url())).await;
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let (found, _) = examined(Some(&db.owner_url()), &[]).await;
    assert_eq!(of(&found, "schema").0, "ok");
    db.finish().await;
}

#[tokio::test]
async fn a_certificate_is_read_and_so_is_when_it_runs_out() {
    let db = TestDb::new().await;
    let files = Files::new("doctor");
    files.issue(&authority());
    let (cert, key) = (files.cert(), files.key());
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let (found, _) = examined(Some(&db.url()), &["--tls-cert", cert, "--tls-key", key]).await;
    let (health, said) = of(&found, "TLS");
    assert!(health == "ok" && said.starts_with("the certificate is good until"), "{said}");
    std::fs::write(files.key(), "nothing").unwrap();
    let (found, code) = examined(Some(&db.url()), &["--tls-cert", cert, "--tls-key", key]).await;
    let (health, said) = of(&found, "TLS");
    assert!(health == "bad" && said.contains("has no private key in it") && code == 1, "{said}");
    db.finish().await;
}

#[tokio::test]
async fn whom_a_server_would_call_is_called_and_who_does_not_answer_is_told() {
    let db = TestDb::new().await;
    let url = db.url();
    let (found, _) = examined(Some(&url), &[]).await;
    assert_eq!(of(&found, "traces"), ("ok", "none are sent"));
    assert_eq!(of(&found, "mail"), ("ok", "none is sent"));
    assert_eq!(of(&found, "endpoints"), ("ok", "0, none fails"));
    // Somebody who listens, and greets nobody.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", silent.local_addr().unwrap());
    let (found, _) = examined(Some(&url), &["--otlp-endpoint", &collector]).await;
    assert_eq!(of(&found, "traces").0, "ok", "{:?}", of(&found, "traces"));
    let nobody = ["--otlp-endpoint", "http://127.0.0.1:1"];
    let (found, _) = examined(Some(&url), &nobody).await;
    let (health, said) = of(&found, "traces");
    assert!(health == "warning" && said.contains("takes no connection"), "{said}");
    let mails = MailServer::start().await;
    let with_mail = async |smtp: &str| {
        let mail = [("CREDITGATE_SMTP_URL", smtp), ("CREDITGATE_MAIL_FROM", "gate@a.example")];
        examined_with(Some(&url), &[], &mail).await.0
    };
    let found = with_mail(&mails.url()).await;
    assert_eq!(of(&found, "mail"), ("ok", "the server greets; from gate@a.example"));
    let found = with_mail("smtp://127.0.0.1:1").await;
    assert_eq!(of(&found, "mail").0, "warning", "{:?}", of(&found, "mail"));
    let found = with_mail("http://127.0.0.1:1").await;
    assert_eq!(of(&found, "mail").0, "bad", "{:?}", of(&found, "mail"));
    db.execute(
        "INSERT INTO webhook_endpoints (endpoint_id, url, kinds, secret, create_actor, failures,
                                        disable_time)
         SELECT id, 'https://hooks.example', '{}', decode(repeat('00', 32), 'hex'), 'test', failures,
                since
           FROM (VALUES ('good', 0, NULL), ('fails', 3, NULL), ('over', 9, now()))
                AS e (id, failures, since)",
    )
    .await;
    let (found, _) = examined(Some(&url), &[]).await;
    let (health, said) = of(&found, "endpoints");
    assert!(said.starts_with("3, of which 1 fail and 1 are disabled"), "{said}");
    assert_eq!(health, "warning");
    db.finish().await;
}

#[tokio::test]
async fn a_gate_that_takes_calls_is_healthy_and_one_that_is_gone_is_not() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let address = server.grpc_addr();
    let health = async |more: &[&str]| {
        let mut command = program();
        command.args(["health", "--addr", &address, "--call-timeout", "1s"]).args(more);
        output(&mut command).await
    };
    let said = health(&[]).await;
    assert_eq!((said.status.code(), text(&said.stdout).trim()), (Some(0), "serving"));
    let said = health(&["--service", "creditgate.v1.GateService"]).await;
    assert_eq!(said.status.code(), Some(0));
    let said = health(&["--service", "creditgate.v1.Nothing"]).await;
    assert_ne!(said.status.code(), Some(0));
    server.finish().await;
    eventually("it is gone", async || health(&[]).await.status.code() != Some(0)).await;
    db.finish().await;
}
