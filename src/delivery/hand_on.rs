//! Hands events on from the cells' feeds to whoever sends them: each once, in order,
//! whichever replica does it.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    events::follow::Follower,
    ledger::{Ledger, LedgerError, WORK_LIMIT, within},
    store::{Cell, Database, StoreError, event_cursors::Handover, queries::FeedRow},
};

/// How often feeds are looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// And while something is on its way.
const SHORT_PERIOD: Duration = Duration::from_millis(20);
/// The rest while nobody wants to be told, and how often the place is kept up then:
/// whoever comes later is not told of what was before.
const IDLE_PERIOD: Duration = Duration::from_secs(1);
const KEEP_UP: Duration = Duration::from_secs(60);
/// The rest after an error.
const ERROR_PAUSE: Duration = Duration::from_secs(2);

/// Somebody who sends what is handed on.
pub trait Consumer: Send + Sync + 'static {
    /// What it is known by for ever: the key of its places.
    const NAME: &'static str;
    /// Whom it sends to, as read before a step.
    type Audience: Send + Sync + 'static;

    /// Whom it sends to now; `None` for nobody.
    fn audience(&self) -> impl Future<Output = Result<Option<Self::Audience>, LedgerError>> + Send;

    /// What is to be sent of these events, prepared before anything is locked.
    type Parcel: Send + 'static;

    /// Prepares it; the accounts are those of this cell.
    fn prepare(
        &self,
        audience: &Self::Audience,
        cell: &Cell,
        rows: &[FeedRow],
    ) -> impl Future<Output = Result<Self::Parcel, LedgerError>> + Send;

    /// Writes it down, in the transaction that moves the place.
    fn write(
        parcel: Self::Parcel,
        handover: &mut Handover,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Sees to it that `consumer` is told of what happens from now on, where it never was
/// before.
///
/// # Errors
///
/// The database is away.
pub async fn begin<C: Consumer>(ledger: &Ledger) -> Result<(), StoreError> {
    for cell in ledger.cells() {
        cell.begin_event_place(C::NAME).await?;
    }
    Ok(())
}

/// Hands on until `stop`.
pub async fn run<C: Consumer>(
    database: Database,
    ledger: Ledger,
    consumer: C,
    stop: CancellationToken,
) {
    let mut followers: Vec<Follower> = ledger.cells().cloned().map(Follower::new).collect();
    let mut kept_up = BTreeMap::new();
    while !stop.is_cancelled() {
        let round = round(&database, &consumer, &mut followers, &mut kept_up);
        let pause = tokio::select! {
            () = stop.cancelled() => return,
            pause = round => pause.unwrap_or_else(|error| {
                tracing::warn!(%error, consumer = C::NAME, "events are handed on later");
                ERROR_PAUSE
            }),
        };
        let jittered = pause.mul_f64(rand::rng().random_range(0.75..1.0));
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(jittered) => {}
        }
    }
}

async fn round<C: Consumer>(
    database: &Database,
    consumer: &C,
    followers: &mut [Follower],
    kept_up: &mut BTreeMap<i16, Instant>,
) -> Result<Duration, LedgerError> {
    let mut looks = Vec::with_capacity(followers.len());
    for follower in followers {
        looks.push((follower.look().await?, &*follower));
    }
    // After the looks: whoever had come by then is told of what came after.
    let audience = consumer.audience().await?;
    let mut pause = if audience.is_some() { PERIOD } else { IDLE_PERIOD };
    for ((told, is_waiting), follower) in looks {
        let cell_id = follower.cell().cell_id;
        if is_waiting {
            pause = SHORT_PERIOD;
        }
        if audience.is_none() && kept_up.get(&cell_id).is_some_and(|at| at.elapsed() < KEEP_UP) {
            continue;
        }
        let Some(told) = told else { continue };
        let reader = database.clone();
        let place = within(WORK_LIMIT, async move { reader.event_place(C::NAME, cell_id).await });
        let Some(mut place) = place.await? else { continue };
        while place < told {
            let (after, parcel) = match &audience {
                None => (told, None),
                Some(audience) => {
                    let step = follower.read(place, told).await?;
                    let parcel = consumer.prepare(audience, follower.cell(), &step.rows).await?;
                    (step.up_to, Some(parcel))
                }
            };
            let database = database.clone();
            let moved = within(WORK_LIMIT, async move {
                let Some(mut handover) = database.hand_over(C::NAME, cell_id).await? else {
                    return Ok(false);
                };
                // Somebody else was faster, or has just begun it.
                if place != handover.position {
                    handover.leave().await?;
                    return Ok(false);
                }
                if let Some(parcel) = parcel {
                    C::write(parcel, &mut handover).await?;
                }
                handover.finish(after).await?;
                Ok(true)
            });
            if !moved.await? {
                break;
            }
            place = after;
        }
        if audience.is_none() && !is_waiting {
            kept_up.insert(cell_id, Instant::now());
        }
    }
    Ok(pause)
}
