//! `creditgate run` where the gate is out of reach, or says no.

use creditgate::proto::ReleaseCause;
use nix::sys::signal::Signal;
use tonic::{Code, Status};

use crate::{
    gate::{Gate, Step, refusal},
    program::{Running, Scratch, eventually, finish, run},
};

#[tokio::test]
async fn without_a_gate_no_scan_is_started() {
    let gate = Gate::start().await;
    gate.always("reserve", Step::Fail(Status::unavailable("no database")));
    let scratch = Scratch::new();
    let mark = scratch.path("started");
    let mut command = run(&gate, &[], &format!("touch {}", mark.display()));
    command.env("CREDITGATE_CALL_TIMEOUT", "300ms");
    let done = finish(command).await;
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(!mark.exists());
    assert!(done.stderr.contains("no scan was started"), "{done:?}");
    assert!(done.stderr.contains("--id r1"), "{done:?}");
}

#[tokio::test]
async fn a_settlement_that_comes_late_is_still_told() {
    let gate = Gate::start().await;
    for _ in 0..3 {
        gate.next("commit", Step::Fail(Status::unavailable("restarting")));
    }
    let done = finish(run(&gate, &[], "exit 0")).await;
    assert!(done.stderr.contains("committed"), "{done:?}");
    assert_eq!(gate.settled_by().len(), 1 + 4);
}

#[tokio::test]
async fn a_settlement_that_cannot_be_told_says_what_to_type() {
    let gate = Gate::start().await;
    gate.always("commit", Step::Fail(Status::unavailable("no database")));
    let done = finish(run(&gate, &["--settle-timeout", "500ms"], "exit 0")).await;
    assert_eq!(done.code(), 0, "the command's code stands: {done:?}");
    assert!(done.stderr.contains("could not tell the gate"), "{done:?}");
    assert!(done.stderr.contains("its lease is the net"), "{done:?}");
    let by_hand = format!("creditgate --addr {} commit --account acme --id r1", gate.addr);
    assert!(done.stderr.contains(&by_hand), "{done:?}");
}

#[tokio::test]
async fn a_release_that_cannot_be_told_names_its_cause() {
    let gate = Gate::start().await;
    gate.always("release", Step::Fail(Status::unavailable("no database")));
    let done = finish(run(&gate, &["--settle-timeout", "500ms"], "exit 4")).await;
    assert_eq!(done.code(), 4);
    let by_hand = "release --cause platform_error --account acme --id r1";
    assert!(done.stderr.contains(by_hand), "{done:?}");
}

#[tokio::test]
async fn settling_can_be_given_up_by_two_interrupts() {
    let gate = Gate::start().await;
    gate.always("commit", Step::Hang);
    let running = Running::start(run(&gate, &[], "exit 0"));
    eventually("the commit is under way", || gate.methods().contains(&"commit").then_some(()))
        .await;
    running.signal(Signal::SIGINT);
    // Two of one kind that are pending are one: let this be another.
    running.signal(Signal::SIGTERM);
    let done = running.end().await;
    assert!(done.stderr.contains("interrupted"), "{done:?}");
    assert!(done.stderr.contains("commit --account acme --id r1"), "{done:?}");
}

#[tokio::test]
async fn a_late_commit_that_is_refused_says_that_the_scan_is_unpaid() {
    let gate = Gate::start().await;
    let expired = refusal(Code::FailedPrecondition, "RESERVATION_EXPIRED");
    gate.always("commit", Step::Fail(expired));
    let done = finish(run(&gate, &[], "exit 0")).await;
    assert_eq!(done.code(), 0);
    assert!(done.stderr.contains("refused to commit r1"), "{done:?}");
    assert!(done.stderr.contains("not paid for"), "{done:?}");
    assert_eq!(gate.settled_by(), ["reserve", "commit"], "asked once");
}

#[tokio::test]
async fn a_scan_whose_hold_is_gone_is_stopped() {
    for gone in [
        refusal(Code::FailedPrecondition, "RESERVATION_EXPIRED"),
        refusal(Code::FailedPrecondition, "RESERVATION_SETTLED"),
        Status::not_found("no such reservation"),
    ] {
        let gate = Gate::start().await;
        gate.always("extend", Step::Fail(gone));
        let done = finish(run(&gate, &["--lease", "300ms"], "sleep 300")).await;
        assert_eq!(done.code(), 1, "{done:?}");
        assert!(done.stderr.contains("its hold is gone"), "{done:?}");
        assert_eq!(gate.settled_by(), ["reserve"], "nothing is left to settle");
    }
}

#[tokio::test]
async fn an_unreachable_gate_stops_the_scan_only_when_the_lease_has_ended() {
    let gate = Gate::start().await;
    gate.always("extend", Step::Fail(Status::unavailable("no database")));
    let began = std::time::Instant::now();
    let done = finish(run(&gate, &["--lease", "900ms"], "sleep 300")).await;
    assert!(began.elapsed().as_millis() >= 900);
    assert_eq!(done.code(), 1, "{done:?}");
    assert!(done.stderr.contains("cannot extend the lease"), "{done:?}");
    assert!(done.stderr.contains("its lease has ended"), "{done:?}");
    assert_eq!(gate.releases()[0].cause(), ReleaseCause::PlatformError);
}

#[tokio::test]
async fn a_gate_that_comes_back_within_the_lease_saves_the_scan() {
    let gate = Gate::start().await;
    for _ in 0..3 {
        gate.next("extend", Step::Fail(Status::unavailable("restarting")));
    }
    let scratch = Scratch::new();
    let go = scratch.path("go");
    let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let running = Running::start(run(&gate, &["--lease", "3s"], &script));
    eventually("an extension works again", || {
        let extensions = gate.methods().iter().filter(|name| **name == "extend").count();
        (extensions >= 5).then_some(())
    })
    .await;
    std::fs::write(&go, "").unwrap();
    let done = running.end().await;
    assert_eq!(done.code(), 0, "{done:?}");
    assert!(done.stderr.contains("the gate answers again"), "{done:?}");
}

#[tokio::test]
async fn an_interrupt_while_reserving_starts_nothing() {
    let gate = Gate::start().await;
    gate.always("reserve", Step::Hang);
    let scratch = Scratch::new();
    let file = scratch.path("pid");
    let running = Running::start(run(&gate, &[], &format!("echo 1 > {}", file.display())));
    eventually("the reserve is under way", || gate.methods().contains(&"reserve").then_some(()))
        .await;
    running.signal(Signal::SIGINT);
    let done = running.end().await;
    assert_eq!(done.code(), 130, "{done:?}");
    assert!(done.stderr.contains("no scan was started"), "{done:?}");
    assert!(!file.exists());
}
