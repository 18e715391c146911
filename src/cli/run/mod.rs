//! `creditgate run`: any command behind the gate.
//!
//! Reserve, run the command, keep its lease alive, settle by how it ended.
//! Whatever happens, either the gate has been told or the reader has: what
//! could not be told, and what to type.

mod heartbeat;
mod scan;
mod settle;
mod supervise;
mod terminal;

use std::{cell::Cell, ffi::OsString, time::Duration};

use clap::Args;
use prost_types::Timestamp;
use tokio::time::Instant;

use self::{
    heartbeat::Lease,
    scan::{Scan, Signals},
    settle::{Settlement, Settler},
    supervise::{Ended, Limits, Why},
};
use super::{CliError, Connection, Outcome, format, output, parse, reserve::HoldArgs, verdict};
use crate::{
    client::{Client, ClientError, Held, Verdict},
    proto::ReleaseCause,
};

/// The lease that is asked for where neither the caller nor the reservation
/// says one: the contract's default.
const DEFAULT_LEASE: Duration = Duration::from_secs(3_600);

/// Options of `run`.
#[derive(Args, Debug)]
#[command(
    override_usage = "creditgate run [OPTIONS] --account <ID> --kind <KIND> -- <COMMAND>...",
    after_help = "How the scan ends decides what becomes of its credits:\n  \
exit code in --commit-on     commit\n  \
any other code, or a signal  release, platform_error\n  \
--timeout                    its process group is stopped; release, platform_timeout\n  \
Ctrl-C or SIGTERM to us      passed on to its process group; release, canceled_after_start\n  \
it cannot be started         release, not_started\n\n\
The lease is extended at a third of its length. If the gate says that the hold is gone, the scan \
is\nstopped. If the gate cannot be reached, the scan goes on until the lease has ended by this \
machine's\nclock, and is then stopped: from there on its credits may be another scan's.\n\n\
Exits with the command's code, 128+n where signal n ended it, 3 where the gate blocks it, 124 \
after\n--timeout, 126 or 127 where it cannot be started, 1 where it was stopped for want of its \
hold. A\nsettlement that could not be told changes nothing of that; stderr says what to type.\n\n\
Examples:\n  \
creditgate run --account acme --kind live_audit -- nuclei -u https://acme.example\n  \
creditgate run --account acme --project shop --kind deep_audit --timeout 2h --commit-on 0,2 \\\n    \
--id scan-run-123-attempt-1 -- zap-baseline.py -t https://shop.example"
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    hold: HoldArgs,
    /// Stop the scan after this long [default: no limit].
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// Exit codes of the command that mean it delivered.
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "0")]
    commit_on: Vec<u8>,
    /// How long a scan that is stopped has between SIGTERM and SIGKILL.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "5s")]
    kill_after: Duration,
    /// How long to go on trying to settle where the gate gives no answer.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "60s")]
    settle_timeout: Duration,
    /// Say nothing on stderr unless something is wrong.
    #[arg(long, short)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Says how it goes on stderr, unless told to be quiet.
#[derive(Clone, Copy)]
struct Status {
    quiet: bool,
}

impl Status {
    fn say(self, line: &str) {
        if !self.quiet {
            output::note(&format!("creditgate: {line}"));
        }
    }

    /// Says that something is wrong, quiet or not.
    fn warn(self, line: &str) {
        output::note(&format!("creditgate: {line}"));
    }
}

pub(super) async fn run(connection: &Connection, args: RunArgs) -> Result<Outcome, CliError> {
    let status = Status { quiet: args.quiet };
    let client = connection.client()?;
    // From here on a signal is ours to pass on, not our end: between Reserve
    // and its settlement nothing may kill us unheard.
    let mut signals = Signals::listen()?;
    let asked = Instant::now();
    let held = match reserve(&client, &args, &mut signals).await? {
        Reserved::Held(held) => held,
        Reserved::Ended(outcome) => return Ok(outcome),
    };
    let lease_ends = Cell::new(held.reservation.expire_time);
    let hold = client.guard(&held.reservation);
    let lease = match lease(&client, &args, &held, asked, &lease_ends).await {
        Ok(lease) => lease,
        Err(error) => {
            // Made by an earlier call, which may have a scan running: it is
            // not ours to release.
            hold.leave_to_lease();
            return Err(error.into());
        }
    };
    announce(status, &held, lease_ends.get());
    let settler = Settler {
        addr: &connection.addr,
        budget: args.settle_timeout,
        status,
        lease_ends: &lease_ends,
    };

    let mut scan = match Scan::start(&args.command) {
        Ok(scan) => scan,
        Err(error) => {
            let name = args.command.first().cloned().unwrap_or_default();
            status.warn(&format!("cannot start {}: {error}", name.display()));
            let release = Settlement::Release(ReleaseCause::NotStarted, error.to_string());
            settler.settle(hold, release, &mut signals).await;
            // As shells have it: 127 for not found, 126 for not runnable.
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            return Ok(Outcome::Code(if missing { 127 } else { 126 }));
        }
    };
    let heartbeat = heartbeat::keep(&client, &held.reservation, lease, &lease_ends, status);
    let limits = Limits { timeout: args.timeout, kill_after: args.kill_after };
    let ended = supervise::supervise(&mut scan, heartbeat, limits, &mut signals, status).await;
    let code = ended.exit_code();
    match settlement(&ended, &args) {
        Some(settlement) => settler.settle(hold, settlement, &mut signals).await,
        None => hold.leave_to_lease(),
    }
    Ok(Outcome::Code(code))
}

