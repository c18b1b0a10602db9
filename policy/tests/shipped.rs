//! The catalogues that ship: they pass their own checks and examples, and travel as a bundle.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use folder::{bearer, load};
use policy::{CatalogueSource, Catalogues, EventMap, Refusal};
use schemas::channel::{Channel, ChannelPattern};

fn shipped(names: &[&str]) -> Catalogues {
    let sources: Vec<_> = names.iter().map(|name| CatalogueSource::Shipped((*name).to_owned())).collect();
    Catalogues::load(&sources).unwrap()
}

#[test]
fn every_example_of_every_shipped_catalogue_holds() {
    let names = Catalogues::shipped();
    assert_eq!(names, ["athlete", "bench", "home", "machine", "teamwork", "wellbeing", "wikipedia"]);
    for name in &names {
        let (examples, failures) = shipped(&[name]).run_examples();
        assert!(examples > 0, "{name} has no examples");
        assert_eq!(failures, Vec::<String>::new());
    }
    assert_eq!(shipped(&["wikipedia", "machine", "bench"]).domains(), ["bench", "machine", "wiki"]);
}

#[test]
fn all_that_ship_are_one_policy_and_every_event_that_is_made_up_fits_its_type() {
    let names = Catalogues::shipped();
    let all = shipped(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut made = 0;
    for generator in all.generators() {
        for event in generator.events() {
            for count in 0..50 {
                let one = generator.make(event, count, schemas::time::Timestamp::default()).unwrap();
                assert_eq!(one, generator.make(event, count, schemas::time::Timestamp::default()).unwrap());
                let policy = all.event_type(&event.event_type).unwrap();
                assert_eq!(one.channel.kind(), policy.channel_kind());
                assert_eq!(policy.schema().from_json(&one.data).err(), None, "{} {count}", event.event_type);
                made += 1;
            }
        }
    }
    assert!(made > 0);
}

#[test]
fn anyone_reads_and_publishers_publish() {
    let catalogues = shipped(&["wikipedia", "machine", "bench"]);
    for channel in ["wiki:en", "machine:web-1", "bench:1"] {
        let channel = Channel::parse(channel).unwrap();
        let kind = ChannelPattern::parse(&format!("{}:*", channel.kind())).unwrap();
        assert_eq!(catalogues.may_subscribe(&policy::Claims::anonymous(), &kind), Ok(()));
        assert_eq!(catalogues.may_publish(&policy::Claims::anonymous(), &channel), Err(Refusal::Forbidden));
        assert_eq!(catalogues.may_publish(&bearer(&["publisher"], &[]), &channel), Ok(()));
    }
    let other = ChannelPattern::parse("till:1").unwrap();
    assert_eq!(catalogues.may_subscribe(&bearer(&["publisher"], &[]), &other), Err(Refusal::UnknownKind));
}

#[test]
fn a_bundle_is_the_same_policy_and_the_version_follows_the_files_only() {
    let catalogues = shipped(&["wikipedia", "machine"]);
    let again = Catalogues::from_bundle(&catalogues.bundle()).unwrap();
    assert_eq!(again.version(), catalogues.version());
    assert_eq!(again.bundle(), catalogues.bundle());
    assert_eq!(again.run_examples(), catalogues.run_examples());
    assert_eq!(shipped(&["machine", "wikipedia"]).version(), catalogues.version());
    assert_ne!(shipped(&["machine"]).version(), catalogues.version());
    for bad in [&b""[..], b"[]", b"{\"a\": 1}", b"{\"a\": {}}", b"{\"a\": {\"catalogue.yaml\": \"name: 1\"}}"] {
        assert!(Catalogues::from_bundle(bad).is_err());
    }
}

#[test]
fn a_directory_with_the_same_files_is_the_same_version() {
    let files = ["catalogue.yaml", "tick.avsc"].map(|name| {
        let path = format!("{}/../schemas/catalogues/bench/{name}", env!("CARGO_MANIFEST_DIR"));
        (name, std::fs::read_to_string(path).unwrap())
    });
    let [catalogue, tick] = &files;
    let same = load(&[(catalogue.0, &catalogue.1), (tick.0, &tick.1), ("README.md", "not read")]).unwrap();
    assert_eq!(same.version(), shipped(&["bench"]).version());
    let other = load(&[(catalogue.0, &format!("{}# a remark\n", catalogue.1)), (tick.0, &tick.1)]).unwrap();
    assert_ne!(other.version(), shipped(&["bench"]).version());
}

#[test]
fn a_catalogue_without_a_map_says_so() {
    assert!(EventMap::shipped("wikipedia").is_ok());
    assert_eq!(EventMap::shipped("bench").err().unwrap().to_string(), "bench/map.yaml:1: there is no such file");
    let nothing = EventMap::shipped("nothing").err().unwrap().to_string();
    assert_eq!(
        nothing,
        "nothing:1: no catalogue of this name ships; there are athlete, bench, home, machine, teamwork, wellbeing, wikipedia"
    );
}

#[test]
fn the_catalogue_of_the_readme_works() {
    let readme = include_str!("../../README.md");
    let block = |from: &str| {
        let start = readme.find(from).unwrap();
        let lines = readme[start - 4..].lines().take_while(|line| line.starts_with("    "));
        lines.map(|line| format!("{}\n", &line[4..])).collect::<String>()
    };
    let catalogue =
        load(&[("catalogue.yaml", &block("name: tide")), ("reading.avsc", &block("{\"type\": \"record\""))]);
    assert_eq!(catalogue.unwrap().run_examples(), (2, Vec::new()));
}
