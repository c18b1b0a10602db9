//! What is granted beside a token: what it gives, how far back, and what a revocation takes of everything.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use policy::grants::{Change, ChangeError, changed};
use policy::{CatalogueSource, Catalogues, ChannelGrants, Claims, Entitled, Refusal};
use proptest::prelude::*;
use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::{Grant, Scope};
use schemas::id::Label;
use schemas::limits;
use schemas::time::Timestamp;

const CATALOGUE: &str = r#"
name: sample
channels:
  wiki: {subscribe: "true"}
  team: {subscribe: "'member' in claims.roles"}
  goal: {history: all}
types:
  team.said: {schema: said.avsc, channel: team, lane: medium}
roles:
  member: []
  coach: [health]
examples: []
"#;
const SAID: &str = r#"{"type": "record", "name": "Said", "namespace": "team",
    "fields": [{"name": "n", "type": "string"}, {"name": "pulse", "type": ["null", "int"], "default": null, "labels": ["health"]}]}"#;

fn catalogues() -> Catalogues {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("catalogue.yaml"), CATALOGUE).unwrap();
    fs::write(directory.path().join("said.avsc"), SAID).unwrap();
    Catalogues::load(&[CatalogueSource::Directory(directory.path().to_owned())]).unwrap()
}

fn ada() -> Claims {
    Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() }
}

