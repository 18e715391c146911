//! What becomes of a hold: extended, committed, released, expired.
//!
//! | state     | commit            | release, restores  | release, consumes | lease ends |
//! |-----------|-------------------|--------------------|-------------------|------------|
//! | HELD      | COMMITTED         | RELEASED           | COMMITTED         | EXPIRED    |
//! | COMMITTED | replayed, or no   | REFUNDED, once     | no change         | -          |
//! | RELEASED  | no                | replayed           | no                | -          |
//! | EXPIRED   | late commit       | 0 credits          | late commit       | -          |
//! | REFUNDED  | no                | replayed           | no                | -          |

use chrono::TimeDelta;

use super::{
    account::{AccountState, Cause, Halt, Notice},
    catalog::DEFAULT_MAX_LEASE,
    command::{Outcome, Refusal},
    context::Context,
    credit::split,
    entry::EntryKind,
    event::EventKind,
    reservation::{Disposition, ReleaseCause, Reservation, ReservationState},
    returns::give_back,
};
use crate::{
    ids::ReservationId,
    planted::{self, Bug},
};

/// The reference of what returns because less was spent than was held.
pub const UNSPENT: &str = "unspent";

fn find(state: &AccountState, id: &ReservationId) -> Result<Reservation, Refusal> {
    state
        .reservations
        .get(id)
        .cloned()
        .ok_or_else(|| Refusal::ReservationNotFound { reservation_id: id.clone() })
}

fn settled(reservation: &Reservation, advice: &'static str) -> Halt {
    let reservation_id = reservation.reservation_id.clone();
    Refusal::ReservationSettled { reservation_id, state: reservation.state, advice }.into()
}

/// Stores a changed reservation, and hands it out.
fn keep(state: &mut AccountState, reservation: Reservation) -> Reservation {
    state.reservations.insert(reservation.reservation_id.clone(), reservation.clone());
    reservation
}

/// Prolongs a lease; never shortens it. A hold whose lease has run out but that
/// was not freed yet is as good as any.
pub(super) fn extend(
    state: &mut AccountState,
    context: &Context<'_>,
    id: &ReservationId,
    lease: TimeDelta,
) -> Result<Outcome, Halt> {
    let mut reservation = find(state, id)?;
    if !reservation.is_held() {
        return Err(settled(&reservation, "it holds nothing any more, stop the scan"));
    }
    let kind = context.catalog.scan_kind(&reservation.sent.scan_kind);
    let max = kind.map_or(DEFAULT_MAX_LEASE, |kind| kind.max_lease());
    if lease > max {
        return Err(Refusal::LeaseTooLong { max }.into());
    }
    reservation.expire_time = match planted::has(Bug::ExtendShortens) {
        true => context.now + lease,
        false => reservation.expire_time.max(context.now + lease),
    };
    Ok(Outcome::Extended { reservation: keep(state, reservation) })
}

/// Spends a hold, all or some of it.
pub(super) fn commit(
    state: &mut AccountState,
    context: &Context<'_>,
    id: &ReservationId,
    credits: Option<i64>,
    actor: &str,
) -> Result<Outcome, Halt> {
    let reservation = find(state, id)?;
    let wanted = credits.unwrap_or(reservation.credits);
    if wanted > reservation.credits {
        return Err(Refusal::CreditsExceedHold { held: reservation.credits }.into());
    }
    let (reservation, replayed) = match reservation.state {
        ReservationState::Held => {
            (consume(state, context, reservation, wanted, None, "commit", actor), false)
        }
        ReservationState::Committed if reservation.committed_credits == wanted => {
            (reservation, true)
        }
        ReservationState::Committed => {
            return Err(settled(&reservation, "it was committed with another number of credits"));
        }
        ReservationState::Expired => {
            (consume_late(state, context, reservation, wanted, None, "commit", actor)?, false)
        }
        ReservationState::Released | ReservationState::Refunded => {
            return Err(settled(&reservation, "its credits went back, it cannot be committed"));
        }
    };
    let balance = state.balance_for(reservation.credit_type.as_ref());
    Ok(Outcome::Committed { reservation, balance, replayed })
}

