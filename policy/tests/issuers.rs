//! Whose tokens are taken: several issuers, each with its own keys, algorithms, audience and tenants; each row is an attack or a slip.
#![allow(clippy::unwrap_used, reason = "tests")]

mod keys;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keys::{Pair, base64, forge, jwks};
use policy::{Algorithm, Claims, Doorkeeper, Issuer, KeyError, KeySet, KeySource, TokenError, Verifier};
use schemas::id::Tenant;
use schemas::time::Timestamp;
use serde_json::{Value, json};

const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests only";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const NOW_SECONDS: i64 = 1_800_000_000;

/// Keys that another set takes the place of when one is lacking.
#[derive(Debug)]
struct Rotating {
    current: Mutex<Option<Arc<KeySet>>>,
    next: Mutex<Option<Arc<KeySet>>>,
    lacking: AtomicUsize,
}

impl Rotating {
    fn new(now: Option<String>, next: Option<String>) -> Arc<Self> {
        let set = |text: Option<String>| Mutex::new(text.map(|text| Arc::new(KeySet::from_jwks(&text).unwrap())));
        Arc::new(Self { current: set(now), next: set(next), lacking: AtomicUsize::new(0) })
    }
}

impl KeySource for Rotating {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.lock().unwrap().clone()
    }

    fn lacking(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.lacking.fetch_add(1, Ordering::Relaxed);
        if let Some(next) = self.next.lock().unwrap().take() {
            *self.current.lock().unwrap() = Some(next);
        }
        Box::pin(std::future::ready(()))
    }
}

fn issuer(name: &str, algorithms: &[Algorithm], keys: Arc<Rotating>) -> Issuer {
    Issuer::new(name, vec!["tidegate".to_owned()], algorithms.to_vec(), keys)
}

fn payload(iss: &str) -> Value {
    json!({"iss": iss, "aud": "tidegate", "sub": "ada", "exp": NOW_SECONDS + 60})
}

