//! Requests about subscriptions, each as one command.

use super::{Invalid, fields::Fields};
use crate::{
    domain::{
        command::{Action, Command},
        subscription::{BillingInterval, SentSubscription, StartSubscription, Trial},
    },
    ids::{AccountId, PlanName, SubscriptionId},
    proto,
};

pub(in crate::grpc) fn start_subscription(
    request: &proto::StartSubscriptionRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let plan = fields.id("plan", &request.plan, PlanName::new);
    let interval = match request.interval {
        0 => Some(BillingInterval::Month),
        number => fields.choice("interval", number, BillingInterval::from_number),
    };
    let start_time = fields.time("start_time", request.start_time);
    let trial_end_time = fields.time("trial_end_time", request.trial_end_time);
    fields.credits("trial_credits", request.trial_credits, 0);
    if request.trial_end_time.is_none() && request.trial_credits > 0 {
        fields.wrong("trial_end_time", "is required where there are trial_credits");
    }
    let subscription_id = which(&mut fields, &request.subscription_id);
    fields.finish(|| {
        let trial =
            trial_end_time.map(|end_time| Trial { end_time, credits: request.trial_credits });
        let sent = SentSubscription { plan: plan?, interval: interval?, start_time, trial };
        let action = Action::StartSubscription(StartSubscription { subscription_id, sent });
        Some(Command { account_id: account_id?, actor, action })
    })
}

pub(in crate::grpc) fn renew_subscription(
    request: &proto::RenewSubscriptionRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let period_start_time = fields.time("period_start_time", request.period_start_time);
    let subscription_id = which(&mut fields, &request.subscription_id);
    fields.finish(|| {
        let action = Action::RenewSubscription { subscription_id, period_start_time };
        Some(Command { account_id: account_id?, actor, action })
    })
}

pub(in crate::grpc) fn change_plan(
    request: &proto::ChangePlanRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let plan = fields.id("plan", &request.plan, PlanName::new);
    let subscription_id = which(&mut fields, &request.subscription_id);
    fields.finish(|| {
        let action = Action::ChangePlan { subscription_id, plan: plan? };
        Some(Command { account_id: account_id?, actor, action })
    })
}

pub(in crate::grpc) fn cancel_subscription(
    request: &proto::CancelSubscriptionRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let subscription_id = which(&mut fields, &request.subscription_id);
    let immediately = request.immediately;
    fields.finish(|| {
        let action = Action::CancelSubscription { subscription_id, immediately };
        Some(Command { account_id: account_id?, actor, action })
    })
}

pub(in crate::grpc) fn resume_subscription(
    request: &proto::ResumeSubscriptionRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let subscription_id = which(&mut fields, &request.subscription_id);
    fields.finish(|| {
        let action = Action::ResumeSubscription { subscription_id };
        Some(Command { account_id: account_id?, actor, action })
    })
}

/// The subscription that is meant, where it is said.
fn which(fields: &mut Fields, subscription_id: &str) -> Option<SubscriptionId> {
    fields.optional_id("subscription_id", subscription_id, SubscriptionId::new)
}