/// Settles a run that did not deliver, as the policy has it for its cause.
pub(super) fn release(
    state: &mut AccountState,
    context: &Context<'_>,
    id: &ReservationId,
    cause: ReleaseCause,
    note: &str,
    actor: &str,
) -> Result<Outcome, Halt> {
    let reservation = find(state, id)?;
    let restores = context.catalog.policy.restores(cause);
    let reference = &reference(cause, note);
    let mut replayed = false;
    let (reservation, disposition, restored_credits) = match (reservation.state, restores) {
        (ReservationState::Held, true) => {
            let credits = reservation.credits;
            let released = give_up(state, context, reservation, cause, reference, actor);
            (released, Disposition::Restored, credits)
        }
        (ReservationState::Held, false) => {
            let all = reservation.credits;
            let spent = consume(state, context, reservation, all, Some(cause), reference, actor);
            (spent, Disposition::Consumed, 0)
        }
        (ReservationState::Committed, true) => {
            let credits = reservation.committed_credits;
            let refunded = give_up(state, context, reservation, cause, reference, actor);
            (refunded, Disposition::Refunded, credits)
        }
        (ReservationState::Committed, false) => {
            replayed = true;
            (reservation, Disposition::Consumed, 0)
        }
        (ReservationState::Released, true) if planted::has(Bug::RestoredTwice) => {
            let mut again = reservation.clone();
            return_all(state, context, &mut again, EntryKind::Restore, true, reference, actor);
            (keep(state, again), Disposition::Restored, reservation.credits)
        }
        (ReservationState::Refunded, true) if planted::has(Bug::RefundedTwice) => {
            let credits = reservation.committed_credits;
            let refunded = give_up(state, context, reservation, cause, reference, actor);
            (refunded, Disposition::Refunded, credits)
        }
        (ReservationState::Released, true) => {
            replayed = true;
            let credits = reservation.credits;
            (reservation, Disposition::Restored, credits)
        }
        (ReservationState::Expired, true) => (reservation, Disposition::Restored, 0),
        (ReservationState::Expired, false) => {
            let all = reservation.credits;
            let spent =
                consume_late(state, context, reservation, all, Some(cause), reference, actor)?;
            (spent, Disposition::Consumed, 0)
        }
        (ReservationState::Refunded, true) => {
            replayed = true;
            let credits = reservation.committed_credits;
            (reservation, Disposition::Refunded, credits)
        }
        (ReservationState::Released | ReservationState::Refunded, false) => {
            return Err(settled(&reservation, "its credits went back, they cannot be consumed"));
        }
    };
    let balance = state.balance_for(reservation.credit_type.as_ref());
    Ok(Outcome::Released { reservation, disposition, restored_credits, balance, replayed })
}

/// Frees a hold whose lease has run out: the only way in which time ends one.
pub(super) fn expire_lease(
    state: &mut AccountState,
    context: &Context<'_>,
    id: &ReservationId,
    actor: &str,
) -> Outcome {
    let Ok(mut reservation) = find(state, id) else {
        return Outcome::LeaseExpired { freed: false };
    };
    let is_due = reservation.is_held() && reservation.expire_time <= context.now;
    if !is_due && !planted::has(Bug::ReaperUnchecked) {
        return Outcome::LeaseExpired { freed: false };
    }
    // A run of which nothing was heard is the platform's failure.
    return_all(state, context, &mut reservation, EntryKind::LeaseExpire, true, "lease", actor);
    state.count_held(&reservation, -1);
    reservation.state = ReservationState::Expired;
    reservation.settle_time = Some(context.now);
    keep(state, reservation);
    Outcome::LeaseExpired { freed: true }
}

/// HELD -> COMMITTED: spends `credits`, the first of the pinned lots; the rest
/// returns.
fn consume(
    state: &mut AccountState,
    context: &Context<'_>,
    mut reservation: Reservation,
    credits: i64,
    cause: Option<ReleaseCause>,
    reference: &str,
    actor: &str,
) -> Reservation {
    if let Some(credit_type) = reservation.credit_type.clone()
        && reservation.credits > 0
    {
        let (spent, rest) = split(&reservation.portions, credits);
        let origin = Cause { reservation_id: Some(&reservation.reservation_id), reference, actor };
        let (kind, now) = (EntryKind::Commit, context.now);
        let sequence = state.post(&credit_type, kind, spent.clone(), origin, now);
        reservation.entries.push(sequence);
        if !rest.is_empty() && !planted::has(Bug::UnspentLost) {
            let origin = Cause { reference: UNSPENT, ..origin };
            let kind = EntryKind::Restore;
            let made = give_back(state, context, &credit_type, kind, &rest, false, origin);
            reservation.entries.extend(made);
        }
        reservation.portions = spent;
    }
    state.count_held(&reservation, -1);
    reservation.state = ReservationState::Committed;
    reservation.committed_credits = credits;
    reservation.settle_time = Some(context.now);
    reservation.release_cause = cause;
    keep(state, reservation)
}

