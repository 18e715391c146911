//! Webhooks of payment providers: believed, stored, answered. What they do to an
//! account is done afterwards, by a worker: their sender waits for 5 s only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use chrono::Utc;
use tokio::{sync::Semaphore, time};

use crate::{
    billing::{Inbox, NewEvent},
    clock::{Clock, Timestamp},
    paddle::{
        PROVIDER,
        event::Envelope,
        signature::{HEADER, Header, SignatureError, Verifier},
    },
};

/// The most bytes of a body: Paddle's have about ten thousand.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a body may take to come. With the time that storing may take, the
/// answer is there within the 5 s for which Paddle waits.
const READ_LIMIT: Duration = Duration::from_millis(1500);
/// Bodies that are read at once: what strangers send is held in memory until it
/// is known to be forged.
const MAX_AT_ONCE: usize = 64;
/// Refusals are told of once in so many seconds: strangers must not fill the log.
const WARN_PERIOD_SECONDS: i64 = 10;

/// Takes webhooks. Clones share it.
#[derive(Debug, Clone)]
pub struct Webhooks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paddle: Option<Verifier>,
    inbox: Inbox,
    clock: Clock,
    places: Semaphore,
    warned: AtomicI64,
}

/// What becomes of a webhook: its answer, and how it is counted.
#[derive(Debug)]
enum Verdict {
    Stored,
    Repeated,
    Off,
    NotBelieved(SignatureError),
    /// The body did not come whole, or is too large.
    Unread(StatusCode, &'static str),
    /// Signed, and no event all the same.
    NoEvent(String),
    Unavailable(&'static str),
}

impl Webhooks {
    /// Takes what `paddle` believes into `inbox`; nothing where there is no
    /// verifier. The age of a signature is measured with `clock`, or where that
    /// is the database's with this machine's, as the database must not be asked
    /// for strangers.
    #[must_use]
    pub fn new(paddle: Option<Verifier>, inbox: Inbox, clock: Clock) -> Self {
        let places = Semaphore::new(MAX_AT_ONCE);
        Self(Arc::new(Inner { paddle, inbox, clock, places, warned: AtomicI64::new(0) }))
    }

    /// `POST /webhooks/paddle`: 200 once the event is stored, now or before; 400
    /// or 401 for what is not believed, 404 where no secret is set, 408 and 413
    /// for bodies that are slow or too large, 503 where it cannot be stored now.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/webhooks/paddle", post(paddle))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }
}

async fn paddle(State(webhooks): State<Webhooks>, request: Request) -> Response {
    let inner = &webhooks.0;
    let verdict = inner.receive(request).await;
    let outcome = verdict.outcome();
    metrics::counter!("creditgate_webhooks_total", "provider" => PROVIDER, "outcome" => outcome)
        .increment(1);
    if let Verdict::NotBelieved(_) | Verdict::Unread(..) | Verdict::NoEvent(_) = &verdict {
        inner.tell(&verdict);
    }
    let (status, text) = verdict.answer();
    (status, format!("{text}\n")).into_response()
}

impl Inner {
    async fn receive(&self, request: Request) -> Verdict {
        let Some(verifier) = &self.paddle else { return Verdict::Off };
        let Ok(_place) = self.places.try_acquire() else {
            return Verdict::Unavailable("too many webhooks at once");
        };
        let signed = match signed(request.headers()) {
            Ok(signed) => signed,
            Err(error) => return Verdict::NotBelieved(error),
        };
        // What is too old by its own word is not read at all.
        let believed = Header::parse(&signed).and_then(|header| {
            verifier.check_age(&header, self.now())?;
            Ok(header)
        });
        let header = match believed {
            Ok(header) => header,
            Err(error) => return Verdict::NotBelieved(error),
        };
        let body = match time::timeout(READ_LIMIT, Bytes::from_request(request, &())).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Verdict::Unread(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
            }
            Ok(Err(_)) => {
                return Verdict::Unread(StatusCode::BAD_REQUEST, "the body did not come whole");
            }
            Err(_) => {
                return Verdict::Unread(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not come in time",
                );
            }
        };
        if let Err(error) = verifier.verify(&header, &body, self.now()) {
            return Verdict::NotBelieved(error);
        }
        let envelope = match Envelope::parse(&body) {
            Ok(envelope) => envelope,
            Err(error) => return Verdict::NoEvent(error.to_string()),
        };
        self.store(envelope, body).await
    }

    async fn store(&self, envelope: Envelope, body: Bytes) -> Verdict {
        let Envelope { event_id, event_type, occurred_at } = envelope;
        let event = NewEvent {
            provider: PROVIDER.to_owned(),
            event_id: event_id.clone(),
            event_type: event_type.clone(),
            occurred_at,
            body: body.into(),
        };
        match self.inbox.receive(event).await {
            Ok(true) => {
                tracing::info!(event_id, event_type, "a webhook of Paddle's was stored");
                Verdict::Stored
            }
            Ok(false) => {
                tracing::debug!(event_id, event_type, "a webhook of Paddle's came again");
                Verdict::Repeated
            }
            Err(error) => {
                tracing::warn!(
                    event_id,
                    event_type,
                    %error,
                    "a webhook of Paddle's could not be stored: Paddle sends it again"
                );
                Verdict::Unavailable("it cannot be stored now")
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.fixed().unwrap_or_else(Utc::now)
    }

    /// Tells of a refusal, unless one was told of just before.
    fn tell(&self, verdict: &Verdict) {
        let (why, now) = (verdict.answer().1, Utc::now().timestamp());
        let warned = self.warned.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(warned) >= WARN_PERIOD_SECONDS;
        let exchange = |warned| {
            self.warned.compare_exchange(warned, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if is_due && exchange(warned) {
            tracing::warn!(why, "a webhook was refused; others like it are counted, not told of");
        } else {
            tracing::debug!(why, "a webhook was refused");
        }
    }
}

/// The signature's header, which comes once.
fn signed(headers: &HeaderMap) -> Result<String, SignatureError> {
    let mut all = headers.get_all(HEADER).iter();
    let first = all.next().ok_or(SignatureError::Missing)?;
    if all.next().is_some() {
        return Err(SignatureError::Malformed("it comes twice"));
    }
    let text = first.to_str().map_err(|_| SignatureError::Malformed("it is not ASCII"))?;
    Ok(text.to_owned())
}

impl Verdict {
    fn answer(&self) -> (StatusCode, String) {
        match self {
            Self::Stored => (StatusCode::OK, "stored".to_owned()),
            Self::Repeated => (StatusCode::OK, "stored before".to_owned()),
            Self::Off => {
                let text = "no secret of Paddle's is set here: CREDITGATE_PADDLE_SECRETS";
                (StatusCode::NOT_FOUND, text.to_owned())
            }
            Self::NotBelieved(error @ SignatureError::Malformed(_)) => {
                (StatusCode::BAD_REQUEST, error.to_string())
            }
            Self::NotBelieved(error) => (StatusCode::UNAUTHORIZED, error.to_string()),
            Self::Unread(status, why) => (*status, (*why).to_owned()),
            Self::NoEvent(why) => {
                (StatusCode::BAD_REQUEST, format!("the body is no event of Paddle's: {why}"))
            }
            Self::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, (*why).to_owned()),
        }
    }

    /// The label of the metric.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Off => "off",
            Self::NotBelieved(error) => match error {
                SignatureError::Missing | SignatureError::Malformed(_) => "unsigned",
                SignatureError::Stale { .. } => "stale",
                SignatureError::FromTheFuture { .. } => "from_the_future",
                SignatureError::Mismatch => "forged",
            },
            Self::Unread(StatusCode::PAYLOAD_TOO_LARGE, _) => "too_large",
            Self::Unread(..) => "incomplete",
            Self::NoEvent(_) => "not_understood",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
