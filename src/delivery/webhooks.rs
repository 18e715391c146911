//! Webhooks: events handed on to endpoints, and sent, an endpoint's one after another.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};
use rand::RngExt;
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{body::body, count, hand_on::Consumer, schedule, sender::Sender, sign};
use crate::{
    ledger::{LedgerError, WORK_LIMIT, within},
    store::{
        Cell, Database, StoreError,
        delivery_state::DeliveryState,
        event_cursors::Handover,
        queries::FeedRow,
        webhooks::{Attempt, Listener, NewDelivery, TakenEndpoint, WaitingDelivery},
    },
};

/// Endpoints that one replica sends to at once.
const AT_ONCE: usize = 64;
/// For how long an endpoint is taken: longer than a run and its last attempt.
const LEASE: Duration = Duration::from_secs(60);
/// How long one run may go on: then others have their turn.
const RUN: Duration = Duration::from_secs(30);
/// The rest when nothing is due.
const PERIOD: Duration = Duration::from_millis(250);
const ERROR_PAUSE: Duration = Duration::from_secs(2);

/// Hands events on to endpoints.
#[derive(Debug)]
pub struct ToEndpoints {
    database: Database,
}

impl ToEndpoints {
    /// The endpoints of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Consumer for ToEndpoints {
    const NAME: &'static str = "webhooks";
    type Audience = Vec<Listener>;
    type Parcel = Vec<NewDelivery>;

    async fn audience(&self) -> Result<Option<Vec<Listener>>, LedgerError> {
        let database = self.database.clone();
        let listeners = within(WORK_LIMIT, async move { database.listeners().await }).await?;
        Ok((!listeners.is_empty()).then_some(listeners))
    }

    async fn prepare(
        &self,
        listeners: &Vec<Listener>,
        _cell: &Cell,
        rows: &[FeedRow],
    ) -> Result<Vec<NewDelivery>, LedgerError> {
        let mut deliveries = Vec::new();
        for event in rows.iter().flat_map(|row| &row.events) {
            let hears = |listener: &&Listener| {
                let of = listener.account_id.as_deref();
                of.is_none_or(|of| of == event.account_id.as_str())
                    && (listener.kinds.is_empty() || listener.kinds.contains(&(event.kind as i16)))
                    && listener.create_time <= event.create_time
            };
            let mut text = None;
            for listener in listeners.iter().filter(hears) {
                deliveries.push(NewDelivery {
                    endpoint_id: listener.endpoint_id.clone(),
                    event_id: event.event_id,
                    account_id: event.account_id.to_string(),
                    kind: event.kind as i16,
                    body: text.get_or_insert_with(|| body(event)).clone(),
                });
            }
        }
        // One statement inserts a row once.
        let mut seen: BTreeSet<(String, Uuid)> = BTreeSet::new();
        deliveries.retain(|d: &NewDelivery| seen.insert((d.endpoint_id.clone(), d.event_id)));
        Ok(deliveries)
    }

    async fn write(parcel: Vec<NewDelivery>, handover: &mut Handover) -> Result<(), StoreError> {
        if parcel.is_empty() { Ok(()) } else { handover.deliver(&parcel).await }
    }
}

/// Sends what waits for endpoints.
#[derive(Debug, Clone)]
pub struct Worker {
    database: Database,
    sender: Arc<Sender>,
}

impl Worker {
    /// A worker that sends by this sender.
    #[must_use]
    pub fn new(database: Database, sender: Sender) -> Self {
        Self { database, sender: Arc::new(sender) }
    }

