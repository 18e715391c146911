//! Applies what payment providers have sent: finds the account, sends the command,
//! writes down what became of it.
//!
//! Runs on every replica at once: an event is taken with a lease, and applied
//! twice it has one effect. What cannot be applied stands in nobody's way: it
//! waits with growing rests, or is kept as failed.

use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    billing::{Billing, BillingError, Inbox, InboxState, ProviderKeys, Settlement, TakenEvent},
    domain::{
        command::{Action, Command, Outcome, Refusal},
        provider::{Effect, ProviderEvent},
    },
    ids::OperationId,
    ledger::{Ledger, LedgerError},
    paddle::{PROVIDER, event::Event, translate::translate},
    planted::{self, Bug},
};

/// How long it rests when nothing is due, unless an event arrives here: events
/// that arrived elsewhere, or whose time has come, are found by then.
const PERIOD: Duration = Duration::from_secs(1);
/// Events that are taken at once.
const PAGE: i64 = 50;
/// For how long: a command is tried for 5 s, and is harmless if it comes twice.
const LEASE: Duration = Duration::from_secs(10);
/// How often, and after which pauses, it is tried to write down what became of
/// events; after that they are taken again when their lease has ended.
const SETTLE_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];
/// How long an event rests the first, the second, ... time that it is parked.
const RESTS: [u64; 6] = [1, 5, 30, 120, 600, 3600];
/// After this time nobody waits for an account or a payment any more.
const GIVE_UP: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest rest of an event that the database kept from being applied.
const MAX_RETRY: i32 = 30;
/// The most characters of an error that are kept.
const MAX_ERROR: usize = 500;
/// How long a round may go on after it was told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How often the inbox is counted.
const COUNT_PERIOD: Duration = Duration::from_secs(10);

/// Applies what is in the inbox.
#[derive(Debug)]
pub struct Worker {
    ledger: Ledger,
    billing: Billing,
    inbox: Inbox,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Applied {
        replayed: bool,
    },
    Ignored,
    /// It waits for something that may come.
    Parked(String),
    /// It will not work by itself.
    Failed(String),
    /// The database, or this process, kept it from being tried.
    Later(String),
}

/// An event on its way.
struct Work {
    taken: TakenEvent,
    keys: ProviderKeys,
    command: Option<Command>,
    end: Option<End>,
}

impl Worker {
    /// A worker on this inbox.
    #[must_use]
    pub fn new(ledger: Ledger, billing: Billing, inbox: Inbox) -> Self {
        Self { ledger, billing, inbox }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut counted: Option<Instant> = None;
        // What is dropped half-way was sent all the same, and is taken again by
        // somebody else: a silent database must not keep this process.
        let cut = async {
            stop.cancelled().await;
            time::sleep(STOP_LIMIT).await;
        };
        tokio::pin!(cut);
        while !stop.is_cancelled() {
            let round = self.round_and_count(&stop, &mut counted);
            tokio::select! {
                () = round => {}
                () = &mut cut => return,
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inbox.arrival() => {}
                () = time::sleep(PERIOD.mul_f64(rand::rng().random_range(0.5..1.0))) => {}
            }
        }
    }

    async fn round_and_count(&self, stop: &CancellationToken, counted: &mut Option<Instant>) {
        if let Err(error) = self.round(stop).await {
            tracing::warn!(%error, "the inbox is tried again");
        } else if counted.is_none_or(|counted| counted.elapsed() >= COUNT_PERIOD) {
            self.count().await;
            *counted = Some(Instant::now());
        }
    }

