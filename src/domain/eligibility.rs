//! Whether a scan may run. The reasons against it are tried in a fixed order,
//! and the first that holds is the verdict.

use super::{
    account::{AccountState, Halt, Holder, HolderScope, Missing},
    catalog::ScanKind,
    command::{OperationKind, Refusal},
    context::Context,
    credit::Balance,
    payment::TopUp,
    reservation::Scan,
    subscription::{Inclusion, concurrency_limit, inclusion},
    verdict::{Block, BlockReason, PendingPayment, Remedy, Verdict},
};
use crate::{
    clock::Timestamp,
    ids::{CreditType, ProjectId},
};

/// Judges a scan on the account's state. Changes nothing.
pub fn judge(state: &AccountState, context: &Context<'_>, scan: &Scan) -> Result<Verdict, Halt> {
    let kind = context
        .catalog
        .scan_kind(&scan.scan_kind)
        .ok_or_else(|| Refusal::ScanKindUnknown { name: scan.scan_kind.to_string() })?;
    let credits = price(kind, scan)?;
    let mut question = Question { state, context, scan, kind, credits };

    if let Some(block) = question.ownership().or_else(|| question.suspension()) {
        return Ok(block);
    }
    let inclusion = match question.plan() {
        Ok(inclusion) => inclusion,
        Err(block) => return Ok(block),
    };
    if inclusion == Inclusion::Covered {
        // What a block says it needs from here on is what Reserve would hold.
        question.credits = 0;
    }
    if let Some(block) = question.concurrency()? {
        return Ok(block);
    }
    match &kind.credit_type {
        Some(credit_type) if inclusion != Inclusion::Covered => question.credits(credit_type),
        _ => Ok(Verdict::Eligible { credits: 0, credit_type: kind.credit_type.clone() }),
    }
}

/// Credits that a scan needs where no plan covers it.
fn price(kind: &ScanKind, scan: &Scan) -> Result<i64, Refusal> {
    let name = || kind.name.to_string();
    match (&kind.credit_type, scan.credits) {
        (None, 0) => Ok(0),
        (None, _) => Err(Refusal::CreditsNotTaken { name: name() }),
        (Some(_), 0) if kind.credits == 0 => Err(Refusal::CreditsRequired { name: name() }),
        (Some(_), 0) => Ok(kind.credits),
        (Some(_), sent) => Ok(sent),
    }
}

/// A scan, and all that is looked at to judge it.
struct Question<'a> {
    state: &'a AccountState,
    context: &'a Context<'a>,
    scan: &'a Scan,
    kind: &'a ScanKind,
    credits: i64,
}

