//! `creditgate run`: how a scan ends decides what the gate is told.

use std::time::Duration;

use creditgate::proto::{Block, BlockReason, ReleaseCause, Remedy};
use nix::sys::signal::Signal;

use crate::{
    gate::{Call, Gate, Step},
    program::{Running, Scratch, alive, creditgate, eventually, finish, pid_in, run},
};

const CAUSE: fn(&Gate) -> ReleaseCause = |gate| gate.releases()[0].cause();

#[tokio::test]
async fn a_scan_that_delivers_is_committed() {
    let gate = Gate::start().await;
    let done = finish(run(&gate, &[], "echo report")).await;
    assert_eq!(done.code(), 0, "{done:?}");
    assert_eq!(done.stdout, "report\n", "its output is its own");
    assert!(done.stderr.contains("reserved 1 scan credit as r1, lease ends 2"));
    assert!(done.stderr.contains("committed 1 scan credit: 4 available, 0 reserved, 1 spent"));
    assert_eq!(gate.settled_by(), ["reserve", "commit"]);
}

#[tokio::test]
async fn quiet_means_that_only_the_scan_is_heard() {
    let gate = Gate::start().await;
    let done = finish(run(&gate, &["--quiet"], "echo report")).await;
    assert_eq!(done.stderr, "");
}

#[tokio::test]
async fn codes_in_the_commit_list_commit_and_are_passed_on() {
    let gate = Gate::start().await;
    let done = finish(run(&gate, &["--commit-on", "0,2"], "exit 2")).await;
    assert_eq!(done.code(), 2, "{done:?}");
    assert_eq!(gate.settled_by(), ["reserve", "commit"]);
}

#[tokio::test]
async fn any_other_code_gives_the_credits_back() {
    let gate = Gate::start().await;
    let done = finish(run(&gate, &["--commit-on", "0,2"], "exit 7")).await;
    assert_eq!(done.code(), 7);
    assert_eq!(CAUSE(&gate), ReleaseCause::PlatformError);
    assert_eq!(gate.releases()[0].note, "exit code 7");
    assert!(done.stderr.contains("restored 1 scan credit"), "{done:?}");
}

#[tokio::test]
async fn death_by_a_signal_gives_the_credits_back() {
    let gate = Gate::start().await;
    let done = finish(run(&gate, &[], "kill -KILL $$")).await;
    assert_eq!(done.code(), 128 + 9);
    assert_eq!(CAUSE(&gate), ReleaseCause::PlatformError);
}

#[tokio::test]
async fn a_blocked_scan_is_never_started() {
    let gate = Gate::start().await;
    gate.next(
        "reserve",
        Step::Block(Box::new(Block {
            reason: BlockReason::PaymentPending.into(),
            remedy: Remedy::WaitForPayment.into(),
            message: "A payment is awaited.".into(),
            ..Default::default()
        })),
    );
    let scratch = Scratch::new();
    let mark = scratch.path("started");
    let done = finish(run(&gate, &[], &format!("touch {}", mark.display()))).await;
    assert_eq!(done.code(), 3);
    assert!(done.stderr.contains("PAYMENT_PENDING"), "{done:?}");
    assert!(done.stderr.contains("A payment is awaited."));
    assert!(!mark.exists());
    assert_eq!(gate.methods(), ["reserve"]);
}

#[tokio::test]
async fn a_command_that_is_not_there_gives_the_credits_back() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["run", "--account", "acme", "--kind", "live_audit"]);
    command.args(["--", "/nowhere/scanner"]);
    let done = finish(command).await;
    assert_eq!(done.code(), 127);
    assert!(done.stderr.contains("cannot start /nowhere/scanner"), "{done:?}");
    assert_eq!(CAUSE(&gate), ReleaseCause::NotStarted);
}

#[tokio::test]
async fn a_command_that_cannot_be_run_gives_the_credits_back() {
    let gate = Gate::start().await;
    let mut command = creditgate(&gate);
    command.args(["run", "--account", "acme", "--kind", "live_audit"]);
    command.args(["--", "/etc/passwd"]);
    assert_eq!(finish(command).await.code(), 126);
    assert_eq!(CAUSE(&gate), ReleaseCause::NotStarted);
}

