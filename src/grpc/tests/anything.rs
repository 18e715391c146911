//! Whatever is sent, decoding answers.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use prost_types::{Duration, Timestamp};

use crate::{
    domain::{command::Action, credit::MAX_CREDITS},
    grpc::decode,
    proto,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9._:-]{1,20}",
        any::<String>(),
        Just(String::new()),
        Just("x".repeat(400)),
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0..10_i64, Just(i64::MIN), Just(i64::MAX), Just(MAX_CREDITS)]
}

fn duration() -> impl Strategy<Value = Option<Duration>> {
    let any = (number(), any::<i32>()).prop_map(|(seconds, nanos)| Duration { seconds, nanos });
    let small = (0..100_000_i64, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanos)| Duration { seconds, nanos });
    option::of(prop_oneof![any, small])
}

fn timestamp() -> impl Strategy<Value = Option<Timestamp>> {
    option::of((number(), any::<i32>()).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

prop_compose! {
    fn scan()(account_id in text(), project_id in text(), scan_kind in text(), credits in number())
        -> proto::Scan
    {
        proto::Scan { account_id, project_id, scan_kind, credits }
    }
}

prop_compose! {
    fn reserve()(
        reservation_id in text(),
        scan in option::of(scan()),
        lease in duration(),
        labels in vec((text(), text()), 0..20),
    ) -> proto::ReserveRequest {
        let labels: BTreeMap<String, String> = labels.into_iter().collect();
        proto::ReserveRequest { reservation_id, scan, lease, labels }
    }
}

proptest! {
    #[test]
    fn a_reservation_is_refused_or_within_all_limits(request in reserve()) {
        if let Ok(command) = decode::reserve(request.clone(), String::new()) {
            let Action::Reserve(reserve) = command.action else { panic!("not a reserve") };
            prop_assert!((0..=MAX_CREDITS).contains(&reserve.scan.credits));
            let within = reserve.lease.is_none_or(|lease| {
                lease.num_microseconds().is_some_and(|micros| micros >= 1_000)
                    && lease <= TimeDelta::days(366)
                    && lease.subsec_nanos() % 1_000 == 0
            });
            prop_assert!(within);
            prop_assert!(reserve.labels.len() <= 16);
            prop_assert_eq!(reserve.lease.is_some(), request.lease.is_some());
            prop_assert_eq!(
                reserve.scan.project_id.map_or_else(String::new, String::from),
                request.scan.unwrap().project_id
            );
        }
    }

    #[test]
    fn a_batch_keeps_its_order(requests in vec(reserve(), 1..20)) {
        let items = decode::batch(proto::BatchReserveRequest { requests: requests.clone() }, "")
            .unwrap();
        prop_assert_eq!(items.len(), requests.len());
        for (item, request) in items.into_iter().zip(requests) {
            prop_assert_eq!(item, decode::reserve(request, String::new()));
        }
    }

    #[test]
    fn settling_never_panics(
        account_id in text(), reservation_id in text(), credits in option::of(number()),
        cause in any::<i32>(), note in text(), lease in duration(),
    ) {
        let (account, reservation) = (account_id.clone(), reservation_id.clone());
        let request = proto::CommitRequest { account_id, reservation_id, credits };
        let _ = decode::commit(request, String::new());
        let (account_id, reservation_id) = (account.clone(), reservation.clone());
        let request = proto::ReleaseRequest { account_id, reservation_id, cause, note };
        let _ = decode::release(request, String::new());
        let request =
            proto::ExtendRequest { account_id: account, reservation_id: reservation, lease };
        let _ = decode::extend(request, String::new());
    }

    #[test]
    fn grants_and_lists_never_panic(
        id in text(), account_id in text(), credit_type in text(), credits in number(),
        time in timestamp(), reason in text(), page_size in any::<i32>(), state in any::<i32>(),
        page_token in text(),
    ) {
        let account = account_id.clone();
        let request = proto::GrantCreditsRequest {
            grant_id: id, account_id, credit_type: credit_type.clone(), credits,
            expire_time: time, reason: reason.clone(),
        };
        let _ = decode::grant(request, String::new());
        let request = proto::CreateAccountRequest {
            account_id: account.clone(), display_name: reason.clone(), billing_email: reason,
        };
        let _ = decode::create_account(&request);
        let request = proto::ListReservationsRequest {
            account_id: account.clone(), state, expire_before: time, page_size,
            page_token: page_token.clone(),
        };
        let _ = decode::reservations(&request);
        let request = proto::ListLedgerEntriesRequest {
            account_id: account, credit_type, reservation_id: String::new(), page_size, page_token,
        };
        let _ = decode::entries(&request);
    }

    #[test]
    fn subscriptions_and_purchases_never_panic(
        id in text(), account_id in text(), name in text(), credits in number(),
        time in timestamp(), end in timestamp(), interval in any::<i32>(),
        page_size in any::<i32>(), page_token in text(),
    ) {
        let request = proto::StartSubscriptionRequest {
            account_id: account_id.clone(), plan: name.clone(), interval, start_time: time,
            trial_end_time: end, trial_credits: credits, subscription_id: id.clone(),
        };
        if let Ok(command) = decode::start_subscription(&request, String::new()) {
            let Action::StartSubscription(start) = command.action else { panic!("not a start") };
            prop_assert_eq!(start.sent.trial.is_some(), end.is_some());
            prop_assert!(credits == 0 || end.is_some());
            prop_assert!((0..=MAX_CREDITS).contains(&credits));
        }
        let request = proto::RenewSubscriptionRequest {
            account_id: account_id.clone(), period_start_time: time, subscription_id: id.clone(),
        };
        let _ = decode::renew_subscription(&request, String::new());
        let request = proto::BeginTopUpRequest {
            top_up_id: id, account_id: account_id.clone(), credit_type: name.clone(), credits,
            provider: "paddle".to_owned(), provider_reference: name.clone(),
        };
        if let Ok((_, begin)) = decode::begin_top_up(request) {
            prop_assert!((1..=MAX_CREDITS).contains(&begin.credits));
            prop_assert!(begin.top_up_id.as_str().len() <= 128);
        }
        let request = proto::FailTopUpRequest { top_up_id: name.clone(), reason: name };
        let _ = decode::fail_top_up(&request);
        let _ = decode::top_ups(&proto::ListTopUpsRequest { account_id, page_size, page_token });
    }

    /// Random bytes that happen to be a message: its fields are anything.
    #[test]
    fn a_catalog_of_random_bytes_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(catalog) = proto::Catalog::decode(&*bytes) {
            let _ = decode::catalog(Some(catalog));
        }
    }
}
