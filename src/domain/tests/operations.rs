//! What is done once per key, and what a retry has to have in common with the
//! first call.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::{Action, Grant, OperationKind, Outcome, Refusal, Reserve, Revoke},
        credit::LotSource,
        reservation::ReleaseCause,
    },
    ids::{CreditType, ScanKindName},
};

use super::support::{Gate, grant, operation, project, reserve, scan, scan_credits};

#[test]
fn a_reserve_sent_again_is_the_same_hold_with_the_current_balance() {
    let mut gate = Gate::with(5);
    let first = gate.hold("a", scan("live_audit"));
    gate.hold("b", scan("live_audit"));
    gate.wait(TimeDelta::days(2));
    let mut request = reserve("a", scan("live_audit"));
    request.labels = BTreeMap::from([("other".to_owned(), "label".to_owned())]);
    match gate.run(Action::Reserve(request)) {
        Ok(Outcome::Reserved { reservation, balance, replayed: true }) => {
            assert_eq!(reservation, first);
            assert_eq!(balance.map(|b| (b.available, b.reserved)), Some((3, 2)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reservation_id_is_of_one_payload_as_it_was_sent() {
    type Change = fn(&mut Reserve);
    let rows: [(&str, Change); 5] = [
        ("project", |r| r.scan.project_id = Some(project("project-1"))),
        ("scan kind", |r| r.scan.scan_kind = ScanKindName::new("deep_audit").unwrap()),
        // The catalog's price, but said aloud: another payload.
        ("number of credits", |r| r.scan.credits = 1),
        ("lease", |r| r.lease = Some(TimeDelta::hours(1))),
        ("lease", |r| r.lease = Some(TimeDelta::hours(25))),
    ];
    for settle in [false, true] {
        for (field, change) in rows {
            let mut gate = Gate::with(5);
            let first = gate.hold("a", scan("live_audit"));
            if settle {
                gate.commit("a", None).unwrap();
            }
            let mut request = reserve("a", scan("live_audit"));
            change(&mut request);
            let reservation_id = first.reservation_id;
            let refusal = Refusal::ReservationIdReused { reservation_id, field };
            assert_eq!(gate.run(Action::Reserve(request)), Err(refusal));
        }
    }
}

#[test]
fn a_settled_reservation_is_never_given_out_again() {
    type End = fn(&mut Gate);
    let ends: [End; 4] = [
        |gate| assert!(gate.commit("a", None).is_ok()),
        |gate| assert!(gate.release("a", ReleaseCause::PlatformError).is_ok()),
        |gate| {
            gate.wait(TimeDelta::hours(1));
            assert!(gate.expire("a"));
        },
        |gate| {
            gate.commit("a", None).unwrap();
            gate.release("a", ReleaseCause::PlatformError).unwrap();
        },
    ];
    for end in ends {
        let mut gate = Gate::with(5);
        gate.hold("a", scan("live_audit"));
        end(&mut gate);
        let again = gate.run(Action::Reserve(reserve("a", scan("live_audit"))));
        assert!(matches!(again, Err(Refusal::ReservationSettled { .. })), "{again:?}");
    }
}

#[test]
fn a_grant_is_made_once_and_compared() {
    type Change = fn(&mut Grant);
    let rows: [(&str, Change); 4] = [
        ("credit type", |g| g.credit_type = CreditType::new("fix").unwrap()),
        ("number of credits", |g| g.credits += 1),
        ("expiry", |g| g.expire_time = None),
        ("reason", |g| g.reason = "another".to_owned()),
    ];
    let first = || grant("g", 3, Some(TimeDelta::days(1)));
    let mut gate = Gate::new();
    let Ok(Outcome::Granted { lot, replayed: false, .. }) = gate.run(Action::Grant(first())) else {
        panic!("not granted");
    };
    assert_eq!((lot.credits, lot.remaining), (3, 3));
    for (field, change) in rows {
        let mut again = first();
        change(&mut again);
        let refusal = Refusal::OperationIdReused { operation_id: again.key.1.clone(), field };
        assert_eq!(gate.run(Action::Grant(again)), Err(refusal));
    }
    // The same again, though its lot has been spent of and has expired.
    gate.hold("a", scan("live_audit"));
    gate.wait(TimeDelta::days(2));
    match gate.run(Action::Grant(first())) {
        Ok(Outcome::Granted { lot: again, balance, replayed: true }) => {
            assert_eq!((again.lot_id, again.remaining), (lot.lot_id, 0));
            assert_eq!((balance.available, balance.reserved), (0, 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_revocation_is_made_once_and_compared() {
    let first = || Revoke {
        key: operation(OperationKind::Revocation, "r"),
        credit_type: scan_credits(),
        credits: 2,
        reason: "why".to_owned(),
    };
    let mut gate = Gate::with(3);
    let done = |gate: &mut Gate| match gate.run(Action::Revoke(first())) {
        Ok(Outcome::Revoked { balance, replayed }) => (balance.available, replayed),
        other => panic!("{other:?}"),
    };
    assert_eq!(done(&mut gate), (1, false));
    // A retry is no new revocation, so it needs nothing available.
    assert_eq!(done(&mut gate), (1, true));
    type Change = fn(&mut Revoke);
    let rows: [(&str, Change); 3] = [
        ("credit type", |r| r.credit_type = CreditType::new("fix").unwrap()),
        ("number of credits", |r| r.credits = 1),
        ("reason", |r| r.reason = "another".to_owned()),
    ];
    for (field, change) in rows {
        let mut again = first();
        change(&mut again);
        let refusal = Refusal::OperationIdReused { operation_id: again.key.1.clone(), field };
        assert_eq!(gate.run(Action::Revoke(again)), Err(refusal));
    }
}

#[test]
fn keys_of_different_kinds_do_not_meet() {
    let mut gate = Gate::new();
    for kind in [OperationKind::Grant, OperationKind::TopUp, OperationKind::Period] {
        let key = operation(kind, "same");
        let request = Grant { key, ..grant("same", 1, None) };
        let granted = gate.run(Action::Grant(request));
        assert!(matches!(granted, Ok(Outcome::Granted { replayed: false, .. })));
    }
    assert_eq!(gate.balance(), [3, 0, 0]);
}

#[test]
fn an_operator_grants_only_types_of_the_catalog_and_what_was_paid_for_is_granted_anyway() {
    let of = |id, source| Grant {
        credit_type: CreditType::new("old").unwrap(),
        source,
        ..grant(id, 1, None)
    };
    let mut gate = Gate::new();
    let refusal = Refusal::CreditTypeUnknown { name: "old".to_owned() };
    assert_eq!(gate.run(Action::Grant(of("a", LotSource::Grant))), Err(refusal));
    for (id, source) in [("b", LotSource::TopUp), ("c", LotSource::Plan), ("d", LotSource::Trial)] {
        assert!(gate.run(Action::Grant(of(id, source))).is_ok());
    }
}

#[test]
fn a_credit_type_with_a_price_in_a_plan_is_one_of_the_catalog() {
    let mut gate = Gate::new();
    let old = CreditType::new("old").unwrap();
    assert!(!gate.catalog.has_credit_type(&old));
    gate.catalog.plans[0].prices.push(creditgate::domain::catalog::CreditPrice {
        credit_type: old.clone(),
        unit_price_minor: 100,
        currency: "USD".to_owned(),
        packs: vec![],
    });
    assert!(gate.catalog.has_credit_type(&old));
}

#[test]
fn a_grant_that_has_expired_already_is_refused() {
    let mut gate = Gate::new();
    for (expires_in, good) in [(0, false), (-1, false), (1, true)] {
        let request = grant("g", 1, Some(TimeDelta::microseconds(expires_in)));
        assert_eq!(gate.run(Action::Grant(request)).is_ok(), good);
    }
}
