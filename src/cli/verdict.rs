//! A verdict in words.

use super::{format, table};
use crate::proto::{Balance, Block, BlockReason, Remedy, Reservation, ReservationState};

/// "4 available, 0 reserved, 1 spent".
pub(super) fn balance_line(balance: &Balance) -> String {
    format!(
        "{} available, {} reserved, {} spent",
        balance.available, balance.reserved, balance.spent
    )
}

/// A block's reason, message, remedy and what stands in the way.
pub(super) fn block_text(block: &Block) -> String {
    let reason = BlockReason::try_from(block.reason).map_or_else(
        |_| format!("reason {}", block.reason),
        |reason| format::short(reason.as_str_name(), "BLOCK_REASON_").to_owned(),
    );
    let mut pairs = vec![
        ("blocked", reason),
        ("message", block.message.clone()),
        ("remedy", remedy(block).to_owned()),
    ];
    if !block.credit_type.is_empty() || block.required_credits > 0 {
        pairs.push(("needs", format::credits(block.required_credits, &block.credit_type)));
        pairs.push((
            "has",
            format!("{} available, {} reserved", block.available_credits, block.reserved_credits),
        ));
    }
    if !block.holding_reservation_ids.is_empty() {
        pairs.push(("held by", block.holding_reservation_ids.join(", ")));
    }
    if block.earliest_return_time.is_some() {
        pairs.push(("returns by", format::time(block.earliest_return_time.as_ref())));
    }
    if let Some(payment) = &block.pending_payment {
        pairs.push((
            "payment",
            format!(
                "{} of {}, awaited since {}",
                format::credits(payment.credits, &block.credit_type),
                payment.top_up_id,
                format::time(payment.create_time.as_ref())
            ),
        ));
    }
    if !block.plans.is_empty() {
        pairs.push(("plans", block.plans.join(", ")));
    }
    if block.next_grant_time.is_some() {
        pairs.push(("next grant", format::time(block.next_grant_time.as_ref())));
    }
    table::block(&pairs)
}

fn remedy(block: &Block) -> &'static str {
    match block.remedy() {
        Remedy::Unspecified => "",
        Remedy::TopUp => "buy credits, subscribe or start a trial",
        Remedy::WaitForPayment => "wait until the payment is confirmed; do not pay twice",
        Remedy::WaitForRunningScan => "wait until a running scan is done",
        Remedy::ChangePlan => "choose another plan, or ask for a smaller scan",
        Remedy::SwitchAccount => "use the account that owns the project",
        Remedy::ContactSupport => "talk to whoever runs the gate",
    }
}

/// A reservation, a line for each thing that is known of it.
pub(super) fn reservation_text(reservation: &Reservation) -> String {
    let mut pairs = vec![
        ("reservation", reservation.reservation_id.clone()),
        ("state", state(reservation)),
        ("account", reservation.account_id.clone()),
        ("project", reservation.project_id.clone()),
        ("kind", reservation.scan_kind.clone()),
        ("credits", format::credits(reservation.credits, &reservation.credit_type)),
    ];
    if reservation.spent_credits > 0 {
        pairs.push(("spent", reservation.spent_credits.to_string()));
    }
    pairs.push(("created", format::time(reservation.create_time.as_ref())));
    pairs.push(("lease ends", format::time(reservation.expire_time.as_ref())));
    if reservation.settle_time.is_some() {
        pairs.push(("settled", format::time(reservation.settle_time.as_ref())));
    }
    if reservation.release_cause != 0 {
        pairs.push(("cause", cause(reservation)));
    }
    if reservation.late {
        pairs.push(("late", "committed after its lease had ended".to_owned()));
    }
    for (key, value) in &reservation.labels {
        pairs.push(("label", format!("{key}={value}")));
    }
    table::block(&pairs)
}

/// "HELD", or the number of a state that is newer than this program.
pub(super) fn state(reservation: &Reservation) -> String {
    ReservationState::try_from(reservation.state).map_or_else(
        |_| reservation.state.to_string(),
        |state| format::short(state.as_str_name(), "RESERVATION_STATE_").to_owned(),
    )
}

/// "PLATFORM_ERROR", or empty.
pub(super) fn cause(reservation: &Reservation) -> String {
    format::short(reservation.release_cause().as_str_name(), "RELEASE_CAUSE_").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_account_reads_as_busy_not_as_broke() {
        let block = Block {
            reason: BlockReason::Exhausted.into(),
            message: "All scan credits are held by running scans.".into(),
            remedy: Remedy::WaitForRunningScan.into(),
            credit_type: "scan".into(),
            required_credits: 1,
            reserved_credits: 2,
            holding_reservation_ids: vec!["r1".into(), "r2".into()],
            earliest_return_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(
            block_text(&block),
            "blocked     EXHAUSTED\n\
             message     All scan credits are held by running scans.\n\
             remedy      wait until a running scan is done\n\
             needs       1 scan credit\n\
             has         0 available, 2 reserved\n\
             held by     r1, r2\n\
             returns by  2026-01-01T00:00:00Z\n"
        );
    }

    #[test]
    fn a_reason_that_is_newer_than_this_program_still_blocks() {
        let block = Block { reason: 99, ..Default::default() };
        assert!(block_text(&block).starts_with("blocked  reason 99\n"));
    }
}