    /// One round: all that is due now.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn sweep(&self) -> Result<(), LedgerError> {
        self.round(&CancellationToken::new()).await
    }

    async fn round(&self, stop: &CancellationToken) -> Result<(), LedgerError> {
        while !stop.is_cancelled() {
            let taken = self.inbox.take(PROVIDER, PAGE, LEASE).await?;
            if taken.is_empty() {
                break;
            }
            self.apply(taken).await?;
        }
        Ok(())
    }

    /// Applies events in the order in which they happened. Those of one account
    /// go through its lane in this order, the others beside them.
    async fn apply(&self, taken: Vec<TakenEvent>) -> Result<(), LedgerError> {
        let mut works = Vec::with_capacity(taken.len());
        let mut away = None;
        for taken in taken {
            works.push(self.prepare(taken, &mut away).await);
        }
        let commands = works.iter().filter_map(|work| work.command.clone()).collect();
        if planted::has(Bug::SeenApart) {
            self.settle(works.iter().map(Work::as_if_applied).collect()).await?;
        }
        let mut answers = self.ledger.submit_all(commands).await.into_iter();
        for work in works.iter_mut().filter(|work| work.command.is_some()) {
            work.end = Some(answers.next().map_or_else(|| later("no answer"), end_of));
        }
        let completed: Vec<String> = works.iter().filter_map(Work::completed).collect();
        self.settle(works.into_iter().map(Work::settle).collect()).await?;
        for transaction_id in completed {
            // What came before its payment has waited for it.
            self.inbox.wake_transaction(PROVIDER, transaction_id).await?;
        }
        Ok(())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), LedgerError> {
        for pause in SETTLE_PAUSES {
            match self.inbox.settle(PROVIDER, settlements.clone()).await {
                Err(LedgerError::Unavailable) => time::sleep(pause).await,
                done => return done,
            }
        }
        self.inbox.settle(PROVIDER, settlements).await
    }

    /// Reads an event and finds its account. Once the database was seen to be
    /// away, the others do not wait for it.
    async fn prepare(&self, taken: TakenEvent, away: &mut Option<String>) -> Work {
        let mut work = Work { keys: ProviderKeys::default(), taken, command: None, end: None };
        let report = match Event::parse(&work.taken.body).map(translate) {
            Ok(Some(report)) => report,
            Ok(None) => {
                work.end = Some(End::Ignored);
                return work;
            }
            Err(error) => {
                work.end = Some(End::Failed(error.to_string()));
                return work;
            }
        };
        work.keys = report.keys;
        if let Some(why) = away {
            work.end = Some(later(why));
            return work;
        }
        match self.billing.account_of_report(PROVIDER, &work.keys).await {
            Ok(Some(owner)) => {
                let mut event = report.event;
                // What was opened here holds; what the payer says is a hint.
                if let Some(opened) = owner.top_up_id {
                    name_top_up(&mut event, opened);
                }
                work.command = Some(Command {
                    account_id: owner.account_id,
                    actor: PROVIDER.to_owned(),
                    action: Action::ApplyEvent(Box::new(event)),
                });
            }
            Ok(None) => work.end = Some(End::Parked(nobody(&work.keys))),
            Err(BillingError::Ledger(LedgerError::Internal)) => {
                work.end = Some(End::Parked("internal error: the log says which".to_owned()));
            }
            Err(error) => {
                *away = Some(error.to_string());
                work.end = Some(later(&error.to_string()));
            }
        }
        work
    }

    async fn count(&self) {
        match self.inbox.figures(PROVIDER).await {
            Ok(figures) => {
                for figure in figures {
                    let labels = [("provider", PROVIDER), ("state", figure.state.name())];
                    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                    metrics::gauge!("creditgate_inbox_events", &labels).set(figure.events as f64);
                    metrics::gauge!("creditgate_inbox_oldest_seconds", &labels)
                        .set(figure.oldest.as_secs_f64());
                }
            }
            Err(error) => tracing::debug!(%error, "the inbox was not counted"),
        }
    }
}

fn name_top_up(event: &mut ProviderEvent, opened: OperationId) {
    if let Effect::PaymentPending(payment)
    | Effect::PaymentCompleted(payment)
    | Effect::PaymentCanceled(payment) = &mut event.effect
    {
        payment.top_up_id = Some(opened);
    }
}

fn nobody(keys: &ProviderKeys) -> String {
    match &keys.customer_id {
        Some(customer) => format!("customer {customer} is linked to no account"),
        None => "it names no customer, and its payment is of no account".to_owned(),
    }
}

fn later(why: &str) -> End {
    End::Later(why.to_owned())
}

