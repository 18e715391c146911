//! Requests that read.

use super::wrong;
use crate::{
    domain::reservation::ReservationState,
    grpc::{decode, decode::Invalid, page::EntryKey},
    ids::CreditType,
    proto,
};

fn list(account_id: &str, state: i32, page_size: i32) -> proto::ListReservationsRequest {
    proto::ListReservationsRequest {
        account_id: account_id.to_owned(),
        state,
        page_size,
        ..proto::ListReservationsRequest::default()
    }
}

#[test]
fn a_page_has_100_items_unless_told_otherwise_and_at_most_1000() {
    for (asked, size) in [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
        let paged = decode::reservations(&list("a", 0, asked)).unwrap();
        assert_eq!((paged.size, paged.query.limit), (size, i64::try_from(size).unwrap() + 1));
    }
    for bad in [-1, i32::MIN] {
        assert_eq!(wrong(decode::reservations(&list("a", 0, bad))), ["page_size"]);
        let request =
            proto::ListAccountsRequest { page_size: bad, ..proto::ListAccountsRequest::default() };
        assert_eq!(wrong(decode::accounts(&request)), ["page_size"]);
    }
}

#[test]
fn without_an_account_only_what_is_held_is_listed() {
    for (account_id, state, expected) in [
        ("a", 0, Ok(None)),
        ("a", 4, Ok(Some(ReservationState::Expired))),
        ("", 0, Ok(None)),
        ("", 1, Ok(Some(ReservationState::Held))),
        ("", 2, Err("state")),
        ("", 5, Err("state")),
        ("a", 6, Err("state")),
        ("a", -1, Err("state")),
        ("a/b", 0, Err("account_id")),
    ] {
        let result = decode::reservations(&list(account_id, state, 0));
        match expected {
            Ok(expected) => assert_eq!(result.unwrap().query.state, expected),
            Err(field) => assert_eq!(wrong(result), [field]),
        }
    }
}

#[test]
fn an_account_is_named_where_its_books_are_read() {
    assert_eq!(wrong(decode::lots(&proto::ListLotsRequest::default())), ["account_id"]);
    assert_eq!(wrong(decode::entries(&proto::ListLedgerEntriesRequest::default())), ["account_id"]);
    let request = proto::GetBalanceRequest {
        credit_type: "no type".to_owned(),
        ..proto::GetBalanceRequest::default()
    };
    assert_eq!(wrong(decode::balances(&request)), ["account_id", "credit_type"]);
}

#[test]
fn a_token_goes_on_in_its_own_list_only() {
    let request =
        |account_id: &str, credit_type: &str, page_token: &str| proto::ListLedgerEntriesRequest {
            account_id: account_id.to_owned(),
            credit_type: credit_type.to_owned(),
            page_token: page_token.to_owned(),
            page_size: 7,
            ..proto::ListLedgerEntriesRequest::default()
        };
    let (paged, _) = decode::entries(&request("a", "", "")).unwrap();
    let key: EntryKey = (crate::clock::Timestamp::UNIX_EPOCH, CreditType::new("scan").unwrap(), 3);
    let token = paged.list.token(&key);

    let mut resized = request("a", "", &token);
    resized.page_size = 50;
    assert_eq!(decode::entries(&resized).unwrap().0.query.before, Some(key));
    for other in [request("b", "", &token), request("a", "scan", &token)] {
        assert_eq!(decode::entries(&other).unwrap_err(), Invalid::PageToken);
    }
    let lots = proto::ListLotsRequest {
        account_id: "a".to_owned(),
        page_token: token,
        ..proto::ListLotsRequest::default()
    };
    assert_eq!(decode::lots(&lots).unwrap_err(), Invalid::PageToken);
}
