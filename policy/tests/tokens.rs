//! What a token must be to be taken: each row of the table is an attack or a slip, with its answer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod keys;

use std::collections::BTreeSet;
use std::time::Duration;

use keys::{Pair, base64, forge, pem};
use policy::{ChannelGrants, Claims, KeyError, Signer, TokenError, Verifier};
use proptest::prelude::*;
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;
use serde_json::{Value, json};

const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests only";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const NOW_SECONDS: i64 = 1_800_000_000;

/// A private key and its public part, both PEM.
fn rsa_key() -> (String, String) {
    let pair = Pair::rsa();
    (pair.private_pem, pair.public_pem)
}

fn hs256(payload: &Value) -> String {
    forge(&json!({"alg": "HS256", "typ": "JWT"}), &payload.to_string(), SECRET)
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    Verifier::from_key(SECRET).unwrap().verify(token, NOW)
}

fn someone() -> Claims {
    Claims {
        sub: Some("ada".to_owned()),
        tenant: Tenant::parse("acme").unwrap(),
        roles: BTreeSet::from(["moderator".to_owned()]),
        labels: BTreeSet::from([Label::parse("place").unwrap()]),
        regions: BTreeSet::from(["eu".to_owned()]),
        channels: ChannelGrants { subscribe: Some(vec!["wiki:*".to_owned()]), publish: Some(Vec::new()) },
        exp: Some(NOW.plus(Duration::from_secs(60))),
        issuer: None,
    }
}

#[test]
fn what_is_signed_is_what_is_verified() {
    let (private, public) = rsa_key();
    for (signs, verifies) in
        [(SECRET, SECRET), (private.as_bytes(), public.as_bytes()), (private.as_bytes(), private.as_bytes())]
    {
        let token = Signer::from_key(signs).unwrap().sign(&someone(), NOW).unwrap();
        assert_eq!(Verifier::from_key(verifies).unwrap().verify(&token, NOW), Ok(someone()));
    }
}

#[test]
fn a_token_of_a_few_words_is_enough() {
    let claims = verify(&hs256(&json!({"exp": NOW_SECONDS + 1}))).unwrap();
    let expected = Claims { exp: Some(Timestamp::from_millis((NOW_SECONDS + 1) * 1000)), ..Claims::anonymous() };
    assert_eq!(claims, expected);
}

