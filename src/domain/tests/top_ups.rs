//! Purchases as they are opened, confirmed and closed here.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        catalog::PriceMeaning,
        command::{Action, OperationKind, Outcome, Refusal},
        credit::{LotSource, MAX_CREDITS},
        payment::{BeginTopUp, TopUp, TopUpStatus},
        subscription::{
            BillingInterval,
            SubscriptionStatus::{self, Active, Canceled, Paused},
        },
        verdict::BlockReason,
    },
    ids::{CreditType, OperationId},
};

use super::{
    billing_catalog::{PADDLE, billing_catalog},
    generate::start,
    support::{Gate, operation, scan, scan_credits},
};

fn id(id: &str) -> OperationId {
    OperationId::new(id).unwrap()
}

fn request(provider: &str, provider_reference: &str) -> BeginTopUp {
    BeginTopUp {
        top_up_id: id("t"),
        credit_type: scan_credits(),
        credits: 5,
        provider: provider.to_owned(),
        provider_reference: provider_reference.to_owned(),
    }
}

fn shop() -> Gate {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    gate
}

/// The purchase, and whether it was open already.
fn begin(gate: &mut Gate, request: BeginTopUp) -> Result<(TopUp, bool), Refusal> {
    match gate.run(Action::BeginTopUp(request))? {
        Outcome::TopUpBegun { top_up, replayed } => Ok((top_up, replayed)),
        other => panic!("{other:?}"),
    }
}

/// The status, what is available, and whether that was so before.
fn confirm(gate: &mut Gate, reference: &str) -> Result<(TopUpStatus, i64, bool), Refusal> {
    let provider_reference = reference.to_owned();
    match gate.run(Action::ConfirmTopUp { top_up_id: id("t"), provider_reference })? {
        Outcome::TopUpConfirmed { top_up, balance, replayed } => {
            assert_eq!(gate.state.top_ups[&id("t")], top_up);
            Ok((top_up.status, balance.available, replayed))
        }
        other => panic!("{other:?}"),
    }
}

fn close(gate: &mut Gate, action: Action) -> Result<TopUp, Refusal> {
    match gate.run(action)? {
        Outcome::TopUpClosed { top_up } => Ok(top_up),
        other => panic!("{other:?}"),
    }
}

fn fail(gate: &mut Gate, reason: &str) -> Result<TopUp, Refusal> {
    close(gate, Action::FailTopUp { top_up_id: id("t"), reason: reason.to_owned() })
}

fn expire(gate: &mut Gate) -> Result<TopUp, Refusal> {
    close(gate, Action::ExpireTopUp { top_up_id: id("t") })
}

fn reused(field: &'static str) -> Refusal {
    Refusal::TopUpIdReused { top_up_id: id("t"), field }
}

#[test]
fn a_purchase_is_open_until_its_time_is_over() {
    let mut gate = shop();
    let (top_up, replayed) = begin(&mut gate, request("manual", "invoice")).unwrap();
    assert!(!replayed && top_up.is_manual());
    assert_eq!((top_up.status, top_up.credits), (TopUpStatus::Pending, 5));
    assert_eq!((top_up.price_minor, top_up.currency.as_str()), (14_500, "USD"));
    assert_eq!((top_up.create_time, top_up.settle_time), (start(), None));
    assert_eq!(top_up.expire_time, start() + TimeDelta::hours(24));
    assert_eq!(gate.movements(), []);

    let mut gate = shop();
    gate.catalog.policy.top_up_lifetime = Some(TimeDelta::hours(2));
    let (top_up, _) = begin(&mut gate, request("manual", "")).unwrap();
    assert_eq!(top_up.expire_time, start() + TimeDelta::hours(2));
}

/// The plans, the credit type, and the price of one.
#[test]
fn the_price_is_the_lowest_of_the_live_plans_or_else_the_catalogs() {
    type Row = (&'static [(&'static str, SubscriptionStatus)], &'static str, Option<i64>);
    let rows: [Row; 9] = [
        (&[], "scan", Some(2_900)),
        (&[], "fix", Some(500)),
        (&[("pro", Active)], "scan", Some(2_500)),
        (&[("monitor", Active), ("pro", Paused)], "scan", Some(2_500)),
        (&[("monitor", Active), ("pro", Canceled)], "scan", Some(2_700)),
        (&[("pro", Canceled)], "scan", Some(2_900)),
        // A plan without a price leaves it at the catalog's.
        (&[("pro", Active)], "fix", Some(500)),
        (&[("small", Active)], "scan", Some(2_900)),
        (&[("gone", Active)], "scan", Some(2_900)),
    ];
    for (plans, credit_type, expected) in rows {
        let mut gate = shop();
        for (index, (plan, status)) in plans.iter().enumerate() {
            gate.subscribe(&format!("sub-{index}"), plan, *status);
        }
        let credit_type = CreditType::new(credit_type).unwrap();
        let wanted = BeginTopUp { credit_type: credit_type.clone(), ..request("manual", "") };
        let price = begin(&mut gate, wanted).map(|(top_up, _)| top_up.price_minor / 5);
        assert_eq!(price.ok(), expected, "{plans:?}");
        gate.catalog.prices.clear();
        gate.catalog.plans.iter_mut().for_each(|plan| plan.prices.clear());
        let unsold = BeginTopUp {
            top_up_id: OperationId::new("other").unwrap(),
            credit_type: credit_type.clone(),
            ..request("manual", "")
        };
        if credit_type == scan_credits() {
            assert_eq!(begin(&mut gate, unsold), Err(Refusal::NotForSale { credit_type }));
        }
    }
}

