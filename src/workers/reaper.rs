//! The reaper: frees holds whose lease has run out, gives up waiting for payments,
//! and settles what is due on accounts that nobody calls for.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::command::{Action, Command, Outcome},
    ids::AccountId,
    ledger::{Ledger, LedgerError, WORK_LIMIT, within},
    store::{
        Cell,
        queries::{DueAccount, ExpiredHold, ExpiredTopUp},
    },
};

/// What ledger entries of the reaper name as their actor.
pub const ACTOR: &str = "reaper";
/// How long it rests when it found nothing left to do. With several replicas
/// the one that wakes first does the work.
const PERIOD: Duration = Duration::from_secs(1);
/// How often the holds are counted.
const TELL_PERIOD: Duration = Duration::from_secs(15);
/// How long it rests between two pages.
const PAGE_PAUSE: Duration = Duration::from_millis(5);
/// Holds, top-ups or accounts that are looked for at once.
const PAGE: i64 = 500;

/// Works until `stop`.
pub async fn run(ledger: Ledger, stop: CancellationToken) {
    let mut told: Option<Instant> = None;
    while !stop.is_cancelled() {
        if let Err(error) = round(&ledger, &stop).await {
            tracing::warn!(%error, "the reaper tries again");
        } else if told.is_none_or(|told| told.elapsed() >= TELL_PERIOD) {
            tell_holds(&ledger).await;
            told = Some(Instant::now());
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(PERIOD.mul_f64(rand::rng().random_range(0.5..1.0))) => {}
        }
    }
}

/// One round over all cells: all that is due now.
///
/// # Errors
///
/// The database is away.
pub async fn sweep(ledger: &Ledger) -> Result<(), LedgerError> {
    round(ledger, &CancellationToken::new()).await
}

async fn round(ledger: &Ledger, stop: &CancellationToken) -> Result<(), LedgerError> {
    let cells: Vec<Cell> = ledger.cells().cloned().collect();
    for cell in cells {
        // Boxed: it has room for a page of each kind.
        Box::pin(sweep_cell(ledger, &cell, stop)).await?;
    }
    metrics::counter!("creditgate_reaper_rounds_total").increment(1);
    Ok(())
}

/// Page by page, of holds, of top-ups and of accounts in turn. Whatever could not be settled
/// stays behind for the next round, and the page after it comes all the same:
/// holds that fail each time must not keep the others from being freed.
async fn sweep_cell(
    ledger: &Ledger,
    cell: &Cell,
    stop: &CancellationToken,
) -> Result<(), LedgerError> {
    let now = ledger.clock().fixed();
    let (mut hold, mut top_up, mut due) = (None, None, None);
    let (mut more_holds, mut more_top_ups, mut more_due) = (true, true, true);
    while (more_holds || more_top_ups || more_due) && !stop.is_cancelled() {
        if more_holds {
            let (reader, after) = (cell.clone(), hold.take());
            let page =
                within(
                    WORK_LIMIT,
                    async move { reader.expired_holds(now, after.as_ref(), PAGE).await },
                )
                .await?;
            more_holds = is_full(page.len());
            hold = page.last().cloned();
            expire_leases(ledger, page).await;
        }
        if more_top_ups {
            let (reader, after) = (cell.clone(), top_up.take());
            let page = within(WORK_LIMIT, async move {
                reader.expired_top_ups(now, after.as_ref(), PAGE).await
            })
            .await?;
            more_top_ups = is_full(page.len());
            top_up = page.last().cloned();
            expire_top_ups(ledger, page).await;
        }
        if more_due {
            let (reader, after) = (cell.clone(), due.take());
            let page =
                within(
                    WORK_LIMIT,
                    async move { reader.due_accounts(now, after.as_ref(), PAGE).await },
                )
                .await?;
            more_due = is_full(page.len());
            due = page.last().cloned();
            apply_due(ledger, page).await;
        }
        // Let others have a turn.
        time::sleep(PAGE_PAUSE).await;
    }
    Ok(())
}

async fn expire_leases(ledger: &Ledger, holds: Vec<ExpiredHold>) {
    let commands = holds
        .into_iter()
        .map(|hold| Command {
            account_id: hold.account_id,
            actor: ACTOR.to_owned(),
            action: Action::ExpireLease { reservation_id: hold.reservation_id },
        })
        .collect();
    let mut freed = 0;
    for answer in ledger.submit_all(commands).await {
        match answer {
            Ok(Outcome::LeaseExpired { freed: true }) => freed += 1,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a hold could not be freed yet"),
        }
    }
    if freed > 0 {
        metrics::counter!("creditgate_leases_expired_total").increment(freed);
        tracing::info!(freed, "holds were freed, their leases had run out");
    }
}

async fn expire_top_ups(ledger: &Ledger, top_ups: Vec<ExpiredTopUp>) {
    let commands = top_ups
        .into_iter()
        .map(|top_up| Command {
            account_id: top_up.account_id,
            actor: ACTOR.to_owned(),
            action: Action::ExpireTopUp { top_up_id: top_up.top_up_id },
        })
        .collect();
    for answer in ledger.submit_all(commands).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "a payment is still waited for, though its time is over");
        }
    }
}

async fn apply_due(ledger: &Ledger, due: Vec<DueAccount>) {
    let accounts: BTreeSet<AccountId> = due.into_iter().map(|due| due.account_id).collect();
    let commands = accounts
        .into_iter()
        .map(|account_id| Command { account_id, actor: ACTOR.to_owned(), action: Action::ApplyDue })
        .collect();
    for answer in ledger.submit_all(commands).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "what is due on an account could not be applied yet");
        }
    }
}

/// Tells how many holds there are, as metrics.
async fn tell_holds(ledger: &Ledger) {
    let now = ledger.clock().fixed();
    let (mut held, mut oldest) = (0, Duration::ZERO);
    let cells: Vec<Cell> = ledger.cells().cloned().collect();
    for cell in cells {
        match within(WORK_LIMIT, async move { cell.holds(now).await }).await {
            Ok((more, overdue)) => {
                held += more;
                oldest = oldest.max(overdue);
            }
            Err(error) => return tracing::debug!(%error, "the holds were not counted"),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("creditgate_holds").set(held as f64);
    metrics::gauge!("creditgate_holds_overdue_seconds").set(oldest.as_secs_f64());
}

fn is_full(found: usize) -> bool {
    i64::try_from(found).is_ok_and(|found| found >= PAGE)
}