#[test]
fn a_forged_or_malformed_token_has_its_answer() {
    let good = json!({"sub": "ada", "roles": ["publisher"], "exp": NOW_SECONDS + 60});
    let alg = |alg: &str| forge(&json!({"alg": alg}), &good.to_string(), SECRET);
    let unsigned = {
        let token = alg("none");
        token[..=token.rfind('.').unwrap()].to_owned()
    };
    let swapped = {
        let (head, rest) = hs256(&good).split_once('.').map(|(h, r)| (h.to_owned(), r.to_owned())).unwrap();
        let signature = rest.split_once('.').unwrap().1.to_owned();
        format!("{head}.{}.{signature}", base64(json!({"sub": "root", "exp": NOW_SECONDS + 60}).to_string()))
    };
    let crit = forge(&json!({"alg": "HS256", "crit": ["b64"], "b64": true}), &good.to_string(), SECRET);
    let twice = format!(r#"{{"sub":"ada","sub":"root","exp":{}}}"#, NOW_SECONDS + 60);
    let twice = forge(&json!({"alg": "HS256"}), &twice, SECRET);
    let with = |key: &str, value: Value| {
        let mut payload = good.clone();
        payload[key] = value;
        hs256(&payload)
    };
    let table = [
        ("empty", String::new(), TokenError::Malformed),
        ("dots", "..".to_owned(), TokenError::Malformed),
        ("one part", "abc".to_owned(), TokenError::Malformed),
        ("four parts", format!("{}.x", hs256(&good)), TokenError::Malformed),
        ("not base64", "é.é.é".to_owned(), TokenError::Malformed),
        ("alg none, signed", alg("none"), TokenError::Malformed),
        ("alg none, unsigned", unsigned, TokenError::Malformed),
        ("alg None", alg("None"), TokenError::Malformed),
        ("alg HS384", alg("HS384"), TokenError::Malformed),
        ("alg RS256 with a secret", alg("RS256"), TokenError::Malformed),
        ("alg unknown", alg("XX"), TokenError::Malformed),
        ("no alg", forge(&json!({}), &good.to_string(), SECRET), TokenError::Malformed),
        ("a critical parameter", crit, TokenError::Malformed),
        ("another secret", forge(&json!({"alg": "HS256"}), &good.to_string(), b"x"), TokenError::Signature),
        ("another payload", swapped, TokenError::Signature),
        ("no signature", hs256(&good).rsplit_once('.').unwrap().0.to_owned() + ".", TokenError::Signature),
        ("too long", with("x", json!("y".repeat(policy::token::TOKEN_BYTES))), TokenError::Malformed),
        ("sub twice", twice, TokenError::Malformed),
        ("payload no object", hs256(&json!([1])), TokenError::Malformed),
        ("no exp", hs256(&json!({"sub": "ada"})), TokenError::Malformed),
        ("exp null", with("exp", Value::Null), TokenError::Malformed),
        ("exp text", with("exp", json!("1900000000")), TokenError::Malformed),
        ("exp huge", with("exp", json!(1e300)), TokenError::Malformed),
        ("exp past", with("exp", json!(NOW_SECONDS - 5)), TokenError::Expired),
        ("exp negative", with("exp", json!(i64::MIN)), TokenError::Expired),
        ("nbf ahead", with("nbf", json!(NOW_SECONDS + 6)), TokenError::NotYet),
        ("nbf text", with("nbf", json!("soon")), TokenError::Malformed),
        ("roles text", with("roles", json!("publisher")), TokenError::Malformed),
        ("roles of numbers", with("roles", json!([1])), TokenError::Malformed),
        ("label with a space", with("labels", json!(["a b"])), TokenError::Malformed),
        ("tenant with a slash", with("tenant", json!("a/b")), TokenError::Malformed),
        ("tenant empty", with("tenant", json!("")), TokenError::Malformed),
        ("sub a number", with("sub", json!(7)), TokenError::Malformed),
        ("sub empty", with("sub", json!("")), TokenError::Malformed),
        ("sub all", with("sub", json!("*")), TokenError::Malformed),
        ("sub with a line break", with("sub", json!("a\nb")), TokenError::Malformed),
        ("channels a list", with("channels", json!(["wiki:*"])), TokenError::Malformed),
        ("channels misspelt", with("channels", json!({"subscrbe": ["wiki:en"]})), TokenError::Malformed),
        ("channels no pattern", with("channels", json!({"subscribe": ["wiki"]})), TokenError::Malformed),
    ];
    for (name, token, expected) in table {
        assert_eq!(verify(&token), Err(expected), "{name}");
    }
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    for (payload, expected) in [
        (json!({"exp": NOW_SECONDS - 4}), None),
        (json!({"exp": NOW_SECONDS - 5}), Some(TokenError::Expired)),
        (json!({"exp": f64::from(1_800_000_000) + 0.5}), None),
        (json!({"exp": NOW_SECONDS + 9, "nbf": NOW_SECONDS + 5}), None),
        (json!({"exp": NOW_SECONDS + 9, "nbf": NOW_SECONDS + 6}), Some(TokenError::NotYet)),
    ] {
        assert_eq!(verify(&hs256(&payload)).err(), expected, "{payload}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let (private, public) = rsa_key();
    let verifier = Verifier::from_key(public.as_bytes()).unwrap();
    let payload = json!({"sub": "root", "exp": NOW_SECONDS + 60}).to_string();
    for secret in [public.as_bytes(), public.trim_end().as_bytes()] {
        for alg in ["HS256", "RS256"] {
            let token = forge(&json!({"alg": alg}), &payload, secret);
            let expected = if alg == "HS256" { TokenError::Malformed } else { TokenError::Signature };
            assert_eq!(verifier.verify(&token, NOW), Err(expected), "{alg}");
        }
    }
    let other = Signer::from_key(rsa_key().0.as_bytes()).unwrap().sign(&someone(), NOW).unwrap();
    assert_eq!(verifier.verify(&other, NOW), Err(TokenError::Signature));
    assert_eq!(Signer::from_key(public.as_bytes()).err(), Some(KeyError::File));
    assert!(Signer::from_key(private.as_bytes()).is_ok());
}

#[test]
fn a_key_is_an_rsa_pem_or_a_long_secret() {
    let certificate = pem("CERTIFICATE", &[0x30, 0x00]);
    let damaged = pem("PRIVATE KEY", &[1, 2, 3]);
    for bad in [&b""[..], &[7; 31], b"31 bytes and a line break......\n", certificate.as_bytes(), damaged.as_bytes()] {
        assert_eq!(Verifier::from_key(bad).err(), Some(KeyError::File), "{bad:?}");
        assert_eq!(Signer::from_key(bad).err(), Some(KeyError::File), "{bad:?}");
    }
    let broken_line = [SECRET, b"\n"].concat();
    let token = Signer::from_key(&broken_line).unwrap().sign(&someone(), NOW).unwrap();
    assert_eq!(verify(&token), Ok(someone()), "the line break that an editor adds is not part of the secret");
    let binary = [&[0_u8; 31][..], b"\n"].concat();
    assert!(Verifier::from_key(&binary).is_ok(), "a binary secret is taken as it is");
}

#[test]
fn claims_that_no_verifier_would_take_are_not_signed() {
    let signer = Signer::from_key(SECRET).unwrap();
    let all = Claims { sub: Some("*".to_owned()), ..someone() };
    let long = Claims { roles: BTreeSet::from(["r".repeat(policy::token::TOKEN_BYTES)]), ..someone() };
    for claims in [all, long] {
        assert_eq!(signer.sign(&claims, NOW), Err(TokenError::Malformed));
    }
}

proptest! {
    #[test]
    fn no_text_panics_the_verifier(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify(&parts.join(".")).is_err());
    }

    #[test]
    fn no_bytes_panic_the_key_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let pem = pem("PRIVATE KEY", &bytes);
        prop_assert!(Verifier::from_key(pem.as_bytes()).is_err());
        prop_assert!(bytes.len() >= 32 || Verifier::from_key(&bytes).is_err());
    }
}
