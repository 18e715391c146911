//! The one function that every command goes through.

use chrono::TimeDelta;

use super::{
    account::{AccountState, Cause, Halt, Missing},
    command::{Action, Command, Outcome, Refusal, Reserve},
    context::Context,
    due, eligibility,
    entry::EntryKind,
    grants, report,
    reservation::{Reservation, ReservationState},
    settle, subscribe, telling, top_up,
    verdict::Verdict,
};
use crate::planted::{self, Bug};

/// Decides a batch of commands on one account, one after the other, and leaves
/// in `state` what they made of it: the same as if each had been a batch of its
/// own.
///
/// # Errors
///
/// What has to be read before these commands can be decided. The state is then
/// of no use: decide again on a fresh one.
pub fn decide_all<'c>(
    state: &mut AccountState,
    commands: impl Iterator<Item = &'c Command>,
    context: &Context<'_>,
) -> Result<Vec<Result<Outcome, Refusal>>, Missing> {
    let answers = commands
        .map(|command| match decide(state, command, context) {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(Halt::Refused(refusal)) => Ok(Err(refusal)),
            Err(Halt::Missing(missing)) => Err(missing),
        })
        .collect();
    telling::tell(state, context);
    answers
}

/// Decides one command. What is due on the account is applied first, whatever
/// becomes of the command.
///
/// # Errors
///
/// A refusal changes nothing but what was due, and may leave a notice (of a scan
/// that stays unbilled); for `Missing`, see [`decide_all`].
pub fn decide(
    state: &mut AccountState,
    command: &Command,
    context: &Context<'_>,
) -> Result<Outcome, Halt> {
    due::apply(state, context).map_err(Halt::Missing)?;
    let actor = &command.actor;
    match &command.action {
        Action::Check(scan) => {
            let balance = context
                .catalog
                .scan_kind(&scan.scan_kind)
                .and_then(|kind| state.balance_for(kind.credit_type.as_ref()));
            Ok(match eligibility::judge(state, context, scan)? {
                Verdict::Eligible { credits, credit_type } => {
                    Outcome::Eligible { credits, credit_type, balance }
                }
                Verdict::Blocked(block) => Outcome::Blocked { block, balance },
            })
        }
        Action::Reserve(request) => reserve(state, context, request, actor),
        Action::Extend { reservation_id, lease } => {
            settle::extend(state, context, reservation_id, *lease)
        }
        Action::Commit { reservation_id, credits } => {
            settle::commit(state, context, reservation_id, *credits, actor)
        }
        Action::Release { reservation_id, cause, note } => {
            settle::release(state, context, reservation_id, *cause, note, actor)
        }
        Action::ExpireLease { reservation_id } => {
            Ok(settle::expire_lease(state, context, reservation_id, actor))
        }
        Action::Grant(request) => grants::grant(state, context, request, actor),
        Action::Revoke(request) => grants::revoke(state, context, request, actor),
        Action::SetSuspension { suspended, reason } => {
            state.account.suspended = *suspended;
            state.account.suspension_reason =
                if *suspended { reason.clone() } else { String::new() };
            Ok(Outcome::SuspensionSet { account: state.account.clone() })
        }
        Action::ApplyDue => Ok(Outcome::DueApplied),
        Action::StartSubscription(request) => subscribe::start(state, context, request, actor),
        Action::RenewSubscription { subscription_id, period_start_time } => {
            let (id, start) = (subscription_id.as_ref(), *period_start_time);
            subscribe::renew(state, context, id, start, actor)
        }
        Action::ChangePlan { subscription_id, plan } => {
            subscribe::change_plan(state, context, subscription_id.as_ref(), plan)
        }
        Action::CancelSubscription { subscription_id, immediately } => {
            subscribe::cancel(state, context, subscription_id.as_ref(), *immediately)
        }
        Action::ResumeSubscription { subscription_id } => {
            subscribe::resume(state, context, subscription_id.as_ref())
        }
        Action::ImportSubscription(subscription) => subscribe::import(state, context, subscription),
        Action::BeginTopUp(request) => top_up::begin(state, context, request),
        Action::ConfirmTopUp { top_up_id, provider_reference } => {
            top_up::confirm(state, context, top_up_id, provider_reference, actor)
        }
        Action::FailTopUp { top_up_id, reason } => top_up::fail(state, context, top_up_id, reason),
        Action::ExpireTopUp { top_up_id } => top_up::expire(state, context, top_up_id),
        Action::ApplyEvent(event) => report::apply(state, context, event, actor),
    }
}

