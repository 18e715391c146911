//! Nothing secret is in what the program writes, nor in what others on its machine
//! see of it, whatever it is asked and however much it is to log.

use std::{fs, process::Stdio, time::Duration};

use creditgate::{
    config::{Secret, Settings},
    server::access::Scope,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use crate::{
    harness::{TestDb, make_key},
    paddle::send,
    program::{output, program, text},
};

const PASSWORD: &str = "pw-3f9c81d07a";
const PADDLE: &str = "pdl_ntfset_5be1c20f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_an_answer_a_metric_or_the_list_of_processes() {
    let db = TestDb::new().await;
    let key = make_key(&db, &[Scope::Operator], None, None).await;
    // What the key's name does not tell.
    let random = key.reveal().rsplit('_').next().unwrap().to_owned();
    let secrets = [PASSWORD, PADDLE, random.as_str()];
    let with_password = |url: String| url.replacen('@', &format!(":{PASSWORD}@"), 1);

    let mut said = String::new();
    let mut serve = program();
    serve.args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]);
    serve.args(["--auth", "keys", "--log", "trace"]).env("DATABASE_URL", with_password(db.url()));
    serve.env("CREDITGATE_PADDLE_SECRETS", PADDLE).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = serve.spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let addresses = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it ended");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("grpc=") {
                let (grpc, rest) = rest.split_once(" http=").unwrap();
                return (grpc.to_owned(), rest.trim().to_owned());
            }
        }
    };
    let (grpc, http) = timeout(Duration::from_secs(30), addresses).await.expect("it is not ready");
    let rest = tokio::spawn(async move {
        let mut rest = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            rest.push_str(&line);
        }
        rest
    });

    // A key that is right, one that is nearly, and calls that fail.
    let nearly = format!("{}0", key.reveal());
    for (shown, words) in [
        (key.reveal(), &["account", "create", "--account", "acme"][..]),
        (key.reveal(), &["balance", "--account", "nobody"]),
        (
            key.reveal(),
            &[
                "credits",
                "grant",
                "--account",
                "acme",
                "--type",
                "x",
                "--credits",
                "1",
                "--reason",
                "why",
            ],
        ),
        (nearly.as_str(), &["balance", "--account", "acme"]),
    ] {
        let mut call = program();
        call.args(["--addr", &grpc]).args(words).env("CREDITGATE_KEY", shown);
        let answer = output(&mut call).await;
        said.push_str(&text(&answer.stdout));
        said.push_str(&text(&answer.stderr));
    }
    for secret in [PADDLE, "another"] {
        let body = br#"{"event_id":"evt_1","event_type":"x","occurred_at":"2026-01-01T00:00:00Z","data":{}}"#;
        let signature = send::sign(secret, send::now(), body);
        let (_, answer) = send::post(&http, &[("Paddle-Signature", &signature)], body).await;
        said.push_str(&answer);
    }
    let pid = server.id().unwrap();
    said.push_str(&fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap());
    let (_, metrics) = crate::http::get(&http, "/metrics").await;
    assert!(metrics.contains("creditgate_requests_total"), "{metrics}");
    said.push_str(&metrics);
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM).unwrap();
    timeout(Duration::from_secs(30), server.wait()).await.expect("it does not end").unwrap();
    said.push_str(&rest.await.unwrap());

    // Where nothing works, more is said.
    let away = format!("postgres://creditgate_app:{PASSWORD}@127.0.0.1:1/none");
    let wrong = format!("postgres://creditgate_app:{PASSWORD}@[::/none");
    for url in [away, wrong] {
        for command in [&["verify"][..], &["key", "list"], &["migrate"]] {
            let answer = output(program().args(command).env("DATABASE_URL", &url)).await;
            assert!(!answer.status.success());
            said.push_str(&text(&answer.stderr));
        }
    }
    let debug = format!(
        "{:?} {key:?}",
        Settings {
            database_url: Some(Secret::new(with_password(db.url()))),
            paddle_secrets: Some(Secret::new(PADDLE.to_owned())),
            ..Settings::default()
        }
    );
    said.push_str(&debug);
    assert!(said.len() > 20_000, "it was to log everything, and said {} bytes", said.len());
    for secret in secrets {
        if let Some(place) = said.find(secret) {
            let from = place.saturating_sub(300);
            panic!("{secret} is in: {}", said.get(from..place + 40).unwrap_or_default());
        }
    }
    db.finish().await;
}
