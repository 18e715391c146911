//! Credits that live on in another lot, and go back with the money all the same.

use super::*;

/// Ten credits were bought; a scan holds three of them, the others have lapsed.
fn lapsed_in_use() -> Gate {
    let mut gate = bought();
    gate.catalog.policy.credits_lapse_on_cancel = true;
    gate.subscribe("sub", "pro", SubscriptionStatus::Trialing);
    gate.hold_credits("a", 3);
    gate.wait(TimeDelta::days(30));
    gate.run(Action::ApplyDue).unwrap();
    assert_eq!((lot(&gate), gate.balance()), ([0, 0, 0], [0, 3, 0]));
    gate.forget();
    gate
}

#[test]
fn credits_that_live_on_elsewhere_go_back_with_the_money_also_a_second_time() {
    let mut gate = lapsed_in_use();
    gate.release("a", PlatformError).unwrap();
    assert_eq!(gate.balance(), [3, 0, 0]);
    adjust(&mut gate, &[all("r", Refund)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 7, 10], [0, 0, 0]));
    adjust(&mut gate, &[with(Reversed, all("r", Refund))]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 0, 0], [3, 0, 0]));
    adjust(&mut gate, &[all("s", Chargeback)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 7, 10], [0, 0, 0]));
    assert_eq!(gate.movements(), [(Restore, 3), (Revoke, 3), (Grant, 3), (Revoke, 3)]);
}

#[test]
fn what_a_scan_holds_of_credits_that_live_on_elsewhere_is_revoked_as_it_returns() {
    let mut gate = lapsed_in_use();
    gate.release("a", PlatformError).unwrap();
    gate.hold_credits("b", 2);
    adjust(&mut gate, &[all("r", Refund)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 9, 10], [0, 2, 0]));
    gate.release("b", CanceledBeforeStart).unwrap();
    assert_eq!((lot(&gate), gate.balance()), ([0, 7, 10], [0, 0, 0]));
}

#[test]
fn a_return_and_a_refund_end_alike_in_either_order_once_the_lot_has_lapsed() {
    for refunded in 0..=10 {
        let refund = some("r", Refund, refunded * 100);
        let mut first = lapsed_in_use();
        first.release("a", PlatformError).unwrap();
        adjust(&mut first, std::slice::from_ref(&refund));
        let mut second = lapsed_in_use();
        adjust(&mut second, &[refund]);
        second.release("a", PlatformError).unwrap();
        let end = |gate: &Gate| (gate.balance(), lot(gate));
        assert_eq!(end(&first), end(&second), "{refunded} of 10");
        assert_eq!(first.balance(), [(3 - refunded).max(0), 0, 0]);
    }
}

#[test]
fn credits_of_two_purchases_live_on_apart_and_each_goes_back_with_its_own_money() {
    let mut gate = bought();
    buy(&mut gate, "txn_B");
    gate.catalog.policy.credits_lapse_on_cancel = true;
    gate.subscribe("sub", "pro", SubscriptionStatus::Trialing);
    gate.hold_credits("a", 12);
    gate.wait(TimeDelta::days(30));
    gate.release("a", PlatformError).unwrap();
    let restored = gate.state.lots.values().filter(|lot| lot.source == LotSource::Restored);
    let mut credits: Vec<i64> = restored.map(|lot| lot.remaining).collect();
    credits.sort_unstable();
    assert_eq!((credits, gate.balance()), (vec![2, 10], [12, 0, 0]));
    adjust(&mut gate, &[all("r", Refund)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 0, 10], [2, 0, 0]));
}
