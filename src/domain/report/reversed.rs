//! How much of a payment its adjustments take back, all of them together: so the
//! order in which they come does not matter.

use crate::domain::{
    payment::Purchase,
    provider::{
        Adjustment,
        AdjustmentAction::{self, Chargeback, ChargebackReverse, Credit, CreditReverse, Refund},
        AdjustmentStatus::{Approved, Reversed},
    },
};

/// What a purchase's adjustments come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Credits to be taken back of it.
    pub(super) credits: i64,
    /// True where money went back.
    pub(super) is_reversed: bool,
    /// True where the payer's bank has taken some of it.
    pub(super) is_disputed: bool,
}

/// Judges a purchase by all adjustments of its payment.
pub(super) fn standing(adjustments: &[Adjustment], purchase: &Purchase) -> Standing {
    // A line for which nothing was paid goes back with all of the payment.
    let paid = i128::from(purchase.paid_minor.max(1));
    let amount = |adjustment: &Adjustment| -> i128 {
        if adjustment.full {
            return paid;
        }
        let lines = adjustment.items.iter().filter(|item| item.item_id == purchase.item_id);
        lines.map(|item| i128::from(item.total_minor.max(0))).sum()
    };
    let charged_back = net(adjustments, Chargeback, Some(ChargebackReverse), amount);
    let all = charged_back
        + net(adjustments, Credit, Some(CreditReverse), amount)
        + net(adjustments, Refund, None, amount);
    let reversed = all.min(paid);
    // Rounded up: of what is paid back in part, no part of a credit stays.
    let credits = (i128::from(purchase.credits) * reversed + paid - 1) / paid;
    Standing {
        credits: i64::try_from(credits).unwrap_or(purchase.credits),
        is_reversed: reversed > 0,
        is_disputed: charged_back > 0,
    }
}

/// True where the payer's bank has taken back some of a payment, be it lines that
/// brought nothing.
pub(super) fn is_disputed(adjustments: &[Adjustment], purchases: &[Purchase]) -> bool {
    let elsewhere = |adjustment: &Adjustment| -> i128 {
        let brought = |purchase: &Purchase| {
            adjustment.full || adjustment.items.iter().any(|item| item.item_id == purchase.item_id)
        };
        i128::from(!purchases.iter().any(brought))
    };
    purchases.iter().any(|purchase| standing(adjustments, purchase).is_disputed)
        || net(adjustments, Chargeback, Some(ChargebackReverse), elsewhere) > 0
}

/// What was done, less what was undone again, of one action. That it was undone
/// may be said by its own status, by an adjustment of its own, or by both.
fn net(
    adjustments: &[Adjustment],
    action: AdjustmentAction,
    reverse: Option<AdjustmentAction>,
    amount: impl Fn(&Adjustment) -> i128,
) -> i128 {
    let (mut done, mut undone, mut reverses) = (0, 0, 0);
    for adjustment in adjustments {
        match adjustment.status {
            Approved if adjustment.action == action => done += amount(adjustment),
            Reversed if adjustment.action == action => {
                done += amount(adjustment);
                undone += amount(adjustment);
            }
            Approved if Some(adjustment.action) == reverse => reverses += amount(adjustment),
            _ => {}
        }
    }
    (done - undone.max(reverses)).max(0)
}