/// What came of the Reserve.
enum Reserved {
    Held(Box<Held>),
    /// No scan is to be started.
    Ended(Outcome),
}

async fn reserve(
    client: &Client,
    args: &RunArgs,
    signals: &mut Signals,
) -> Result<Reserved, CliError> {
    let request = args.hold.request();
    let id = request.reservation_id.clone();
    let verdict = tokio::select! {
        biased;
        verdict = client.reserve(request) => verdict,
        signal = signals.next() => {
            output::note(&format!(
                "creditgate: interrupted while reserving; no scan was started. If the hold {id} \
                 was made all the same, its credits come back when its lease ends"
            ));
            return Ok(Reserved::Ended(Outcome::Code(scan::signal_code(signal))));
        }
    };
    match verdict {
        Ok(Verdict::Held(held)) => Ok(Reserved::Held(Box::new(held))),
        Ok(Verdict::Blocked(blocked)) => {
            output::note(verdict::block_text(&blocked.block).trim_end());
            Ok(Reserved::Ended(Outcome::Blocked))
        }
        Err(error) => {
            output::note("creditgate: no scan was started");
            if error.outcome_unknown() {
                output::note(&format!(
                    "creditgate: the hold was asked for as --id {id}; if it was made, its credits \
                     come back when its lease ends"
                ));
            }
            Err(error.into())
        }
    }
}

/// The lease that the scan starts with, by our own clock, counted from before
/// it was asked for, so that it never ends later than the gate's.
async fn lease(
    client: &Client,
    args: &RunArgs,
    held: &Held,
    asked: Instant,
    lease_ends: &Cell<Option<Timestamp>>,
) -> Result<Lease, ClientError> {
    let reservation = &held.reservation;
    let granted =
        format::between(reservation.create_time.as_ref(), reservation.expire_time.as_ref());
    if !held.replayed {
        let length = args.hold.lease.or(granted).unwrap_or(DEFAULT_LEASE);
        return Ok(Lease::new(length, asked));
    }
    // An earlier call made it, at a time that our clock does not know, and may
    // have extended it: a lease of our own is needed before the scan starts.
    let length = args
        .hold
        .lease
        .unwrap_or_else(|| granted.map_or(DEFAULT_LEASE, |length| length.min(DEFAULT_LEASE)));
    let lease = Lease::new(length, Instant::now());
    let extended = heartbeat::extend(client, reservation, length).await?;
    lease_ends.set(extended.expire_time);
    Ok(lease)
}

fn announce(status: Status, held: &Held, lease_ends: Option<Timestamp>) {
    let reservation = &held.reservation;
    let credits = format::credits(reservation.credits, &reservation.credit_type);
    let again = if held.replayed { " before" } else { "" };
    status.say(&format!(
        "reserved {credits}{again} as {}, lease ends {}",
        reservation.reservation_id,
        format::time(lease_ends.as_ref())
    ));
}

/// What the gate is told; nothing where the hold is gone.
fn settlement(ended: &Ended, args: &RunArgs) -> Option<Settlement> {
    let release = |cause, note: String| Some(Settlement::Release(cause, note));
    let how = ended.how();
    match &ended.why {
        Why::Itself => match ended.code() {
            Some(code) if args.commit_on.contains(&code) => Some(Settlement::Commit),
            _ => release(ReleaseCause::PlatformError, how),
        },
        Why::Timeout(limit) => release(
            ReleaseCause::PlatformTimeout,
            format!("stopped after {}", humantime::format_duration(*limit)),
        ),
        Why::Canceled => release(ReleaseCause::CanceledAfterStart, how),
        Why::LeaseOver => {
            release(ReleaseCause::PlatformError, "the lease could not be extended".to_owned())
        }
        Why::HoldGone => None,
    }
}
