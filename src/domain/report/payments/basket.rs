//! What a payment's lines bring: decided in full before any of it is granted.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        account::{AccountState, Halt},
        catalog::PriceMeaning,
        command::{OperationKey, OperationKind, Refusal},
        context::Context,
        payment::TopUp,
        periods::{self, Period, PeriodCredits},
        provider::{Origin, Transaction, TransactionItem},
    },
    ids::{CreditType, OperationId},
};

/// A line that brings extra credits.
#[derive(Debug)]
pub(super) struct Extra<'t> {
    pub(super) item: &'t TransactionItem,
    pub(super) credit_type: CreditType,
    /// By price and quantity, whatever its purchase was opened for.
    pub(super) credits: i64,
    /// The id of the purchase that the line has where none was opened for it.
    pub(super) own: OperationId,
    /// The purchase that was opened for it here.
    pub(super) opened: Option<OperationId>,
    /// True where its credits came in some other way.
    pub(super) is_granted: bool,
}

impl Extra<'_> {
    /// The purchase that it belongs to.
    pub(super) fn top_up_id(&self) -> &OperationId {
        self.opened.as_ref().unwrap_or(&self.own)
    }
}

/// Credits of one type that the period brings which a payment is for. Several
/// lines may share in them: a plan and an add-on to it.
#[derive(Debug)]
pub(super) struct DueCredits<'t> {
    pub(super) key: OperationKey,
    pub(super) credits: PeriodCredits,
    /// Each line's part.
    pub(super) shares: Vec<(&'t TransactionItem, i64)>,
}

/// All that a payment brings.
#[derive(Debug)]
pub(super) struct Basket<'t> {
    pub(super) extras: Vec<Extra<'t>>,
    pub(super) period: Option<Period<'t>>,
    pub(super) due: Vec<DueCredits<'t>>,
}

impl<'t> Basket<'t> {
    /// Decides. What has been granted under its key already is left out.
    pub(super) fn of(
        state: &AccountState,
        context: &Context<'_>,
        provider: &str,
        transaction: &'t Transaction,
    ) -> Result<Self, Halt> {
        let mut extras = extras(state, context, provider, transaction)?;
        for extra in &mut extras {
            let key = (OperationKind::TopUp, extra.top_up_id().clone());
            extra.is_granted = state.operation(&key)?.is_some();
        }
        let mut period = None;
        let mut by_type = BTreeMap::new();
        for item in &transaction.items {
            match context.catalog.meaning(provider, &item.price_id) {
                Some(PriceMeaning::Credits { .. }) => {}
                Some(PriceMeaning::Plan { .. })
                    if transaction.origin == Origin::SubscriptionCharge => {}
                Some(PriceMeaning::Plan { plan, interval }) => {
                    period = Some(paid_period(transaction)?);
                    for brought in periods::allowances(plan, interval, item.quantity)? {
                        share(&mut by_type, item, brought)?;
                    }
                }
                None => {
                    let price_id = item.price_id.clone();
                    return Err(Refusal::PriceUnknown { price_id }.into());
                }
            }
        }
        let mut due = Vec::new();
        if let Some(period) = &period {
            for (credit_type, (brought, shares)) in by_type {
                if let Some(key) = periods::outstanding_key(state, period, &credit_type)? {
                    due.push(DueCredits { key, credits: brought, shares });
                }
            }
        }
        Ok(Self { extras, period, due })
    }

    /// What it brings of each type.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&CreditType, i64)> {
        let extras = self.extras.iter().filter(|extra| !extra.is_granted);
        let due = self.due.iter().map(|due| (&due.credits.credit_type, due.credits.credits));
        extras.map(|extra| (&extra.credit_type, extra.credits)).chain(due)
    }
}

type Shares<'t> = (PeriodCredits, Vec<(&'t TransactionItem, i64)>);

/// Adds a line's part to what the period brings. Where plans differ in what they
/// keep of earlier periods, the first line's holds.
fn share<'t>(
    by_type: &mut BTreeMap<CreditType, Shares<'t>>,
    item: &'t TransactionItem,
    brought: PeriodCredits,
) -> Result<(), Refusal> {
    let credits = brought.credits;
    let empty = || (PeriodCredits { credits: 0, ..brought.clone() }, Vec::new());
    let (all, shares) = by_type.entry(brought.credit_type.clone()).or_insert_with(empty);
    all.credits = all.credits.checked_add(credits).ok_or(Refusal::BalanceTooLarge)?;
    shares.push((item, credits));
    Ok(())
}

fn paid_period(transaction: &Transaction) -> Result<Period<'_>, Refusal> {
    let subscription_id = transaction.subscription_id.as_ref();
    match (subscription_id, transaction.period) {
        (Some(subscription_id), Some((start, end))) => Ok(Period { subscription_id, start, end }),
        _ => Err(not_understood("a plan is paid without a subscription and its period")),
    }
}

/// The lines that bring extra credits. The first of the opened purchase's type is
/// that purchase; each other has one of its own.
pub(super) fn extras<'t>(
    state: &AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &'t Transaction,
) -> Result<Vec<Extra<'t>>, Refusal> {
    let mut opened = opened(state, provider, transaction);
    let mut seen = BTreeSet::new();
    let mut extras = Vec::new();
    for item in &transaction.items {
        if !seen.insert(&item.item_id) {
            return Err(not_understood("two lines of a payment have one id"));
        }
        if item.quantity < 1 {
            return Err(not_understood("a line of a payment has no quantity"));
        }
        let meaning = context.catalog.meaning(provider, &item.price_id);
        let Some(PriceMeaning::Credits { credit_type, per_unit }) = meaning else { continue };
        let credits = per_unit.checked_mul(item.quantity).ok_or(Refusal::BalanceTooLarge)?;
        let own = own_id(transaction, item)?;
        let taken = |known: &TopUp| {
            known.provider != provider || known.provider_reference != transaction.transaction_id
        };
        if state.top_ups.get(&own).is_some_and(taken) {
            return Err(not_understood("the id of a payment's line is that of another top-up"));
        }
        let opened = opened.take_if(|top_up| top_up.credit_type == credit_type);
        let opened = opened.map(|top_up| top_up.top_up_id.clone());
        extras.push(Extra { item, credit_type, credits, own, opened, is_granted: false });
    }
    Ok(extras)
}

/// The purchase that was opened for a payment: believed only where it is this
/// account's and this provider's, and has no other payment.
fn opened<'s>(
    state: &'s AccountState,
    provider: &str,
    transaction: &Transaction,
) -> Option<&'s TopUp> {
    let id = transaction.top_up_id.as_ref()?;
    // One that a line made for itself is that line's and no other's.
    let is_own = |item| own_id(transaction, item).is_ok_and(|own| own == *id);
    if transaction.items.iter().any(is_own) {
        return None;
    }
    state.top_ups.get(id).filter(|top_up| {
        let reference = &top_up.provider_reference;
        top_up.provider == provider
            && (reference.is_empty() || *reference == transaction.transaction_id)
    })
}

/// The id of a line's own purchase.
fn own_id(transaction: &Transaction, item: &TransactionItem) -> Result<OperationId, Refusal> {
    OperationId::new(&format!("{}:{}", transaction.transaction_id, item.item_id))
        .map_err(|_| not_understood("the ids of a payment and its line are no id"))
}

fn not_understood(what: &'static str) -> Refusal {
    Refusal::ReportNotUnderstood { what }
}
