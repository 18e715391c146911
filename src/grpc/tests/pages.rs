//! Page tokens, and where a page ends.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    billing::TopUpKey,
    clock::Timestamp,
    grpc::{
        decode::Invalid,
        page::{EntryKey, Key, List},
    },
    ids::{AccountId, CreditType, LotId, OperationId, ReservationId},
    proto,
    store::queries::{LotKey, ReservationKey},
};

fn time(micros: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::microseconds(micros)
}

fn round_trip<K: Key + PartialEq + std::fmt::Debug>(key: &K) {
    let list = List::of("List");
    let token = list.token(key);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(list.key::<K>(&token).unwrap().as_ref(), Some(key));
    // Neither cut nor prolonged.
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let longer = URL_SAFE_NO_PAD.encode([bytes.as_slice(), &[0]].concat());
    let shorter = URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1]);
    for bad in [longer, shorter] {
        assert_eq!(list.key::<K>(&bad).unwrap_err(), Invalid::PageToken);
    }
}

#[test]
fn every_key_reads_back() {
    let last = 253_402_300_799_999_999;
    round_trip(&AccountId::new(&"x".repeat(64)).unwrap());
    round_trip(&ReservationKey {
        time: time(1),
        account_id: AccountId::new(&"x".repeat(64)).unwrap(),
        reservation_id: ReservationId::new(&"y".repeat(128)).unwrap(),
    });
    for expire_time in [None, Some(time(last))] {
        let lot_id = LotId(Uuid::from_u128(u128::MAX));
        round_trip(&LotKey { expire_time, create_time: time(0), lot_id });
    }
    let key: EntryKey = (time(last), CreditType::new("scan").unwrap(), i64::MAX);
    round_trip(&key);
    for length in [1, 128, 256] {
        let top_up_id = OperationId::new(&"z".repeat(length)).unwrap();
        round_trip(&TopUpKey { create_time: time(last), top_up_id });
    }
}

#[test]
fn the_first_page_has_no_token() {
    assert_eq!(List::of("List").key::<AccountId>("").unwrap(), None);
}

#[test]
fn filters_cannot_be_shifted_into_each_other() {
    let key = AccountId::new("a").unwrap();
    let tokens = [
        List::of("List").text("ab").text("c").token(&key),
        List::of("List").text("a").text("bc").token(&key),
        List::of("Lista").text("b").text("c").token(&key),
        List::of("List").text("ab").text("c").number(None).token(&key),
        List::of("List").text("ab").text("c").number(Some(0)).token(&key),
    ];
    for (index, token) in tokens.iter().enumerate() {
        assert!(!tokens[..index].contains(token), "{index}");
    }
}

#[test]
fn garbage_is_no_token() {
    let list = List::of("List");
    let token = list.token(&AccountId::new("a").unwrap());
    let mut other_version = URL_SAFE_NO_PAD.decode(&token).unwrap();
    other_version[0] = 2;
    for bad in [
        "a".to_owned(),
        "====".to_owned(),
        "\0".to_owned(),
        "日本".to_owned(),
        "A".repeat(401),
        "A".repeat(1 << 20),
        format!("{token}=="),
        format!(" {token}"),
        URL_SAFE_NO_PAD.encode(other_version),
    ] {
        assert_eq!(list.key::<AccountId>(&bad).unwrap_err(), Invalid::PageToken, "{bad:.20}");
    }
}

#[test]
fn times_in_a_token_are_checked_like_those_of_a_request() {
    let list = List::of("List");
    for micros in [i64::MIN, -1, 253_402_300_800_000_000, i64::MAX] {
        let key: EntryKey = (time(0), CreditType::new("scan").unwrap(), 1);
        let mut bytes = URL_SAFE_NO_PAD.decode(list.token(&key)).unwrap();
        bytes[9..17].copy_from_slice(&micros.to_be_bytes());
        let forged = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(list.key::<EntryKey>(&forged).unwrap_err(), Invalid::PageToken, "{micros}");
    }
}

/// A page of so many accounts, with a name of so many bytes each.
fn page(rows: usize, size: usize, bytes: usize) -> (usize, Option<AccountId>) {
    let list = List::of("List");
    let rows = (0..rows).map(|row| AccountId::new(&row.to_string()).unwrap()).collect();
    let (page, token) = list.page(rows, size, AccountId::clone, |account_id| proto::Account {
        account_id: account_id.to_string(),
        display_name: "x".repeat(bytes),
        ..proto::Account::default()
    });
    (page.len(), list.key(&token).unwrap())
}

#[test]
fn a_page_has_a_next_one_only_where_more_was_read() {
    let after = |id: &str| Some(AccountId::new(id).unwrap());
    for (rows, size, expected) in [
        (0, 3, (0, None)),
        (2, 3, (2, None)),
        (3, 3, (3, None)),
        (4, 3, (3, after("2"))),
        (2, 1, (1, after("0"))),
    ] {
        assert_eq!(page(rows, size, 1), expected);
    }
}

#[test]
fn a_page_ends_before_it_outgrows_a_response_and_always_gets_on() {
    let (sent, next) = page(10, 10, 1 << 20);
    assert_eq!((sent, next), (3, Some(AccountId::new("2").unwrap())));
    let (sent, next) = page(2, 2, 5 << 20);
    assert_eq!((sent, next), (1, Some(AccountId::new("0").unwrap())));
}

proptest! {
    #[test]
    fn random_bytes_are_no_token(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
        let list = List::of("List").text("account");
        let token = URL_SAFE_NO_PAD.encode(&bytes);
        prop_assert!(list.key::<AccountId>(&token).is_err());
        prop_assert!(list.key::<ReservationKey>(&token).is_err());
        prop_assert!(list.key::<LotKey>(&token).is_err());
        prop_assert!(list.key::<EntryKey>(&token).is_err());
        prop_assert!(list.key::<TopUpKey>(&token).is_err());
    }

    #[test]
    fn random_text_is_no_token(token in ".{1,50}") {
        prop_assert!(List::of("List").key::<LotKey>(&token).is_err());
    }

    /// Whoever computes the hash may write any key: none may panic.
    #[test]
    fn a_forged_key_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..250)) {
        let list = List::of("List");
        let account = AccountId::new("a").unwrap();
        let head = URL_SAFE_NO_PAD.decode(list.token(&account)).unwrap();
        let forged = URL_SAFE_NO_PAD.encode([&head[..9], bytes.as_slice()].concat());
        let _ = list.key::<AccountId>(&forged);
        let _ = list.key::<ReservationKey>(&forged);
        let _ = list.key::<LotKey>(&forged);
        let _ = list.key::<EntryKey>(&forged);
        let _ = list.key::<TopUpKey>(&forged);
    }
}
