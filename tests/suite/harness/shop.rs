//! A catalog that sells, and the commands of those who buy.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        catalog::{Allowance, Catalog, CreditPack, CreditPrice, Plan, PlanPrice, Rollover},
        command::{Action, Command},
        payment::BeginTopUp,
        provider::{
            Adjustment, AdjustmentAction, AdjustmentStatus, Effect, Origin, ProviderEvent,
            Transaction, TransactionItem,
        },
        subscription::{BillingInterval, SentSubscription, StartSubscription},
    },
    ids::{OperationId, PlanName, SubscriptionId},
};

use super::words::{account, command, credit_type};

/// Plan "pro" brings 3 scan credits; extra ones are sold, those of type "fix" by
/// paddle's price "pri_fix", 5 at once.
pub fn catalog() -> Catalog {
    let price = |name: &str, packs| CreditPrice {
        credit_type: credit_type(name),
        unit_price_minor: 500,
        currency: "USD".to_owned(),
        packs,
    };
    let pack = CreditPack {
        provider: "paddle".to_owned(),
        price_id: "pri_fix".to_owned(),
        credits_per_unit: 5,
    };
    let prices = vec![price("scan", Vec::new()), price("fix", vec![pack])];
    let plan = Plan {
        name: PlanName::new("pro").unwrap(),
        allowances: vec![Allowance {
            credit_type: credit_type("scan"),
            credits: 3,
            rollover: Rollover::Unlimited,
            credits_per_year: None,
        }],
        scans: Vec::new(),
        max_concurrent_scans: 0,
        prices: vec![price("scan", Vec::new())],
        provider_prices: vec![PlanPrice {
            provider: "paddle".to_owned(),
            price_id: "pri_pro".to_owned(),
            yearly: false,
        }],
    };
    Catalog { plans: vec![plan], prices, ..super::words::catalog() }
}

pub fn operation(id: &str) -> OperationId {
    OperationId::new(id).unwrap()
}

pub fn start(id: &str) -> Command {
    command(
        "a",
        Action::StartSubscription(StartSubscription {
            subscription_id: Some(SubscriptionId::new(id).unwrap()),
            sent: SentSubscription {
                plan: PlanName::new("pro").unwrap(),
                interval: BillingInterval::Month,
                start_time: None,
                trial: None,
            },
        }),
    )
}

pub fn begin(id: &str, credits: i64) -> Command {
    command(
        "a",
        Action::BeginTopUp(BeginTopUp {
            top_up_id: operation(id),
            credit_type: credit_type("scan"),
            credits,
            provider: "manual".to_owned(),
            provider_reference: String::new(),
        }),
    )
}

pub fn confirm(id: &str) -> Command {
    let top_up_id = operation(id);
    command("a", Action::ConfirmTopUp { top_up_id, provider_reference: String::new() })
}

/// A report of paddle's, the `second`th of an hour.
pub fn report(event_id: &str, second: i64, effect: Effect) -> Command {
    let event = ProviderEvent {
        provider: "paddle".to_owned(),
        event_id: event_id.to_owned(),
        occurred_at: Timestamp::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(second),
        effect,
    };
    Command { account_id: account("a"), ..command("a", Action::ApplyEvent(Box::new(event))) }
}

/// Two units of "fix" credits, 10 of them.
pub fn transaction(id: &str) -> Transaction {
    Transaction {
        transaction_id: id.to_owned(),
        top_up_id: None,
        subscription_id: None,
        period: None,
        origin: Origin::Web,
        currency: "USD".to_owned(),
        total_minor: 5_000,
        items: vec![TransactionItem {
            item_id: "line".to_owned(),
            price_id: "pri_fix".to_owned(),
            quantity: 2,
            total_minor: 5_000,
        }],
    }
}

/// All of a payment goes back, or comes again.
pub fn adjustment(id: &str, transaction_id: &str, action: AdjustmentAction) -> Adjustment {
    Adjustment {
        adjustment_id: id.to_owned(),
        transaction_id: transaction_id.to_owned(),
        action,
        status: AdjustmentStatus::Approved,
        full: true,
        items: Vec::new(),
    }
}
