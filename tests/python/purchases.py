"""The part of the walk that brings credits in."""

from contract import done, same


def purchases(walk):
    """What a plan and a purchase bring, each once."""
    billing = walk.pb["billing"]
    start = billing.StartSubscriptionRequest(
        account_id=walk.account, plan="pro", subscription_id="plan-1"
    )
    begun = walk.call(walk.billing.StartSubscription, start)
    same(begun.subscription, status=billing.SUBSCRIPTION_STATUS_ACTIVE, provider="manual")
    same(begun, replayed=False)
    again = walk.call(walk.billing.StartSubscription, start)
    same(again, replayed=True, subscription=begun.subscription, balances=begun.balances)
    same(walk.balance(), available=3, reserved=1)
    done("StartSubscription, twice: one allowance")

    request = billing.BeginTopUpRequest(
        top_up_id=f"{walk.account}-top-1",
        account_id=walk.account,
        credit_type="scan",
        credits=5,
        provider="manual",
    )
    pending = walk.call(walk.billing.BeginTopUp, request).top_up
    same(pending, status=billing.TOP_UP_STATUS_PENDING, price_minor=14500, currency="USD")
    same(walk.balance(), available=3)
    confirm = billing.ConfirmTopUpRequest(top_up_id=pending.top_up_id)
    for replayed in (False, True):
        paid = walk.call(walk.billing.ConfirmTopUp, confirm)
        same(paid, replayed=replayed, balance=walk.balance())
    same(walk.balance(), available=8)
    listed = billing.ListTopUpsRequest(account_id=walk.account)
    assert list(walk.call(walk.billing.ListTopUps, listed).top_ups) == [paid.top_up]
    done("BeginTopUp, ConfirmTopUp twice: paid for once")
