//! Grants: round trips, foreign bytes both ways, limits, and the laws of joining.

use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::foreign;

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just("*".to_owned()), "[ab]:[*]", "[ab]:[cd]"].prop_map(|text| Scope::parse(&text).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    (-1_000_000_i64..2_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn grant() -> impl Strategy<Value = Grant> {
    let channel = (scope(), time(), proptest::option::of(time()));
    let channel =
        channel.prop_map(|(scope, granted_at, visible_from)| GrantedChannel { scope, granted_at, visible_from });
    let label = ("[a-z]{1,2}", any::<bool>(), time());
    let label = label.prop_map(|(name, held, at)| Held { name: Label::parse(&name).unwrap(), held, at });
    let role = ("[a-z]{1,2}", any::<bool>(), time()).prop_map(|(name, held, at)| Held { name, held, at });
    let revoked = (scope(), time()).prop_map(|(scope, at)| Revocation { scope, at });
    (vec(channel, 0..5), vec(label, 0..4), vec(role, 0..4), vec(revoked, 0..5))
        .prop_map(|(channels, labels, roles, revoked)| Grant { channels, labels, roles, revoked })
}

fn text(text: impl fmt::Display) -> Value {
    Value::String(text.to_string())
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn in_foreign_hands(user: &User, grant: &Grant) -> Value {
    let time = |time: Timestamp| Value::TimestampMillis(time.millis());
    let channel = |granted: &GrantedChannel| {
        let from =
            granted.visible_from.map_or(Value::Union(0, Value::Null.into()), |from| Value::Union(1, time(from).into()));
        record(vec![("scope", text(&granted.scope)), ("granted_at", time(granted.granted_at)), ("visible_from", from)])
    };
    let held =
        |name: &str, held, at| record(vec![("name", text(name)), ("held", Value::Boolean(held)), ("at", time(at))]);
    let revoked = |gone: &Revocation| record(vec![("scope", text(&gone.scope)), ("at", time(gone.at))]);
    record(vec![
        ("version", Value::Int(1)),
        ("tenant", text(&user.tenant)),
        ("user", text(&user.sub)),
        ("channels", Value::Array(grant.channels.iter().map(channel).collect())),
        (
            "labels",
            Value::Array(grant.labels.iter().map(|label| held(label.name.as_str(), label.held, label.at)).collect()),
        ),
        ("roles", Value::Array(grant.roles.iter().map(|role| held(&role.name, role.held, role.at)).collect())),
        ("revoked", Value::Array(grant.revoked.iter().map(revoked).collect())),
    ])
}

proptest! {
    #[test]
    fn a_grant_comes_back_and_is_what_the_foreign_implementation_reads_and_writes(sub in "[^\\p{Cc}]{1,20}", grant in grant()) {
        let user = User::new(Tenant::parse("acme").unwrap(), &sub).unwrap();
        prop_assert_eq!(User::parse_key(&user.key()), Ok(user.clone()));
        let body = grant.encode(&user);
        prop_assert_eq!(Grant::decode(&body), Ok((user.clone(), grant.clone())));
        let schema = Schema::parse_str(GRANT_SCHEMA).unwrap();
        let foreign = in_foreign_hands(&user, &grant);
        prop_assert_eq!(&foreign::read(&schema, &body).unwrap(), &foreign);
        prop_assert_eq!(Grant::decode(&foreign::write(&schema, foreign).unwrap()), Ok((user, grant)));
    }

    #[test]
    fn records_join_in_any_order_and_the_same_twice_changes_nothing(one in grant(), other in grant(), third in grant()) {
        let joined = one.join(&other);
        prop_assert_eq!(&joined, &other.join(&one));
        prop_assert_eq!(&joined.join(&other), &joined);
        prop_assert_eq!(joined.join(&third), one.join(&other.join(&third)));
    }

    #[test]
    fn any_bytes_are_a_grant_or_are_refused(bytes in vec(any::<u8>(), 0..60)) {
        let _ = (Grant::decode(&bytes), User::parse_key(&bytes));
    }
}

#[test]
fn what_is_beyond_a_limit_or_of_another_version_is_refused() {
    let user = User::new(Tenant::default_tenant(), "ada").unwrap();
    let role = Held { name: "r".to_owned(), held: true, at: Timestamp::default() };
    let roles = |count: usize| Grant { roles: vec![role.clone(); count], ..Grant::nothing() };
    assert!(Grant::decode(&roles(limits::GRANT_ENTRIES).encode(&user)).is_ok());
    assert!(Grant::decode(&roles(limits::GRANT_ENTRIES + 1).encode(&user)).is_err());
    let mut newer = Grant::nothing().encode(&user);
    newer[0] = 4;
    assert_eq!(Grant::decode(&newer).unwrap_err().detail, "version 2 is not known");
    assert!(User::new(Tenant::default_tenant(), &"x".repeat(limits::USER_BYTES)).is_ok());
    for sub in ["", "a\nb", &"x".repeat(limits::USER_BYTES + 1)] {
        assert!(User::new(Tenant::default_tenant(), sub).is_err(), "{sub:?}");
    }
}

#[test]
fn a_scope_covers_its_own_channels_only() {
    let scope = |text| Scope::parse(text).unwrap();
    for (scope_text, covered, not) in [
        ("*", "team:*", None),
        ("team:*", "team:a", Some("*")),
        ("team:a", "team:a", Some("team:*")),
        ("team:*", "team:*", Some("user:a")),
    ] {
        assert!(scope(scope_text).covers(&scope(covered)));
        assert!(not.is_none_or(|not| !scope(scope_text).covers(&scope(not))));
    }
}