#[test]
fn what_cannot_be_bought_is_refused() {
    let mut gate = shop();
    let unknown =
        BeginTopUp { credit_type: CreditType::new("x").unwrap(), ..request("manual", "") };
    let refusal = Refusal::CreditTypeUnknown { name: "x".to_owned() };
    assert_eq!(begin(&mut gate, unknown), Err(refusal));
    gate.catalog.prices[0].unit_price_minor = 1_000_000_000;
    let dear = BeginTopUp { credits: MAX_CREDITS, ..request("manual", "") };
    assert_eq!(begin(&mut gate, dear), Err(Refusal::PriceTooLarge));
    assert!(gate.state.top_ups.is_empty());
}

#[test]
fn a_purchase_is_begun_once_and_compared() {
    type Change = fn(&mut BeginTopUp);
    let rows: [(&str, Change); 4] = [
        ("credit type", |r| r.credit_type = CreditType::new("fix").unwrap()),
        ("number of credits", |r| r.credits += 1),
        ("provider", |r| r.provider = "manual".to_owned()),
        ("provider reference", |r| r.provider_reference = "txn_B".to_owned()),
    ];
    let mut gate = shop();
    let (first, _) = begin(&mut gate, request(PADDLE, "txn_A")).unwrap();
    for (field, change) in rows {
        let mut again = request(PADDLE, "txn_A");
        change(&mut again);
        assert_eq!(begin(&mut gate, again), Err(reused(field)));
    }
    // Never at another price, whatever has become of it.
    gate.catalog.prices.clear();
    assert_eq!(begin(&mut gate, request(PADDLE, "txn_A")), Ok((first.clone(), true)));
    fail(&mut gate, "no").unwrap();
    let (failed, replayed) = begin(&mut gate, request(PADDLE, "txn_A")).unwrap();
    assert_eq!((failed.status, replayed), (TopUpStatus::Failed, true));
}

#[test]
fn the_payment_may_be_named_later_and_once() {
    let mut gate = shop();
    begin(&mut gate, request(PADDLE, "")).unwrap();
    let (named, replayed) = begin(&mut gate, request(PADDLE, "txn_A")).unwrap();
    assert_eq!((named.provider_reference.as_str(), replayed), ("txn_A", true));
    assert_eq!(begin(&mut gate, request(PADDLE, "txn_B")), Err(reused("provider reference")));
    // A late retry of the first call says nothing of the payment.
    assert_eq!(begin(&mut gate, request(PADDLE, "")), Ok((named, true)));
}

#[test]
fn a_confirmation_grants_once_from_any_state_that_is_not_paid() {
    type Before = fn(&mut Gate);
    let befores: [Before; 3] = [
        |_| {},
        |gate| assert_eq!(fail(gate, "no").unwrap().status, TopUpStatus::Failed),
        |gate| {
            gate.wait(TimeDelta::hours(24));
            assert_eq!(expire(gate).unwrap().status, TopUpStatus::Expired);
        },
    ];
    for before in befores {
        let mut gate = shop();
        begin(&mut gate, request("manual", "")).unwrap();
        before(&mut gate);
        assert_eq!(confirm(&mut gate, "bank 7"), Ok((TopUpStatus::Confirmed, 5, false)));
        let top_up = &gate.state.top_ups[&id("t")];
        assert_eq!((top_up.settle_time, top_up.reason.as_str()), (Some(gate.now), ""));
        let key = operation(OperationKind::TopUp, "t");
        let lot = &gate.state.lots[&gate.state.operations[&key].lot_id.unwrap()];
        assert_eq!((lot.source, lot.reference.as_str()), (LotSource::TopUp, "t"));
        assert_eq!((lot.credits, lot.expire_time), (5, None));

        gate.hold("a", scan("live_audit"));
        for reference in ["bank 7", ""] {
            assert_eq!(confirm(&mut gate, reference), Ok((TopUpStatus::Confirmed, 4, true)));
        }
        assert_eq!(confirm(&mut gate, "bank 8"), Err(reused("provider reference")));
        assert_eq!(gate.balance(), [4, 1, 0]);
    }
}

#[test]
fn a_confirmation_names_the_payment_that_was_begun() {
    let mut gate = shop();
    begin(&mut gate, request("manual", "invoice")).unwrap();
    assert_eq!(confirm(&mut gate, "another"), Err(reused("provider reference")));
    assert_eq!(confirm(&mut gate, ""), Ok((TopUpStatus::Confirmed, 5, false)));
    // Paid without a name: whoever names one later means another payment.
    let mut gate = shop();
    begin(&mut gate, request("manual", "")).unwrap();
    confirm(&mut gate, "").unwrap();
    assert_eq!(confirm(&mut gate, "another"), Err(reused("provider reference")));
}

