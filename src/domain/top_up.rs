//! Purchases as they are opened, confirmed and closed here.

use super::{
    account::{AccountState, Halt},
    command::{Outcome, Refusal},
    context::Context,
    payment::BeginTopUp,
};
use crate::ids::OperationId;

pub(super) fn begin(
    _state: &mut AccountState,
    _context: &Context<'_>,
    request: &BeginTopUp,
) -> Result<Outcome, Halt> {
    Err(Refusal::NotForSale { credit_type: request.credit_type.clone() }.into())
}

pub(super) fn confirm(
    _state: &mut AccountState,
    _context: &Context<'_>,
    top_up_id: &OperationId,
    _provider_reference: &str,
    _actor: &str,
) -> Result<Outcome, Halt> {
    Err(Refusal::TopUpNotFound { top_up_id: top_up_id.clone() }.into())
}

pub(super) fn fail(
    _state: &mut AccountState,
    _context: &Context<'_>,
    top_up_id: &OperationId,
    _reason: &str,
) -> Result<Outcome, Halt> {
    Err(Refusal::TopUpNotFound { top_up_id: top_up_id.clone() }.into())
}

pub(super) fn expire(
    _state: &mut AccountState,
    _context: &Context<'_>,
    top_up_id: &OperationId,
) -> Result<Outcome, Halt> {
    Err(Refusal::TopUpNotFound { top_up_id: top_up_id.clone() }.into())
}