#[test]
fn every_algorithm_is_taken_from_the_issuer_that_has_it() {
    let (rsa, ec, ed) = (Pair::rsa(), Pair::ec(), Pair::ed());
    let keys = Rotating::new(Some(jwks(&[rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")])), None);
    let verifier = Verifier::new(None, vec![issuer("https://a", &Algorithm::ALL, keys)]);
    for (pair, id) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        for id in [Some(id), None] {
            let claims = verifier.verify(&pair.sign(id, &payload("https://a")), NOW).unwrap();
            assert_eq!((claims.sub.as_deref(), claims.issuer.as_deref()), (Some("ada"), Some("https://a")));
        }
    }
    for pair in [&rsa, &ec, &ed] {
        for file in [&pair.private_pem, &pair.public_pem] {
            let verifier = Verifier::from_key(file.as_bytes()).unwrap();
            assert!(verifier.verify(&pair.sign(Some("any"), &payload("x")), NOW).is_ok(), "{:?}", pair.algorithm);
        }
    }
}

#[test]
fn an_issuer_is_trusted_with_its_own_and_nothing_else() {
    let (a, b, own) = (Pair::rsa(), Pair::ec(), Pair::rsa());
    let keys = |pair: &Pair, id| Rotating::new(Some(jwks(&[pair.jwk(id)])), None);
    let acme = Tenant::parse("acme").unwrap();
    let verifier = Verifier::new(
        Some(Issuer::of_key(own.public_pem.as_bytes()).unwrap()),
        vec![
            issuer("https://a", &[Algorithm::Rs256], keys(&a, "1")).with_leeway(Duration::from_secs(30)),
            issuer("https://b", &[Algorithm::Rs256, Algorithm::Es256], keys(&b, "1")).with_tenants(vec![acme]),
        ],
    );
    let with = |iss: &str, key: &str, value: Value| {
        let mut payload = payload(iss);
        payload[key] = value;
        payload
    };
    let embedded = {
        let mut header = json!({"alg": "RS256", "kid": "1", "typ": "JWT"});
        header["jwk"] = own.jwk("1");
        forge(&header, &payload("https://a").to_string(), b"x")
    };
    let public_as_secret = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": "1"});
        forge(&header, &payload("https://a").to_string(), secret)
    };
    let modulus = a.jwk("1")["n"].as_str().unwrap().to_owned();
    let acme = with("https://b", "tenant", json!("acme"));
    let table: [(&str, String, Option<TokenError>); 20] = [
        ("a's own", a.sign(Some("1"), &payload("https://a")), None),
        ("b's own, for its tenant", b.sign(Some("1"), &acme), None),
        ("the file's, of nobody we know", own.sign(None, &json!({"iss": "c", "exp": NOW_SECONDS + 1})), None),
        ("several audiences", a.sign(None, &with("https://a", "aud", json!(["x", "tidegate"]))), None),
        ("expired within a's leeway", a.sign(None, &with("https://a", "exp", json!(NOW_SECONDS - 29))), None),
        ("b for a tenant not its own", b.sign(Some("1"), &payload("https://b")), Some(TokenError::Issuer)),
        ("b's key in a's name", b.sign(Some("1"), &payload("https://a")), Some(TokenError::Malformed)),
        ("a's key in b's name", a.sign(Some("1"), &acme), Some(TokenError::UnknownKey)),
        ("the file's key in a's name", own.sign(Some("1"), &payload("https://a")), Some(TokenError::Signature)),
        ("a's key in nobody's name", a.sign(Some("1"), &payload("c")), Some(TokenError::Signature)),
        ("the public key as a secret", public_as_secret(a.public_pem.as_bytes()), Some(TokenError::Malformed)),
        ("its modulus as a secret", public_as_secret(modulus.as_bytes()), Some(TokenError::Malformed)),
        ("a key in the header", embedded, Some(TokenError::Signature)),
        ("a kid that is a path", a.sign(Some("../../dev/null"), &payload("https://a")), Some(TokenError::UnknownKey)),
        ("an empty kid", a.sign(Some(""), &payload("https://a")), Some(TokenError::UnknownKey)),
        ("another audience", a.sign(None, &with("https://a", "aud", json!("other"))), Some(TokenError::Audience)),
        ("no audience", a.sign(None, &with("https://a", "aud", Value::Null)), Some(TokenError::Audience)),
        ("an audience of numbers", a.sign(None, &with("https://a", "aud", json!(7))), Some(TokenError::Malformed)),
        ("expired", a.sign(None, &with("https://a", "exp", json!(NOW_SECONDS - 30))), Some(TokenError::Expired)),
        ("not yet", a.sign(None, &with("https://a", "nbf", json!(NOW_SECONDS + 31))), Some(TokenError::NotYet)),
    ];
    for (name, token, expected) in table {
        assert_eq!(verifier.verify(&token, NOW).err(), expected, "{name}");
    }
    let alone = Verifier::new(None, vec![issuer("https://a", &[Algorithm::Rs256], keys(&a, "1"))]);
    assert_eq!(alone.verify(&own.sign(None, &payload("c")), NOW).err(), Some(TokenError::Issuer));
    assert_eq!(alone.verify(&a.sign(None, &json!({"exp": NOW_SECONDS + 1})), NOW).err(), Some(TokenError::Issuer));
}

#[test]
fn a_set_is_bounded_and_keeps_only_keys_for_signatures() {
    let (rsa, ed) = (Pair::rsa(), Pair::ed());
    let with = |key: &str, value: Value| {
        let mut jwk = rsa.jwk("1");
        jwk[key] = value;
        jwk
    };
    let short = with("n", json!(base64([0xff; 128])));
    let secret = json!({"kty": "oct", "k": base64(SECRET), "kid": "1", "alg": "HS256"});
    let unusable =
        [with("use", json!("enc")), with("alg", json!("RS512")), with("alg", json!("HS256")), short, secret, json!(7)];
    assert_eq!(KeySet::from_jwks(&jwks(&unusable)).err(), Some(KeyError::NoneUsable));
    let mixed = [&unusable[..], &[ed.jwk("2")]].concat();
    assert_eq!(KeySet::from_jwks(&jwks(&mixed)).unwrap().algorithms(), [Algorithm::EdDsa]);
    let many = vec![ed.jwk("1"); policy::key::KEYS_MAX + 1];
    assert_eq!(KeySet::from_jwks(&jwks(&many)).err(), Some(KeyError::TooLarge));
    let long = jwks(&[json!("x".repeat(policy::key::KEY_SET_BYTES))]);
    assert_eq!(KeySet::from_jwks(&long).err(), Some(KeyError::TooLarge));
    for text in ["", "{}", "[]", r#"{"keys": 7}"#] {
        assert_eq!(KeySet::from_jwks(text).err(), Some(KeyError::NotASet), "{text}");
    }
    let published = jwks(&[rsa.jwk("1")]);
    assert!(KeySet::from_file(published.as_bytes()).is_ok());
    assert!(policy::Signer::from_key(published.as_bytes()).is_err(), "what is published is nobody's secret");
    assert!(KeySet::from_file(format!("{{\"not\": \"{}\"}}", "x".repeat(40)).as_bytes()).is_err());
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_and_the_token_then_taken() {
    let (old, new) = (Pair::ec(), Pair::ec());
    let keys = Rotating::new(Some(jwks(&[old.jwk("old")])), Some(jwks(&[old.jwk("old"), new.jwk("new")])));
    let verifier = Verifier::new(None, vec![issuer("https://a", &[Algorithm::Es256], keys.clone())]);
    let tickets = policy::Tickets::from_key(SECRET, Duration::from_secs(60)).unwrap();
    let doorkeeper = Doorkeeper::new(verifier, tickets);
    let claims = |token: String| {
        let doorkeeper = doorkeeper.clone();
        async move { doorkeeper.claims_of_token(&token, NOW).await }
    };
    assert!(claims(old.sign(Some("old"), &payload("https://a"))).await.is_ok());
    assert_eq!(keys.lacking.load(Ordering::Relaxed), 0);
    assert!(claims(new.sign(Some("new"), &payload("https://a"))).await.is_ok());
    assert_eq!(keys.lacking.load(Ordering::Relaxed), 1);
    let forged = claims(new.sign(Some("newer"), &payload("https://a"))).await;
    assert_eq!(forged, Err(TokenError::UnknownKey.into()));

    let away = Verifier::new(None, vec![issuer("https://a", &[Algorithm::Es256], Rotating::new(None, None))]);
    let tickets = policy::Tickets::from_key(SECRET, Duration::from_secs(60)).unwrap();
    let token = new.sign(Some("new"), &payload("https://a"));
    let refused = Doorkeeper::new(away, tickets).claims_of_token(&token, NOW).await;
    assert_eq!(refused, Err(policy::IdentityError::KeysAway));
    assert_eq!(Claims::anonymous().issuer, None);
}