fn end_of(answer: Result<Outcome, LedgerError>) -> End {
    match answer {
        Ok(Outcome::EventApplied { replayed }) => End::Applied { replayed },
        Ok(_) => End::Failed("the ledger did something else".to_owned()),
        Err(LedgerError::Refused(refusal)) => match refusal {
            Refusal::TransactionUnknown { .. } | Refusal::AccountNotFound { .. } => {
                End::Parked(refusal.to_string())
            }
            refusal => End::Failed(refusal.to_string()),
        },
        // A row that the database refuses, or a right that is missing: the next
        // release, or a migration, may mend it.
        Err(LedgerError::Internal) => End::Parked("internal error: the log says which".to_owned()),
        Err(error @ (LedgerError::Overloaded | LedgerError::Unavailable | LedgerError::Closed)) => {
            End::Later(error.to_string())
        }
    }
}

impl Work {
    /// What a planted bug notes before anything is applied.
    fn as_if_applied(&self) -> Settlement {
        Settlement {
            event_id: self.taken.event_id.clone(),
            attempt: self.taken.attempt,
            state: InboxState::Applied,
            retry_after: Duration::ZERO,
            error: String::new(),
            account_id: None,
            keys: ProviderKeys::default(),
        }
    }

    /// The payment, where it has just been completed.
    fn completed(&self) -> Option<String> {
        match (&self.command.as_ref()?.action, &self.end) {
            (Action::ApplyEvent(event), Some(End::Applied { .. })) => match &event.effect {
                Effect::PaymentCompleted(payment) => Some(payment.transaction_id.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    fn settle(self) -> Settlement {
        let (event_id, attempt) = (self.taken.event_id, self.taken.attempt);
        let account_id = self.command.map(|command| command.account_id);
        let account = account_id.as_ref().map_or("-", |account_id| account_id.as_str());
        let end = match self.end.unwrap_or_else(|| later("it was not tried")) {
            End::Parked(why) if self.taken.age >= GIVE_UP => {
                End::Failed(format!("given up after 30 days: {why}"))
            }
            end => end,
        };
        let rest = |seconds: u64| {
            Duration::from_secs(seconds).mul_f64(rand::rng().random_range(0.75..1.0))
        };
        let (state, retry_after, error) = match &end {
            End::Applied { replayed } => {
                tracing::info!(event_id, account, replayed, "a report of Paddle's was applied");
                (InboxState::Applied, Duration::ZERO, "")
            }
            End::Ignored => (InboxState::Ignored, Duration::ZERO, ""),
            End::Parked(why) => {
                let step = usize::try_from(self.taken.parks).unwrap_or(0).min(RESTS.len() - 1);
                let retry_after = rest(RESTS.get(step).copied().unwrap_or(1));
                let seconds = retry_after.as_secs();
                tracing::info!(event_id, account, why, seconds, "a report of Paddle's waits");
                (InboxState::Parked, retry_after, why.as_str())
            }
            End::Failed(why) => {
                tracing::error!(
                    event_id,
                    account,
                    why,
                    "a report of Paddle's cannot be applied: it is kept, and \
                     `creditgate paddle replay` tries it again"
                );
                (InboxState::Failed, Duration::ZERO, why.as_str())
            }
            End::Later(why) => {
                tracing::warn!(event_id, account, why, "a report of Paddle's is tried again soon");
                let seconds = attempt.clamp(1, MAX_RETRY);
                (InboxState::New, rest(seconds.unsigned_abs().into()), why.as_str())
            }
        };
        metrics::counter!("creditgate_inbox_events_total", "provider" => PROVIDER, "outcome" => end.name())
            .increment(1);
        let error = shown(error);
        Settlement { event_id, attempt, state, retry_after, error, account_id, keys: self.keys }
    }
}

impl End {
    /// The label of the metric.
    fn name(&self) -> &'static str {
        match self {
            Self::Applied { replayed: false } => "applied",
            Self::Applied { replayed: true } => "replayed",
            Self::Ignored => "ignored",
            Self::Parked(_) => "parked",
            Self::Failed(_) => "failed",
            Self::Later(_) => "later",
        }
    }
}

/// An error as it is kept: parts of it are the sender's words, and the database
/// takes no zero byte.
fn shown(error: &str) -> String {
    error.chars().take(MAX_ERROR).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
