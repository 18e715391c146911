//! When a call is made again, and when it is given up.
//!
//! Every call of the contract is idempotent by an id that the caller chose, so
//! an attempt without an answer may be repeated with the same id. It is
//! repeated after UNAVAILABLE, after a broken connection, after an attempt's
//! own deadline while the budget has room, and after RESOURCE_EXHAUSTED where
//! the gate says when. Any other status is an answer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{
    Client, ClientError,
    error::{Exhausted, Rejection, chain},
};

/// Limits of a call and its retries.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// One attempt's deadline, sent as `grpc-timeout`.
    pub deadline: Duration,
    /// All attempts together, with the waits between them. No wait is begun
    /// that would outlast it.
    pub budget: Duration,
    /// At most this many attempts.
    pub max_attempts: u32,
    /// The wait before the second attempt; it doubles from there. Half of each
    /// wait is random, so that many callers do not come back as one.
    pub first_backoff: Duration,
    /// The longest wait of ours. A longer one that the gate asks for is kept.
    pub max_backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            budget: Duration::from_secs(15),
            max_attempts: 5,
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(3),
        }
    }
}

impl RetryPolicy {
    /// One attempt, no retry.
    #[must_use]
    pub fn once(deadline: Duration) -> Self {
        Self { deadline, budget: deadline, max_attempts: 1, ..Self::default() }
    }

    /// As many attempts as the budget has room for.
    #[must_use]
    pub fn persistent(budget: Duration) -> Self {
        Self { budget, max_attempts: u32::MAX, ..Self::default() }
    }

    /// The wait after attempt number `attempt` (1, 2, ...), given a random
    /// number in 0.0..1.0.
    fn backoff(&self, attempt: u32, asked: Option<Duration>, random: f64) -> Duration {
        let doubled = self
            .first_backoff
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
            .min(self.max_backoff);
        let jittered = doubled.mul_f64(0.5 + random / 2.0);
        // A wait that the gate asks for is a minimum; jitter is put on top.
        asked.map_or(jittered, |asked| {
            asked.saturating_add(asked.min(self.max_backoff).mul_f64(random / 4.0))
        })
    }
}

/// Whether a call may change something, so whether losing its answer matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads.
    Reads,
    /// It changes something.
    Changes,
}

/// What a call has used up so far.
#[derive(Default)]
pub(super) struct Spent {
    pub(super) attempts: u32,
    pub(super) elapsed: Duration,
    /// True where an attempt may have been carried out unheard.
    pub(super) maybe_done: bool,
}

impl Spent {
    pub(super) fn unavailable(self, last: Rejection) -> ClientError {
        let exhausted =
            Box::new(Exhausted { attempts: self.attempts, elapsed: self.elapsed, last });
        if self.maybe_done {
            ClientError::OutcomeUnknown(exhausted)
        } else {
            ClientError::Unavailable(exhausted)
        }
    }
}

/// What one failed attempt means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The gate's last word: nothing was done.
    Answer,
    /// The gate's last word, but it does not say whether something was done.
    Doubt,
    /// Not carried out; may be tried again.
    NotDone,
    /// Perhaps carried out; may be tried again.
    MaybeDone,
}

fn meaning(rejection: &Rejection) -> Meaning {
    if rejection.not_sent {
        return Meaning::NotDone;
    }
    if !rejection.from_gate {
        return Meaning::MaybeDone;
    }
    match rejection.code {
        // The gate says UNAVAILABLE too when it lost the answer to its COMMIT.
        Code::Unavailable | Code::DeadlineExceeded => Meaning::MaybeDone,
        Code::ResourceExhausted if rejection.retry_after.is_some() => Meaning::NotDone,
        Code::Unknown | Code::Internal | Code::Cancelled | Code::DataLoss => Meaning::Doubt,
        _ => Meaning::Answer,
    }
}

