//! When calls are made: as soon as a caller has its answer, or at a given rate.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time};

use super::{CallTimes, Done, Failure, Tally, Window};
use crate::bench::BenchError;

/// After a failure a caller waits: a server that is gone fails every call at
/// once, and nothing is learnt from a million of those.
const AFTER_FAILURE: Duration = Duration::from_millis(10);
/// How long the answers to calls of an open loop are waited for after its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A closed loop: each caller waits for its answer before it calls again. Calls
/// count where they end within the window.
pub(in crate::bench) async fn closed<S>(
    window: Window,
    callers: Vec<S>,
    call: impl AsyncFn(&mut S) -> Result<Done, Failure> + 'static,
) -> Result<Tally, BenchError>
where
    S: 'static,
{
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let call = Rc::new(call);
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (tally, call) = (tally.clone(), call.clone());
        tasks.spawn_local(async move {
            time::sleep_until(window.begin.into()).await;
            loop {
                let since = Instant::now();
                if since >= window.end {
                    return;
                }
                let outcome = call(&mut caller).await;
                let failed = outcome.is_err();
                tally.borrow_mut().note(&window, CallTimes::closed(since), outcome);
                if failed {
                    time::sleep(AFTER_FAILURE).await;
                }
            }
        });
    }
    joined(tasks).await?;
    finished(tally)
}

/// An open loop: `rate` calls a second, whether or not those before have been
/// answered. A call's latency counts from the moment when it was due, so that a
/// server that stalls is charged for every call that would have come meanwhile
/// (no coordinated omission). Calls count where they were due in the window.
pub(in crate::bench) async fn open<S>(
    window: Window,
    rate: f64,
    mut make: impl FnMut() -> Result<S, BenchError>,
    call: impl AsyncFn(&mut S) -> Result<Done, Failure> + 'static,
) -> Result<Tally, BenchError>
where
    S: 'static,
{
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let call = Rc::new(call);
    // Callers that have nothing to do: a call takes one, or makes a new one.
    let idle = Rc::new(RefCell::new(Vec::new()));
    let gap = 1.0 / rate.max(f64::MIN_POSITIVE);
    let mut tasks = JoinSet::new();
    for number in 0_u64.. {
        // From the beginning each time: rounding does not add up.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 calls")]
        let due = window.begin + Duration::from_secs_f64(gap * number as f64);
        if due >= window.end {
            break;
        }
        if due > Instant::now() {
            time::sleep_until(due.into()).await;
        }
        while tasks.try_join_next().is_some() {}
        let resting = idle.borrow_mut().pop();
        let mut caller = resting.map_or_else(&mut make, Ok)?;
        let (tally, call, idle) = (tally.clone(), call.clone(), idle.clone());
        tasks.spawn_local(async move {
            let sent = Instant::now();
            let outcome = call(&mut caller).await;
            tally.borrow_mut().note(&window, CallTimes::open(due, sent), outcome);
            idle.borrow_mut().push(caller);
        });
    }
    if time::timeout(PATIENCE, joined(tasks)).await.is_err() {
        tally.borrow_mut().fail("calls without an answer");
    }
    finished(tally)
}

async fn joined(mut tasks: JoinSet<()>) -> Result<(), BenchError> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| BenchError::Other(format!("a caller broke down: {error}")))?;
    }
    Ok(())
}

fn finished(tally: Rc<RefCell<Tally>>) -> Result<Tally, BenchError> {
    Ok(tally.borrow().clone())
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    const ONE: Done = Done { calls: 1, units: 1 };

    fn local(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, work);
    }

    /// A server that stands still for a while, once.
    async fn stalling(stalled: &mut Option<Instant>, from: Instant, until: Instant) {
        let now = Instant::now();
        if now >= from && now < until {
            stalled.get_or_insert(now);
            time::sleep_until(until.into()).await;
        }
    }

    #[test]
    fn an_open_loop_charges_a_stall_to_every_call_that_was_due_in_it() {
        local(async {
            let window = Window::soon(Duration::ZERO, Duration::from_millis(400));
            let (from, until) = (
                window.begin + Duration::from_millis(100),
                window.begin + Duration::from_millis(300),
            );
            let seen = open(
                window,
                1_000.0,
                || Ok(None),
                async move |stalled: &mut Option<Instant>| {
                    stalling(stalled, from, until).await;
                    Ok(ONE)
                },
            );
            let tally = seen.await.unwrap();
            assert_eq!(tally.units, 400);
            // Half of the calls were due in the stall: a quarter waited for 100 ms and more.
            assert!(tally.latency.value_at_quantile(0.75) > 80_000);
            assert!(tally.latency.value_at_quantile(0.25) < 50_000);
        });
    }

    #[test]
    fn a_closed_loop_calls_again_as_soon_as_it_has_its_answer() {
        local(async {
            let window = Window::soon(Duration::from_millis(50), Duration::from_millis(200));
            let seen = closed(window, vec![(), ()], async |_: &mut ()| {
                time::sleep(Duration::from_millis(10)).await;
                Ok(ONE)
            });
            let tally = seen.await.unwrap();
            assert!((10..=42).contains(&tally.units), "{}", tally.units);
            assert!(tally.latency.value_at_quantile(0.5) >= 10_000);
        });
    }
}