#[test]
fn what_a_provider_sells_only_its_reports_confirm() {
    let mut gate = shop();
    begin(&mut gate, request(PADDLE, "")).unwrap();
    let (subject, provider) = ("top-up t".to_owned(), PADDLE.to_owned());
    assert_eq!(confirm(&mut gate, ""), Err(Refusal::ProviderManaged { subject, provider }));
    assert_eq!(gate.movements(), []);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut gate = shop();
    let missing = || Refusal::TopUpNotFound { top_up_id: id("t") };
    assert_eq!(confirm(&mut gate, ""), Err(missing()));
    assert_eq!(fail(&mut gate, ""), Err(missing()));
    assert_eq!(expire(&mut gate), Err(missing()));
}

#[test]
fn a_purchase_fails_once_and_never_once_it_is_paid() {
    let mut gate = shop();
    begin(&mut gate, request("manual", "")).unwrap();
    let failed = fail(&mut gate, "declined").unwrap();
    assert_eq!((failed.status, failed.reason.as_str()), (TopUpStatus::Failed, "declined"));
    gate.wait(TimeDelta::days(2));
    assert_eq!(fail(&mut gate, "another"), Ok(failed.clone()));
    assert_eq!(expire(&mut gate), Ok(failed));
    confirm(&mut gate, "").unwrap();
    assert!(matches!(
        fail(&mut gate, "late"),
        Err(Refusal::TopUpSettled { status: TopUpStatus::Confirmed, .. })
    ));
    assert_eq!(expire(&mut gate).unwrap().status, TopUpStatus::Confirmed);
}

#[test]
fn a_purchase_expires_when_its_time_is_over() {
    let mut gate = shop();
    let (pending, _) = begin(&mut gate, request("manual", "")).unwrap();
    gate.wait(TimeDelta::hours(24) - TimeDelta::microseconds(1));
    assert_eq!(expire(&mut gate), Ok(pending));
    gate.wait(TimeDelta::microseconds(1));
    let expired = expire(&mut gate).unwrap();
    assert_eq!((expired.status, expired.settle_time), (TopUpStatus::Expired, Some(gate.now)));
    assert_eq!(fail(&mut gate, "no").unwrap().status, TopUpStatus::Failed);
}

/// Nothing was read of it: the batch itself did it.
#[test]
fn a_payment_is_pending_from_the_command_that_opens_it_to_the_one_that_closes_it() {
    type Step = (fn(&mut Gate), BlockReason);
    let closes: [Step; 3] = [
        (|gate| assert!(fail(gate, "no").is_ok()), BlockReason::CreditRequired),
        (|gate| gate.now = start() + TimeDelta::hours(24), BlockReason::CreditRequired),
        (|gate| assert!(confirm(gate, "").is_ok()), BlockReason::Exhausted),
    ];
    for (close, reason) in closes {
        let mut gate = shop();
        begin(&mut gate, request("manual", "")).unwrap();
        let ask = super::support::Gate::block;
        let many = || creditgate::domain::reservation::Scan { credits: 50, ..scan("live_audit") };
        let block = ask(&mut gate, many());
        assert_eq!(block.reason, BlockReason::PaymentPending);
        assert_eq!(block.pending_payment.map(|payment| payment.credits), Some(5));
        close(&mut gate);
        assert_eq!(ask(&mut gate, many()).reason, reason);
    }
}

#[test]
fn the_oldest_of_read_and_new_payments_is_told() {
    let mut gate = shop();
    gate.wait(TimeDelta::hours(1));
    gate.pending = vec![super::support::payment("z", "scan")];
    begin(&mut gate, request("manual", "")).unwrap();
    let told = |gate: &mut Gate| gate.block(scan("live_audit")).pending_payment.unwrap().top_up_id;
    assert_eq!(told(&mut gate), "z");
    gate.pending[0].create_time = gate.now;
    assert_eq!(told(&mut gate), "t");
}

#[test]
fn a_price_means_what_the_catalog_says() {
    let catalog = billing_catalog(0);
    let credits = |name: &str, per_unit| {
        Some(PriceMeaning::Credits { credit_type: CreditType::new(name).unwrap(), per_unit })
    };
    let plan =
        |index: usize, interval| Some(PriceMeaning::Plan { plan: &catalog.plans[index], interval });
    for (provider, price_id, meaning) in [
        (PADDLE, "pri_scan5", credits("scan", 5)),
        (PADDLE, "pri_fix10", credits("fix", 10)),
        (PADDLE, "pri_pro_scan3", credits("scan", 3)),
        (PADDLE, "pri_pro", plan(0, BillingInterval::Month)),
        (PADDLE, "pri_pro_year", plan(0, BillingInterval::Year)),
        (PADDLE, "pri_small", plan(2, BillingInterval::Month)),
        (PADDLE, "pri_gone", None),
        ("other", "pri_scan5", None),
    ] {
        assert_eq!(catalog.meaning(provider, price_id), meaning, "{price_id}");
    }
}