impl Client {
    /// Makes one call under the policy.
    pub(super) async fn call<Req, Resp, F, Fut>(
        &self,
        effect: Effect,
        request: Req,
        send: F,
    ) -> Result<Resp, ClientError>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Resp>, Status>>,
    {
        let policy = &*self.policy;
        let started = Instant::now();
        let mut spent = Spent::default();
        loop {
            let left = policy.budget.saturating_sub(started.elapsed());
            let limit = policy.deadline.min(left);
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(limit);
            if let Some(trace) = &self.trace {
                attempt.metadata_mut().insert("traceparent", trace.clone());
            }
            if let Some(key) = &self.key {
                attempt.metadata_mut().insert("authorization", key.clone());
            }
            let answer = timeout(limit, send(self.channel.clone(), attempt)).await;
            let rejection = match answer {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) if is_our_timeout(&status) => Rejection::deadline(limit),
                Ok(Err(status)) => Rejection::from_status(&status),
                Err(_) => Rejection::deadline(limit),
            };
            spent.attempts += 1;
            spent.elapsed = started.elapsed();
            let meaning = meaning(&rejection);
            spent.maybe_done |=
                effect == Effect::Changes && matches!(meaning, Meaning::MaybeDone | Meaning::Doubt);
            match meaning {
                Meaning::Answer => return Err(ClientError::Rejected(Box::new(rejection))),
                Meaning::Doubt if effect == Effect::Reads => {
                    return Err(ClientError::Rejected(Box::new(rejection)));
                }
                Meaning::Doubt => return Err(spent.unavailable(rejection)),
                Meaning::NotDone | Meaning::MaybeDone => {}
            }
            let wait = policy.backoff(spent.attempts, rejection.retry_after, rand::random());
            let room = policy.budget.saturating_sub(spent.elapsed) > wait;
            if rejection.no_retry || spent.attempts >= policy.max_attempts || !room {
                return Err(spent.unavailable(rejection));
            }
            tracing::debug!(attempt = spent.attempts, ?wait, %rejection, "retrying");
            sleep(wait).await;
        }
    }
}

/// The channel watches `grpc-timeout` as well, and may be first to notice: it
/// then says CANCELLED.
fn is_our_timeout(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| {
        chain(source).any(<dyn std::error::Error>::is::<tonic::TimeoutExpired>)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_half_of_each_is_random() {
        let policy = RetryPolicy::default();
        let millis =
            |attempt, random| policy.backoff(attempt, None, random).as_secs_f64() * 1_000.0;
        assert!((millis(1, 1.0) - 100.0).abs() < 1.0);
        assert!((millis(1, 0.0) - 50.0).abs() < 1.0);
        assert!((millis(3, 1.0) - 400.0).abs() < 1.0);
        assert!((millis(40, 1.0) - 3_000.0).abs() < 1.0);
    }

    #[test]
    fn a_wait_that_the_gate_asks_for_is_never_cut_short() {
        let policy = RetryPolicy::default();
        let asked = Duration::from_secs(7);
        assert!(policy.backoff(1, Some(asked), 0.0) >= asked);
        assert!(policy.backoff(9, Some(asked), 1.0) <= asked * 2);
    }

    #[test]
    fn only_an_outage_or_a_shed_call_is_retried() {
        let meant = |status: &Status| meaning(&Rejection::from_status(status));
        assert_eq!(meant(&Status::unavailable("")), Meaning::MaybeDone);
        assert_eq!(meant(&Status::deadline_exceeded("")), Meaning::MaybeDone);
        assert_eq!(meant(&Status::internal("")), Meaning::Doubt);
        for answer in [
            Status::invalid_argument(""),
            Status::not_found(""),
            Status::permission_denied(""),
            Status::failed_precondition(""),
            Status::unauthenticated(""),
            // Without RetryInfo it is a quota, which waiting may never clear.
            Status::resource_exhausted(""),
        ] {
            assert_eq!(meant(&answer), Meaning::Answer, "{answer}");
        }
    }
}