fn pattern(text: &str) -> ChannelPattern {
    ChannelPattern::parse(text).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn scopes(texts: &[&str]) -> Vec<Scope> {
    texts.iter().map(|text| Scope::parse(text).unwrap()).collect()
}

fn give(channels: &[&str]) -> Change {
    Change::Grant { channels: scopes(channels), visible_from: None, labels: Vec::new(), roles: Vec::new() }
}

fn take(channels: &[&str]) -> Change {
    Change::Revoke { channels: scopes(channels), labels: Vec::new(), roles: Vec::new() }
}

/// The record after changes, one in each second.
fn after(changes: &[Change]) -> Grant {
    let numbered = changes.iter().zip(1..);
    numbered.fold(Grant::nothing(), |grant, (change, second)| changed(&grant, change, at(second * 1_000)).unwrap())
}

fn seen_from(entitled: Result<Entitled, Refusal>) -> Result<Option<i64>, Refusal> {
    entitled.map(|entitled| entitled.visible_from.map(Timestamp::millis))
}

#[test]
fn a_grant_gives_what_no_rule_gives_from_its_own_moment_or_as_the_kind_has_it() {
    let catalogues = catalogues();
    let grant = after(&[give(&["team:a", "goal:1"]), give(&["team:a"])]);
    let sees = |channel| seen_from(catalogues.entitle(&ada(), &grant, &pattern(channel)));
    assert_eq!(sees("team:a"), Ok(Some(1_000)), "what is granted again is granted already");
    assert_eq!(sees("goal:1"), Ok(None), "its catalogue says history: all");
    assert_eq!(sees("wiki:en"), Ok(None), "a rule gives it");
    assert_eq!((sees("team:b"), sees("team:*")), (Err(Refusal::Forbidden), Err(Refusal::Forbidden)));
    assert_eq!(sees("odd:1"), Err(Refusal::UnknownKind));
    let member = Claims { roles: ["member".to_owned()].into(), ..ada() };
    let entitled = catalogues.entitle(&member, &grant, &pattern("team:a")).unwrap();
    assert_eq!((entitled.visible_from, entitled.by_grant), (None, false), "a rule gives more");
    assert!(catalogues.entitle(&ada(), &grant, &pattern("team:a")).unwrap().by_grant);
    let from =
        Change::Grant { channels: scopes(&["team:c"]), visible_from: Some(at(7)), labels: vec![], roles: vec![] };
    assert_eq!(seen_from(catalogues.entitle(&ada(), &after(&[from]), &pattern("team:c"))), Ok(Some(7)));
}

#[test]
fn granted_roles_and_labels_count_like_those_of_a_token() {
    let catalogues = catalogues();
    let roles = vec!["member".to_owned(), "coach".to_owned()];
    let grant = after(&[Change::Grant { channels: vec![], visible_from: None, labels: vec![], roles: roles.clone() }]);
    let entitled = catalogues.entitle(&ada(), &grant, &pattern("team:*")).unwrap();
    assert_eq!((entitled.visible_from, entitled.by_grant), (None, true));
    assert_eq!(catalogues.labels_with(&ada(), &grant), [Label::parse("health").unwrap()].into());
    let none = changed(&grant, &Change::Revoke { channels: vec![], labels: vec![], roles }, at(9_000)).unwrap();
    assert_eq!(catalogues.entitle(&ada(), &none, &pattern("team:*")), Err(Refusal::Forbidden));
}

#[test]
fn a_revocation_takes_also_what_token_and_rules_give_until_a_later_grant() {
    let catalogues = catalogues();
    let member = Claims { roles: ["member".to_owned()].into(), ..ada() };
    let may = |grant: &Grant, channel| catalogues.entitle(&member, grant, &pattern(channel)).is_ok();
    let gone = after(&[give(&["goal:1"]), take(&["*"])]);
    assert!(["team:a", "team:*", "wiki:en", "goal:1"].iter().all(|channel| !may(&gone, channel)));
    assert!(gone.channels.is_empty());
    let back = changed(&gone, &give(&["team:a"]), at(0)).unwrap();
    assert!(
        may(&back, "team:a") && !may(&back, "team:*") && !may(&back, "wiki:en"),
        "the clock went back, time does not"
    );
    let all = changed(&back, &give(&["*"]), at(0)).unwrap();
    assert!(may(&all, "team:*") && may(&all, "wiki:en"));
}

#[test]
fn one_channel_is_revoked_of_a_kind_that_stays() {
    let catalogues = catalogues();
    let member = Claims { roles: ["member".to_owned()].into(), ..ada() };
    let grant = after(&[take(&["team:b", "team:c"]), give(&["team:c"])]);
    let entitled = catalogues.entitle(&member, &grant, &pattern("team:*")).unwrap();
    assert_eq!(entitled.except, [Channel::parse("team:b").unwrap()]);
    assert_eq!(catalogues.entitle(&member, &grant, &pattern("team:b")), Err(Refusal::Forbidden));
    assert!(catalogues.entitle(&member, &grant, &pattern("team:c")).is_ok());
}

#[test]
fn a_token_that_narrows_its_bearer_narrows_what_they_were_granted() {
    let catalogues = catalogues();
    let channels = ChannelGrants { subscribe: Some(vec!["team:a".to_owned()]), publish: None };
    let narrow = Claims { channels, ..ada() };
    let grant = after(&[give(&["team:*"])]);
    assert!(catalogues.entitle(&narrow, &grant, &pattern("team:a")).is_ok());
    assert_eq!(catalogues.entitle(&narrow, &grant, &pattern("team:b")), Err(Refusal::Forbidden));
}

#[test]
fn a_change_that_names_nothing_or_too_much_is_refused() {
    assert_eq!(changed(&Grant::nothing(), &give(&[]), at(1)), Err(ChangeError::Nothing));
    assert_eq!(changed(&Grant::nothing(), &take(&[]), at(1)), Err(ChangeError::Nothing));
    let names: Vec<String> = (0..limits::GRANT_ENTRIES).map(|n| format!("team:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let full = after(&[give(&names)]);
    assert_eq!(changed(&full, &give(&["team:more"]), at(2_000)), Err(ChangeError::TooMany));
    assert_eq!(changed(&full, &give(&["team:0"]), at(2_000)), Ok(full.clone()));
}

proptest! {
    /// Of all changes that were about a channel, the last one counts.
    #[test]
    fn the_last_change_about_a_channel_counts(changes in proptest::collection::vec((any::<bool>(), 0..6_usize), 0..12)) {
        const SCOPES: [&str; 6] = ["*", "team:*", "team:a", "team:b", "goal:*", "goal:a"];
        let catalogues = catalogues();
        let written: Vec<Change> = changes.iter().map(|(gives, at)| {
            if *gives { give(&[SCOPES[*at]]) } else { take(&[SCOPES[*at]]) }
        }).collect();
        let grant = after(&written);
        for channel in ["team:a", "team:b", "goal:a", "goal:z"] {
            let wanted = Scope::parse(channel).unwrap();
            let last = changes.iter().rev().find(|(_, at)| Scope::parse(SCOPES[*at]).unwrap().covers(&wanted));
            let may = catalogues.entitle(&ada(), &grant, &pattern(channel)).is_ok();
            prop_assert_eq!(may, last.is_some_and(|(gives, _)| *gives), "{} after {:?}", channel, changes);
        }
    }
}