    /// Works until `stop`. What is on its way then is sent again by somebody else.
    pub async fn run(self, stop: CancellationToken) {
        let mut runs = JoinSet::new();
        loop {
            while runs.try_join_next().is_some() {}
            let free = AT_ONCE.saturating_sub(runs.len());
            let pause = match self.take(free).await {
                Ok(taken) => {
                    let pause = if taken.is_empty() { PERIOD } else { Duration::ZERO };
                    for endpoint in taken {
                        runs.spawn(self.clone().serve(endpoint, stop.clone()));
                    }
                    pause
                }
                Err(error) => {
                    tracing::warn!(%error, "webhooks are sent later");
                    ERROR_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = time::sleep(pause.mul_f64(rand::rng().random_range(0.5..1.0))) => {}
                Some(_) = runs.join_next(), if runs.len() >= AT_ONCE => {}
            }
        }
        // Their leases end by themselves.
        runs.shutdown().await;
    }

    async fn take(&self, free: usize) -> Result<Vec<TakenEndpoint>, LedgerError> {
        if free == 0 {
            return Ok(Vec::new());
        }
        let (database, limit) = (self.database.clone(), i64::try_from(free).unwrap_or(1));
        within(WORK_LIMIT, async move { database.take_endpoints(limit, LEASE).await }).await
    }

    /// Sends to one endpoint, in order, until nothing waits, something fails, or its
    /// time is up.
    async fn serve(self, mut endpoint: TakenEndpoint, stop: CancellationToken) {
        let begun = Instant::now();
        while !stop.is_cancelled() {
            let (database, taken) = (self.database.clone(), endpoint.clone());
            let next = async move { database.next_delivery(&taken).await };
            let Ok(Some(delivery)) = within(WORK_LIMIT, next).await else { return };
            let attempt = self.attempt(&endpoint, &delivery, begun).await;
            endpoint.failures = 0;
            let is_over = attempt.rest.is_some() || attempt.disable.is_some();
            let (database, taken) = (self.database.clone(), endpoint.clone());
            let settle =
                async move { database.settle_delivery(&taken, delivery.event_id, &attempt).await };
            match within(WORK_LIMIT, settle).await {
                Ok(true) if !is_over => {}
                Ok(_) => return,
                Err(error) => {
                    // It is sent again, with the same id, when the lease has ended.
                    tracing::warn!(%error, endpoint = endpoint.endpoint_id, "what became of a webhook is not known");
                    return;
                }
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: &TakenEndpoint,
        delivery: &WaitingDelivery,
        begun: Instant,
    ) -> Attempt {
        let id = delivery.event_id.to_string();
        let timestamp = chrono::Utc::now().timestamp();
        let secrets = std::iter::once(&endpoint.secret).chain(&endpoint.old_secret);
        let secrets = secrets.map(Vec::as_slice);
        let signature = sign::signature(secrets, &id, timestamp, &delivery.body);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        let answer = self.sender.send(&endpoint.url, headers, delivery.body.clone()).await;
        let status = answer.status.map(i32::from);
        let outcome = |outcome| count("webhook", outcome);
        let Some(error) = answer.error else {
            outcome("delivered");
            // The last of a run: others first, then this one again.
            let rest = (begun.elapsed() > RUN).then_some(Duration::ZERO);
            return Attempt {
                state: DeliveryState::Delivered,
                status,
                error: String::new(),
                rest,
                disable: None,
            };
        };
        let failures = u32::try_from(endpoint.failures).unwrap_or(0) + 1;
        let random = rand::rng().random_range(0.0..1.0);
        let rest = schedule::rest(failures, answer.retry_after, random);
        let disable = match (answer.status, rest) {
            (Some(410), _) => Some("it answered 410 Gone".to_owned()),
            (_, None) => Some(format!("{failures} attempts failed, over three days: {error}")),
            _ => None,
        };
        let name = &endpoint.endpoint_id;
        if let Some(why) = disable {
            outcome("given_up");
            tracing::warn!(
                endpoint = name,
                why,
                "an endpoint is told nothing more, until `creditgate endpoint enable`"
            );
            return Attempt {
                state: DeliveryState::Failed,
                status,
                error,
                rest: None,
                disable: Some(why),
            };
        }
        outcome("failed");
        let seconds = rest.unwrap_or_default().as_secs();
        tracing::info!(endpoint = name, error, seconds, "a webhook is sent again later");
        Attempt { state: DeliveryState::Waiting, status, error, rest, disable: None }
    }
}