/// Holds credits for a scan, or says why it must not run. A block is not kept;
/// a reservation that was settled is never given out again, or a late retry
/// would start an unpaid scan.
fn reserve(
    state: &mut AccountState,
    context: &Context<'_>,
    request: &Reserve,
    actor: &str,
) -> Result<Outcome, Halt> {
    if let Some(made) = state.reservations.get(&request.reservation_id)
        && !planted::has(Bug::IdIgnored)
    {
        return Ok(replay(state, made, request)?);
    }
    // Before the verdict: a request that can never be granted is told so
    // whatever the account has.
    let lease = lease(context, request)?;
    let (credits, credit_type) = match eligibility::judge(state, context, &request.scan)? {
        Verdict::Eligible { credits, credit_type } => (credits, credit_type),
        Verdict::Blocked(block) => {
            let balance = state.balance_for(block.credit_type.as_ref());
            return Ok(Outcome::Blocked { block, balance });
        }
    };

    let mut reservation = Reservation {
        reservation_id: request.reservation_id.clone(),
        sent: request.scan.clone(),
        sent_lease: request.lease,
        credit_type,
        credits,
        committed_credits: 0,
        state: ReservationState::Held,
        create_time: context.now,
        expire_time: context.now + lease,
        settle_time: None,
        release_cause: None,
        late: false,
        labels: request.labels.clone(),
        portions: Vec::new(),
        entries: Vec::new(),
    };
    if let Some(credit_type) = &reservation.credit_type
        && credits > 0
    {
        reservation.portions = state.pick(credit_type, credits);
        let cause = Cause {
            reservation_id: Some(&reservation.reservation_id),
            reference: request.scan.scan_kind.as_str(),
            actor,
        };
        let portions = reservation.portions.clone();
        let sequence = state.post(credit_type, EntryKind::Reserve, portions, cause, context.now);
        reservation.entries.push(sequence);
    }
    state.count_held(&reservation, 1);
    state.reservations.insert(reservation.reservation_id.clone(), reservation.clone());
    let balance = state.balance_for(reservation.credit_type.as_ref());
    Ok(Outcome::Reserved { reservation, balance, replayed: false })
}

/// The lease that a request asks for, or its kind's default.
fn lease(context: &Context<'_>, request: &Reserve) -> Result<TimeDelta, Refusal> {
    let name = &request.scan.scan_kind;
    let kind = context
        .catalog
        .scan_kind(name)
        .ok_or_else(|| Refusal::ScanKindUnknown { name: name.to_string() })?;
    let lease = request.lease.unwrap_or_else(|| kind.default_lease());
    if lease > kind.max_lease() {
        return Err(Refusal::LeaseTooLong { max: kind.max_lease() });
    }
    Ok(lease)
}

/// The answer to a repeated request: the same hold while it is held.
fn replay(state: &AccountState, made: &Reservation, request: &Reserve) -> Result<Outcome, Refusal> {
    let field = if made.sent.project_id != request.scan.project_id {
        Some("project")
    } else if made.sent.scan_kind != request.scan.scan_kind {
        Some("scan kind")
    } else if made.sent.credits != request.scan.credits {
        Some("number of credits")
    } else if made.sent_lease != request.lease {
        Some("lease")
    } else {
        None
    };
    let reservation_id = made.reservation_id.clone();
    if let Some(field) = field {
        return Err(Refusal::ReservationIdReused { reservation_id, field });
    }
    if !made.is_held() {
        return Err(Refusal::ReservationSettled {
            reservation_id,
            state: made.state,
            advice: "a new attempt needs a new id",
        });
    }
    Ok(Outcome::Reserved {
        reservation: made.clone(),
        balance: state.balance_for(made.credit_type.as_ref()),
        replayed: true,
    })
}