#[tokio::test]
async fn a_timeout_stops_the_whole_process_group() {
    let gate = Gate::start().await;
    let scratch = Scratch::new();
    let file = scratch.path("pid");
    // The shell ignores SIGTERM, and so do the processes it starts: only
    // SIGKILL to the whole group ends them.
    let script = format!(
        "trap '' TERM; sh -c 'echo $$ > {}; sleep 300; sleep 300' & sleep 300; sleep 300",
        file.display()
    );
    let options = ["--timeout", "1s", "--kill-after", "300ms"];
    let running = Running::start(run(&gate, &options, &script));
    let grandchild = pid_in(&file).await;
    let done = running.end().await;
    assert_eq!(done.code(), 124, "{done:?}");
    assert_eq!(CAUSE(&gate), ReleaseCause::PlatformTimeout);
    eventually("the grandchild is gone", || (!alive(grandchild)).then_some(())).await;
}

#[tokio::test]
async fn stragglers_of_a_stopped_scan_are_killed_after_its_leader_has_gone() {
    let gate = Gate::start().await;
    let scratch = Scratch::new();
    let file = scratch.path("pid");
    // Only the grandchild ignores SIGTERM.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {}; sleep 300; sleep 300' & wait",
        file.display()
    );
    let options = ["--timeout", "1s", "--kill-after", "300ms"];
    let running = Running::start(run(&gate, &options, &script));
    let grandchild = pid_in(&file).await;
    assert_eq!(running.end().await.code(), 124);
    eventually("the grandchild is gone", || (!alive(grandchild)).then_some(())).await;
}

#[tokio::test]
async fn an_interrupt_is_passed_on_and_the_scan_counts_as_canceled() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let gate = Gate::start().await;
        let scratch = Scratch::new();
        let file = scratch.path("pid");
        let script = format!("echo $$ > {}; exec sleep 300", file.display());
        let running = Running::start(run(&gate, &[], &script));
        let scan = pid_in(&file).await;
        running.signal(signal);
        let done = running.end().await;
        assert_eq!(done.code(), code, "{done:?}");
        assert_eq!(CAUSE(&gate), ReleaseCause::CanceledAfterStart);
        assert!(!alive(scan));
    }
}

#[tokio::test]
async fn a_second_interrupt_stops_a_scan_that_will_not_wind_up() {
    let gate = Gate::start().await;
    let scratch = Scratch::new();
    let (ready, heard) = (scratch.path("pid"), scratch.path("heard"));
    let script = format!(
        "trap '' TERM; trap 'echo $$ > {}' INT; echo $$ > {}; while :; do sleep 0.02; done",
        heard.display(),
        ready.display(),
    );
    let running = Running::start(run(&gate, &["--kill-after", "200ms"], &script));
    pid_in(&ready).await;
    running.signal(Signal::SIGINT);
    pid_in(&heard).await;
    running.signal(Signal::SIGINT);
    let done = running.end().await;
    assert_eq!(done.code(), 128 + 9, "{done:?}");
    assert_eq!(CAUSE(&gate), ReleaseCause::CanceledAfterStart);
}

#[tokio::test]
async fn the_lease_is_extended_while_the_scan_runs() {
    let gate = Gate::start().await;
    let scratch = Scratch::new();
    let go = scratch.path("go");
    let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let running = Running::start(run(&gate, &["--lease", "600ms"], &script));
    // Well past the first lease.
    eventually("five extensions", || {
        let extensions = gate.methods().iter().filter(|name| **name == "extend").count();
        (extensions >= 5).then_some(())
    })
    .await;
    std::fs::write(&go, "").unwrap();
    let done = running.end().await;
    assert_eq!(done.code(), 0, "{done:?}");
    assert_eq!(gate.settled_by(), ["reserve", "commit"]);
    let leases = gate.calls().into_iter().filter_map(|call| match call {
        Call::Extend(request) => request.lease,
        _ => None,
    });
    let expected: prost_types::Duration = Duration::from_millis(600).try_into().unwrap();
    assert!(leases.into_iter().all(|lease| lease == expected));
}

#[tokio::test]
async fn a_hold_from_an_earlier_call_gets_a_fresh_lease_before_the_scan_starts() {
    let gate = Gate::start().await;
    gate.replayed();
    let done = finish(run(&gate, &[], "exit 0")).await;
    assert_eq!(done.code(), 0, "{done:?}");
    assert_eq!(gate.methods(), ["reserve", "extend", "commit"]);
}