impl Question<'_> {
    fn ownership(&self) -> Option<Verdict> {
        let project = self.scan.project_id.as_ref()?;
        (!self.state.projects.contains(project)).then(|| {
            self.block(
                BlockReason::WrongAccount,
                Remedy::SwitchAccount,
                format!(
                    "Project {project} does not belong to account {}: use the account that owns it.",
                    self.state.account.account_id
                ),
            )
        })
    }

    fn suspension(&self) -> Option<Verdict> {
        let account = &self.state.account;
        account.suspended.then(|| {
            self.block(
                BlockReason::AccountSuspended,
                Remedy::ContactSupport,
                format!(
                    "Account {} is suspended: {}",
                    account.account_id, account.suspension_reason
                ),
            )
        })
    }

    /// A free kind asks no plan. Without one, an account with credits needs the
    /// policy's leave; one without any is told so by the next checks.
    fn plan(&self) -> Result<Inclusion, Verdict> {
        let Some(credit_type) = &self.kind.credit_type else { return Ok(Inclusion::Included) };
        let live = self.state.live_subscriptions();
        let message = if live.clone().next().is_none() {
            let may_spend = self.context.catalog.policy.planless_accounts_may_spend;
            let balance = self.state.balance(credit_type);
            // Credits that running scans hold count: waiting for their return
            // would end here again.
            if may_spend || (balance.available == 0 && balance.reserved == 0) {
                return Ok(Inclusion::Included);
            }
            format!("Scans of kind {} need a plan, and the account has none.", self.kind.name)
        } else {
            let catalog = self.context.catalog;
            match inclusion(live.clone(), catalog, self.kind, self.credits) {
                Inclusion::Excluded => {}
                included => return Ok(included),
            }
            // Would a smaller one do? Then say so.
            match inclusion(live, catalog, self.kind, 1) {
                Inclusion::Excluded => {
                    format!("The plan does not include scans of kind {}.", self.kind.name)
                }
                _ => format!(
                    "The plan does not include a scan of kind {} that takes {} credits.",
                    self.kind.name, self.credits
                ),
            }
        };
        Err(self.block(BlockReason::PlanExcludes, Remedy::ChangePlan, message))
    }

    fn concurrency(&self) -> Result<Option<Verdict>, Halt> {
        if let Some(limit) =
            concurrency_limit(self.state.live_subscriptions(), self.context.catalog)
            && self.state.held_scans() >= limit
        {
            let message = format!("{} of {limit} scans are running.", self.state.held_scans());
            return self.slots_taken(&HolderScope::Account, message).map(Some);
        }
        let limit = i64::from(self.context.catalog.policy.max_concurrent_scans_per_project);
        if limit > 0
            && let Some(project) = &self.scan.project_id
        {
            let held = self.project_slots(project)?;
            if held >= limit {
                let message = format!("{held} of {limit} scans of project {project} are running.");
                return self.slots_taken(&HolderScope::Project(project.clone()), message).map(Some);
            }
        }
        Ok(None)
    }

    fn project_slots(&self, project: &ProjectId) -> Result<i64, Halt> {
        self.state
            .project_slots
            .get(project)
            .copied()
            .ok_or_else(|| Halt::Missing(Missing::ProjectSlots(project.clone())))
    }

    fn slots_taken(&self, scope: &HolderScope, message: String) -> Result<Verdict, Halt> {
        let holders = self.state.holders(scope)?;
        let reason = BlockReason::ConcurrencyLimit;
        let block = self.block(reason, Remedy::WaitForRunningScan, message);
        Ok(with_holders(block, holders))
    }

    fn credits(&self, credit_type: &CreditType) -> Result<Verdict, Halt> {
        let balance = self.state.balance(credit_type);
        if balance.available >= self.credits {
            return Ok(Verdict::Eligible {
                credits: self.credits,
                credit_type: Some(credit_type.clone()),
            });
        }
        let holders = if balance.reserved > 0 {
            self.state.holders(&HolderScope::Credits(credit_type.clone()))?
        } else {
            Vec::new()
        };
        let block = match self.pending_payment(credit_type)? {
            Some(payment) => self.payment_pending(credit_type, payment),
            None => self.shortage(credit_type, &balance),
        };
        Ok(with_holders(block, holders))
    }

    /// The oldest payment for such credits that is awaited. Those that were read
    /// are as they stood before the batch; what it has done since goes before.
    fn pending_payment(&self, credit_type: &CreditType) -> Result<Option<PendingPayment>, Halt> {
        let read =
            self.state.pending_payments.as_ref().ok_or(Halt::Missing(Missing::PendingPayments))?;
        let settled = |payment: &PendingPayment| {
            let top_ups = &self.state.top_ups;
            top_ups.keys().any(|id| id.as_str() == payment.top_up_id)
                || self.state.operations.keys().any(|(kind, operation_id)| {
                    *kind == OperationKind::TopUp && operation_id.as_str() == payment.top_up_id
                })
        };
        let known = self.state.top_ups.values().filter(|top_up| top_up.is_pending());
        let awaited = read.iter().filter(|payment| !settled(payment)).cloned();
        Ok(awaited
            .chain(known.map(TopUp::pending_payment))
            .filter(|payment| payment.credit_type == *credit_type)
            .filter(|payment| payment.expire_time > self.context.now)
            .min_by(|a, b| (a.create_time, &a.top_up_id).cmp(&(b.create_time, &b.top_up_id))))
    }

    fn payment_pending(&self, credit_type: &CreditType, payment: PendingPayment) -> Verdict {
        let verdict = self.block(
            BlockReason::PaymentPending,
            Remedy::WaitForPayment,
            format!(
                "Payment {} for {} is not confirmed yet.",
                payment.top_up_id,
                amount(payment.credits, credit_type)
            ),
        );
        match verdict {
            Verdict::Blocked(block) => {
                Verdict::Blocked(Box::new(Block { pending_payment: Some(payment), ..*block }))
            }
            eligible @ Verdict::Eligible { .. } => eligible,
        }
    }

    fn shortage(&self, credit_type: &CreditType, balance: &Balance) -> Verdict {
        let had_nothing = balance.sequence == 0 && self.state.live_subscriptions().next().is_none();
        if had_nothing {
            return self.block(
                BlockReason::CreditRequired,
                Remedy::TopUp,
                format!(
                    "This scan needs {}: buy some, or subscribe.",
                    amount(self.credits, credit_type)
                ),
            );
        }
        // Busy wants patience, broke wants money.
        if balance.reserved >= self.credits - balance.available {
            return self.block(
                BlockReason::Exhausted,
                Remedy::WaitForRunningScan,
                format!(
                    "This scan needs {}; {} available, and running scans hold {}: wait for one.",
                    amount(self.credits, credit_type),
                    are(balance.available),
                    balance.reserved
                ),
            );
        }
        self.block(
            BlockReason::Exhausted,
            Remedy::TopUp,
            format!(
                "This scan needs {}; {} available: buy more.",
                amount(self.credits, credit_type),
                are(balance.available)
            ),
        )
    }

    fn block(&self, reason: BlockReason, remedy: Remedy, message: String) -> Verdict {
        let credit_type = self.kind.credit_type.clone();
        let balance = credit_type.as_ref().map(|name| self.state.balance(name));
        Verdict::Blocked(Box::new(Block {
            reason,
            message,
            remedy,
            required_credits: self.credits,
            available_credits: balance.as_ref().map_or(0, |balance| balance.available),
            reserved_credits: balance.as_ref().map_or(0, |balance| balance.reserved),
            holding_reservation_ids: Vec::new(),
            earliest_return_time: None,
            pending_payment: None,
            plans: self.state.live_subscriptions().map(|s| s.plan.clone()).collect(),
            next_grant_time: credit_type.as_ref().and_then(|name| self.next_grant(name)),
            credit_type,
        }))
    }

    /// The earliest renewal that brings credits of this type.
    fn next_grant(&self, credit_type: &CreditType) -> Option<Timestamp> {
        self.state
            .live_subscriptions()
            .filter(|subscription| {
                subscription.is_in_good_standing() && subscription.ends_at().is_none()
            })
            .filter(|subscription| {
                self.context.catalog.plan(&subscription.plan).is_some_and(|plan| {
                    plan.allowances.iter().any(|allowance| allowance.credit_type == *credit_type)
                })
            })
            .map(|subscription| subscription.period_end_time)
            .min()
    }
}

/// "1 scan credit", "3 scan credits".
fn amount(credits: i64, credit_type: &CreditType) -> String {
    let plural = if credits == 1 { "" } else { "s" };
    format!("{credits} {credit_type} credit{plural}")
}

/// "1 is", "3 are".
fn are(credits: i64) -> String {
    format!("{credits} {}", if credits == 1 { "is" } else { "are" })
}

fn with_holders(verdict: Verdict, holders: Vec<Holder>) -> Verdict {
    match verdict {
        Verdict::Blocked(block) => Verdict::Blocked(Box::new(Block {
            earliest_return_time: holders.first().map(|holder| holder.expire_time),
            holding_reservation_ids: holders.into_iter().map(|h| h.reservation_id).collect(),
            ..*block
        })),
        eligible @ Verdict::Eligible { .. } => eligible,
    }
}
