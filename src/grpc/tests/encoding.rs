//! Outcomes on the wire.

use chrono::TimeDelta;

use crate::{
    clock::Timestamp,
    domain::{
        command::Outcome,
        credit::Balance,
        reservation::{Disposition, ReleaseCause, Reservation, ReservationState, Scan},
        verdict::{Block, BlockReason, PendingPayment, Remedy},
    },
    grpc::encode,
    ids::{AccountId, CreditType, PlanName, ProjectId, ReservationId, ScanKindName},
    ledger::LedgerError,
    proto,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds) + TimeDelta::microseconds(5)
}

fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 5_000 })
}

fn account_id() -> AccountId {
    AccountId::new("acc_1").unwrap()
}

fn scan_credits() -> CreditType {
    CreditType::new("scan").unwrap()
}

fn reservation(state: ReservationState) -> Reservation {
    Reservation {
        reservation_id: ReservationId::new("run-1").unwrap(),
        sent: Scan {
            project_id: Some(ProjectId::new("site").unwrap()),
            scan_kind: ScanKindName::new("audit").unwrap(),
            credits: 0,
        },
        sent_lease: None,
        credit_type: Some(scan_credits()),
        credits: 3,
        committed_credits: 2,
        state,
        create_time: at(10),
        expire_time: at(20),
        settle_time: Some(at(15)),
        release_cause: Some(ReleaseCause::PlatformError),
        late: true,
        labels: [("team".to_owned(), "blue".to_owned())].into(),
        portions: Vec::new(),
        entries: vec![1],
    }
}

fn balance() -> Balance {
    Balance { available: 1, reserved: 2, spent: 3, sequence: 4, ..Balance::EMPTY }
}

fn balance_sent() -> proto::Balance {
    proto::Balance {
        account_id: "acc_1".to_owned(),
        credit_type: "scan".to_owned(),
        available: 1,
        reserved: 2,
        spent: 3,
        sequence: 4,
    }
}

fn block() -> Block {
    Block {
        reason: BlockReason::PaymentPending,
        message: "Wait.".to_owned(),
        remedy: Remedy::WaitForPayment,
        credit_type: Some(scan_credits()),
        required_credits: 5,
        available_credits: 1,
        reserved_credits: 2,
        holding_reservation_ids: vec![ReservationId::new("run-0").unwrap()],
        earliest_return_time: Some(at(30)),
        pending_payment: Some(PendingPayment {
            top_up_id: "top-1".to_owned(),
            credit_type: scan_credits(),
            create_time: at(1),
            expire_time: at(99),
            credits: 10,
        }),
        plans: vec![PlanName::new("pro").unwrap()],
        next_grant_time: Some(at(40)),
    }
}

fn block_sent() -> proto::Block {
    proto::Block {
        reason: proto::BlockReason::PaymentPending.into(),
        message: "Wait.".to_owned(),
        remedy: proto::Remedy::WaitForPayment.into(),
        credit_type: "scan".to_owned(),
        required_credits: 5,
        available_credits: 1,
        reserved_credits: 2,
        holding_reservation_ids: vec!["run-0".to_owned()],
        earliest_return_time: stamp(30),
        pending_payment: Some(proto::PendingPayment {
            top_up_id: "top-1".to_owned(),
            create_time: stamp(1),
            credits: 10,
        }),
        plans: vec!["pro".to_owned()],
        next_grant_time: stamp(40),
    }
}

#[test]
fn a_reservation_shows_all_that_it_has() {
    assert_eq!(
        encode::reservation(&account_id(), reservation(ReservationState::Committed)),
        proto::Reservation {
            reservation_id: "run-1".to_owned(),
            account_id: "acc_1".to_owned(),
            project_id: "site".to_owned(),
            scan_kind: "audit".to_owned(),
            credit_type: "scan".to_owned(),
            credits: 3,
            spent_credits: 2,
            state: proto::ReservationState::Committed.into(),
            create_time: stamp(10),
            expire_time: stamp(20),
            settle_time: stamp(15),
            release_cause: proto::ReleaseCause::PlatformError.into(),
            late: true,
            labels: [("team".to_owned(), "blue".to_owned())].into(),
        }
    );
}

#[test]
fn a_refund_leaves_nothing_spent() {
    let refunded = encode::reservation(&account_id(), reservation(ReservationState::Refunded));
    assert_eq!((refunded.credits, refunded.spent_credits), (3, 0));
}

#[test]
fn a_block_is_an_answer_with_the_balance_it_was_made_on() {
    let outcome = || Outcome::Blocked { block: Box::new(block()), balance: Some(balance()) };
    let response = encode::reserve(&account_id(), outcome()).unwrap();
    assert_eq!(response.verdict, Some(proto::reserve_response::Verdict::Block(block_sent())));
    assert_eq!(response.balance, Some(balance_sent()));
    let response = encode::check(&account_id(), outcome()).unwrap();
    let verdict = proto::check_eligibility_response::Verdict::Block(block_sent());
    assert_eq!(response.verdict, Some(verdict));
    assert_eq!(response.balance, Some(balance_sent()));
}

#[test]
fn a_free_kind_has_no_type_and_no_balance() {
    let outcome = Outcome::Eligible { credits: 0, credit_type: None, balance: None };
    let response = encode::check(&account_id(), outcome).unwrap();
    let eligible = proto::Eligible { credits: 0, credit_type: String::new() };
    let verdict = proto::check_eligibility_response::Verdict::Eligible(eligible);
    assert_eq!(response, proto::CheckEligibilityResponse { verdict: Some(verdict), balance: None });
}

#[test]
fn a_release_says_what_became_of_the_credits() {
    for (disposition, sent) in [
        (Disposition::Restored, proto::Disposition::Restored),
        (Disposition::Consumed, proto::Disposition::Consumed),
        (Disposition::Refunded, proto::Disposition::Refunded),
    ] {
        let outcome = Outcome::Released {
            reservation: reservation(ReservationState::Released),
            disposition,
            restored_credits: 3,
            balance: Some(balance()),
            replayed: true,
        };
        let response = encode::release(&account_id(), outcome).unwrap();
        assert_eq!(response.disposition, i32::from(sent));
        assert_eq!((response.restored_credits, response.replayed), (3, true));
        assert_eq!(response.balance, Some(balance_sent()));
    }
}

#[test]
fn the_outcome_of_another_command_is_a_bug_and_not_an_answer() {
    for error in [
        encode::reserve(&account_id(), Outcome::DueApplied).unwrap_err(),
        encode::check(&account_id(), Outcome::DueApplied).unwrap_err(),
        encode::commit(&account_id(), Outcome::LeaseExpired { freed: true }).unwrap_err(),
        encode::grant(&account_id(), Outcome::DueApplied).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Internal));
    }
}
