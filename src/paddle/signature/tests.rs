//! What is believed, and what is not.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "pdl_ntfset_01test_secret";
const BODY: &[u8] = br#"{"event_id":"evt_1"}"#;
/// 2026-03-01T10:00:00Z.
const NOW: i64 = 1_772_359_200;

fn at(millis: i64) -> Timestamp {
    DateTime::from_timestamp_millis(millis).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn h1(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = key(secret).unwrap().chain_update(timestamp).chain_update(":").chain_update(body);
    hex(&mac.finalize().into_bytes())
}

fn header(secret: &str, timestamp: i64, body: &[u8]) -> String {
    format!("ts={timestamp};h1={}", h1(secret, &timestamp.to_string(), body))
}

fn check(secrets: &[&str], text: &str, body: &[u8], millis: i64) -> Result<(), SignatureError> {
    let verifier = Verifier::new(secrets.iter().copied(), 5, 5);
    verifier.verify(&Header::parse(text)?, body, at(millis))
}

/// Computed by other means: `printf '1772359200:{"event_id":"evt_1"}' |
/// openssl dgst -sha256 -hmac pdl_ntfset_01test_secret`.
#[test]
fn a_signature_is_the_one_that_openssl_computes() {
    assert_eq!(
        h1(SECRET, "1772359200", BODY),
        "2acd40807259df7ab5be3782c34ad72b430d180f0e5a42cf61d34f64f2117b5b"
    );
}

#[test]
fn a_header_that_is_not_understood_says_in_what() {
    let digits = "0".repeat(64);
    let many = format!("ts=1{}", format!(";h1={digits}").repeat(9));
    for (text, what) in [
        ("", "a field has no ="),
        ("ts", "a field has no ="),
        ("ts=1", "h1 is missing"),
        (&*format!("h1={digits}"), "ts is missing"),
        (&*format!("ts=;h1={digits}"), "ts is not a number of seconds"),
        (&*format!("ts=-1;h1={digits}"), "ts is not a number of seconds"),
        (&*format!("ts=+1;h1={digits}"), "ts is not a number of seconds"),
        (&*format!("ts=1.5;h1={digits}"), "ts is not a number of seconds"),
        (&*format!("ts=99999999999999;h1={digits}"), "ts is not a number of seconds"),
        (&*format!("ts=1;ts=1;h1={digits}"), "ts comes twice"),
        ("ts=1;h1=", "h1 is not 64 hexadecimal digits"),
        (&*format!("ts=1;h1={digits}0"), "h1 is not 64 hexadecimal digits"),
        (&*format!("ts=1;h1={digits}00"), "h1 is not 64 hexadecimal digits"),
        (&*format!("ts=1;h1={}", "g".repeat(64)), "h1 is not 64 hexadecimal digits"),
        (&*format!("ts=1;h1={}", "é".repeat(32)), "h1 is not 64 hexadecimal digits"),
        (&many, "h1 comes too often"),
        (&"x".repeat(2000), "it is too long"),
    ] {
        assert_eq!(Header::parse(text), Err(SignatureError::Malformed(what)), "{text}");
    }
}

#[test]
fn what_was_signed_now_with_a_known_secret_is_believed_and_nothing_else() {
    let good = header(SECRET, NOW, BODY);
    let upper = format!("ts={NOW};h1={}", h1(SECRET, &NOW.to_string(), BODY).to_uppercase());
    let zeros = format!("ts={NOW};h1={}", "0".repeat(64));
    let padded = format!("ts=0{NOW};h1={}", h1(SECRET, &NOW.to_string(), BODY));
    let (other, believed) = ("pdl_ntfset_02other", Ok(()));
    for (name, secrets, text, millis, expected) in [
        ("as it is meant", &[SECRET][..], &good, NOW * 1000, believed),
        ("hexadecimal digits of either case", &[SECRET], &upper, NOW * 1000, believed),
        ("the new secret of two", &[other, SECRET], &good, NOW * 1000, believed),
        ("the old secret of two", &[SECRET, other], &good, NOW * 1000, believed),
        ("another secret", &[other], &good, NOW * 1000, Err(SignatureError::Mismatch)),
        ("no secret", &[], &good, NOW * 1000, Err(SignatureError::Mismatch)),
        ("no signature at all", &[SECRET], &zeros, NOW * 1000, Err(SignatureError::Mismatch)),
        // The bytes of the timestamp are signed, not its value.
        ("a padded timestamp", &[SECRET], &padded, NOW * 1000, Err(SignatureError::Mismatch)),
        ("as old as it may be", &[SECRET], &good, NOW * 1000 + 5000, believed),
        ("older", &[SECRET], &good, NOW * 1000 + 5001, Err(SignatureError::Stale { seconds: 5 })),
        ("as far ahead as it may be", &[SECRET], &good, NOW * 1000 - 5000, believed),
        (
            "further ahead",
            &[SECRET],
            &good,
            NOW * 1000 - 5001,
            Err(SignatureError::FromTheFuture { seconds: 5 }),
        ),
    ] {
        assert_eq!(check(secrets, text, BODY, millis), expected, "{name}");
    }
}

#[test]
fn one_good_signature_of_several_is_enough() {
    let other = h1("pdl_ntfset_02other", &NOW.to_string(), BODY);
    let mine = h1(SECRET, &NOW.to_string(), BODY);
    for text in [
        format!("ts={NOW};h1={other};h1={mine}"),
        format!("ts={NOW};h1={mine};h1={other}"),
        format!("h1={other};h1={mine};ts={NOW}"),
        format!("ts={NOW}; h1={mine}; h2=later"),
    ] {
        assert_eq!(check(&[SECRET], &text, BODY, NOW * 1000), Ok(()), "{text}");
    }
    let none = format!("ts={NOW};h1={other};h1={other}");
    assert_eq!(check(&[SECRET], &none, BODY, NOW * 1000), Err(SignatureError::Mismatch));
}

#[test]
fn a_verifier_does_not_show_its_secrets() {
    let verifier = Verifier::new([SECRET], 5, 5);
    assert_eq!(format!("{verifier:?}"), "Verifier { secrets: 1, .. }");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_makes_it_panic(text in ".{0,200}", body in any::<Vec<u8>>()) {
        let _ = check(&[SECRET], &text, &body, NOW * 1000);
    }

    #[test]
    fn no_header_of_the_right_parts_makes_it_panic(
        fields in prop::collection::vec("(ts|h1|h2|)=?[0-9a-fA-F]{0,70}", 0..6),
        now in -10_000_000_000_000i64..10_000_000_000_000,
    ) {
        let _ = check(&[SECRET], &fields.join(";"), BODY, now);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(
        body in prop::collection::vec(any::<u8>(), 1..300),
        position in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let text = header(SECRET, NOW, &body);
        prop_assert_eq!(check(&[SECRET], &text, &body, NOW * 1000), Ok(()));
        let mut flipped = body.clone();
        *position.get_mut(&mut flipped) ^= 1 << bit;
        prop_assert_eq!(
            check(&[SECRET], &text, &flipped, NOW * 1000),
            Err(SignatureError::Mismatch)
        );
        // In the header, a bit may turn a digit into its other case: the same value.
        let mut bytes = text.clone().into_bytes();
        *position.get_mut(&mut bytes) ^= 1 << bit;
        if let Ok(other) = String::from_utf8(bytes)
            && !other.eq_ignore_ascii_case(&text)
        {
            prop_assert!(check(&[SECRET], &other, &body, NOW * 1000).is_err(), "{}", other);
        }
    }

    #[test]
    fn a_cut_or_longer_body_is_noticed(body in prop::collection::vec(any::<u8>(), 1..300)) {
        let text = header(SECRET, NOW, &body);
        let longer = [&body[..], b"\n"].concat();
        for other in [&body[1..], &body[..body.len() - 1], &longer] {
            prop_assert!(check(&[SECRET], &text, other, NOW * 1000).is_err());
        }
    }
}