/// EXPIRED -> COMMITTED: spends available credits, if there are enough, from
/// the lots in burn order; the hold's own have gone back.
fn consume_late(
    state: &mut AccountState,
    context: &Context<'_>,
    mut reservation: Reservation,
    credits: i64,
    cause: Option<ReleaseCause>,
    reference: &str,
    actor: &str,
) -> Result<Reservation, Halt> {
    if let Some(credit_type) = reservation.credit_type.clone()
        && reservation.credits > 0
    {
        let available = state.balance(&credit_type).available;
        if available < credits && !planted::has(Bug::LateCommitUnchecked) {
            let notice = unbilled(&reservation, credits, available, context);
            // Told once, however often a batch tries.
            if state.notices.iter().all(|told| told.key != notice.key) {
                state.notices.push(notice);
            }
            let reservation_id = reservation.reservation_id;
            return Err(Refusal::ReservationExpired { reservation_id, available }.into());
        }
        let portions = state.pick(&credit_type, credits);
        reservation.portions.clone_from(&portions);
        let origin = Cause { reservation_id: Some(&reservation.reservation_id), reference, actor };
        let (kind, now) = (EntryKind::LateCommit, context.now);
        reservation.entries.push(state.post(&credit_type, kind, portions, origin, now));
    }
    reservation.state = ReservationState::Committed;
    reservation.committed_credits = credits;
    reservation.settle_time = Some(context.now);
    reservation.release_cause = cause;
    reservation.late = true;
    Ok(keep(state, reservation))
}

/// HELD -> RELEASED, or COMMITTED -> REFUNDED: everything returns.
fn give_up(
    state: &mut AccountState,
    context: &Context<'_>,
    mut reservation: Reservation,
    cause: ReleaseCause,
    reference: &str,
    actor: &str,
) -> Reservation {
    let (kind, to) = if reservation.is_held() {
        state.count_held(&reservation, -1);
        (EntryKind::Restore, ReservationState::Released)
    } else {
        (EntryKind::Refund, ReservationState::Refunded)
    };
    let fault = cause.is_platforms_fault();
    return_all(state, context, &mut reservation, kind, fault, reference, actor);
    reservation.state = to;
    reservation.settle_time = Some(context.now);
    reservation.release_cause = Some(cause);
    keep(state, reservation)
}

/// Returns all that the reservation's lots are still short of.
fn return_all(
    state: &mut AccountState,
    context: &Context<'_>,
    reservation: &mut Reservation,
    kind: EntryKind,
    fault: bool,
    reference: &str,
    actor: &str,
) {
    let Some(credit_type) = &reservation.credit_type else { return };
    if reservation.portions.is_empty() {
        return;
    }
    let cause = Cause { reservation_id: Some(&reservation.reservation_id), reference, actor };
    let portions = &reservation.portions;
    let made = give_back(state, context, credit_type, kind, portions, fault, cause);
    reservation.entries.extend(made);
}

fn unbilled(
    reservation: &Reservation,
    credits: i64,
    available: i64,
    context: &Context<'_>,
) -> Notice {
    Notice {
        key: format!("unbilled:{}", reservation.reservation_id),
        kind: EventKind::UnbilledScan,
        credit_type: reservation.credit_type.clone(),
        credits,
        subject: reservation.reservation_id.to_string(),
        detail: String::new(),
        sequence: None,
        available: Some(available),
        create_time: context.now,
    }
}

fn reference(cause: ReleaseCause, note: &str) -> String {
    if note.is_empty() { cause.name().to_owned() } else { format!("{}: {note}", cause.name()) }
}
