//! The other commands: exit codes, and what is printed where.

use std::process::Stdio;

use creditgate::proto::{Block, BlockReason, Remedy};
use tonic::Code;

use crate::{
    gate::{Gate, Step, refusal},
    program::{creditgate, finish},
};

fn reserve(gate: &Gate, more: &[&str]) -> std::process::Command {
    let mut command = creditgate(gate);
    command.args(["reserve", "--account", "acme", "--kind", "live_audit"]);
    command.args(more);
    command
}

#[tokio::test]
async fn a_hold_exits_0_and_names_the_id_that_was_made_up_for_it() {
    let gate = Gate::start().await;
    let done = finish(reserve(&gate, &["--label", "pr=17"])).await;
    assert_eq!(done.code(), 0, "{done:?}");
    let Some(crate::gate::Call::Reserve(request)) = gate.calls().pop() else {
        panic!("no reserve");
    };
    assert_eq!(request.labels["pr"], "17");
    assert!(done.stdout.contains(&request.reservation_id), "{done:?}");
    assert!(done.stdout.contains("state        HELD\n"), "{done:?}");
}

#[tokio::test]
async fn a_block_exits_3_and_says_why_on_stdout() {
    let gate = Gate::start().await;
    let block = Block {
        reason: BlockReason::CreditRequired.into(),
        remedy: Remedy::TopUp.into(),
        ..Default::default()
    };
    gate.always("reserve", Step::Block(Box::new(block)));
    let done = finish(reserve(&gate, &[])).await;
    assert_eq!(done.code(), 3);
    assert!(done.stdout.starts_with("blocked  CREDIT_REQUIRED\n"), "{done:?}");
    let done = finish(reserve(&gate, &["--output", "json"])).await;
    assert_eq!(done.code(), 3);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["block"]["reason"], "CREDIT_REQUIRED");
    assert_eq!(json["block"]["remedy"], "TOP_UP");
}

#[tokio::test]
async fn a_refusal_exits_1_and_says_what_to_do_next_on_stderr() {
    let gate = Gate::start().await;
    let settled = refusal(Code::FailedPrecondition, "RESERVATION_SETTLED");
    gate.always("reserve", Step::Fail(settled));
    let done = finish(reserve(&gate, &["--id", "r1"])).await;
    assert_eq!(done.code(), 1);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("RESERVATION_SETTLED"), "{done:?}");
    assert!(done.stderr.contains("a new --id"), "{done:?}");
}

#[tokio::test]
async fn a_usage_error_exits_2() {
    let gate = Gate::start().await;
    assert_eq!(finish(reserve(&gate, &["--lease", "soon"])).await.code(), 2);
    assert_eq!(finish(reserve(&gate, &["--credits", "0"])).await.code(), 2);
}

#[tokio::test]
async fn a_gate_that_is_not_there_exits_1_with_advice() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["balance", "--account", "acme", "--call-timeout", "300ms"]);
    command.args(["--addr", "127.0.0.1:1"]);
    let done = finish(command).await;
    assert_eq!(done.code(), 1);
    assert!(done.stderr.contains("cannot reach the gate at 127.0.0.1:1"), "{done:?}");
    assert!(done.stderr.contains("is it running? `creditgate dev`"), "{done:?}");
}

#[tokio::test]
async fn lists_follow_their_pages() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["reservations", "--account", "acme"]);
    let done = finish(command).await;
    assert_eq!(done.stdout.lines().count(), 3, "{done:?}");
    let mut command = creditgate(&gate);
    command.args(["reservations", "--account", "acme", "--limit", "1"]);
    let done = finish(command).await;
    assert!(done.stdout.ends_with("more: --page-token two\n"), "{done:?}");
}

#[tokio::test]
async fn one_reservation_is_shown_as_one_json_document() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["reservations", "show", "r9", "--account", "acme", "--output", "json"]);
    let done = finish(command).await;
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["reservation"]["reservation_id"], "r9");
    assert_eq!(json["reservation"]["state"], "HELD");
    assert_eq!(json["reservation"]["credits"], 1);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["check", "--account", "acme", "--kind", "live_audit"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
