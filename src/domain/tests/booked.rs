//! Payments that are complete before anybody here has named them.

use creditgate::domain::{payment::TopUpStatus, provider::Effect::PaymentCompleted};

use super::{
    billing_catalog::PADDLE,
    paddle::{event, transaction},
    payments::{apply, begin, of, shop, top_up},
};

#[test]
fn a_purchase_whose_payment_is_booked_before_it_is_named_is_not_awaited() {
    for opened_before in [true, false] {
        let mut gate = shop();
        if opened_before {
            begin(&mut gate, "t", "scan", PADDLE, "");
        }
        let paid = transaction("txn_A", &[("i", "pri_scan5", 1, 9_800)]);
        apply(&mut gate, event("e1", 1, PaymentCompleted(paid)));
        for _ in 0..2 {
            begin(&mut gate, "t", "scan", PADDLE, "txn_A");
            let named = top_up(&gate, "t").unwrap();
            assert_eq!((named.status, &*named.reason), (TopUpStatus::Failed, "paid as txn_A:i"));
        }
        assert_eq!(of(&gate, "scan"), 5);
    }
}
