//! Laws of registries.

use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;

use super::{RegistryBench, soon};
use crate::error::{LookupError, RegisterError};

/// A record of a namespace of its own, so that no other law has the same schema.
fn schema(prefix: &str, fields: &str) -> AvroSchema {
    let text = format!(r#"{{"type":"record","name":"Edit","namespace":"law{prefix}","fields":[{fields}]}}"#);
    AvroSchema::parse(&text).unwrap()
}

const PAGE: &str = r#"{"name":"page","type":"string"}"#;
const PAGE_AND_PLACE: &str =
    r#"{"name":"page","type":"string"},{"name":"place","type":["null","string"],"default":null,"labels":["place"]}"#;
const PLACE_NEEDED: &str = r#"{"name":"page","type":"string"},{"name":"place","type":"string"}"#;

/// Registered again, under the same subject, nothing is new.
pub async fn the_same_schema_has_the_same_id(bench: &dyn RegistryBench) {
    let prefix = bench.prefix();
    let first = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE))).await.unwrap();
    let again = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE))).await.unwrap();
    assert_eq!(first, again);
}

/// What an id names is what was registered, labels included.
pub async fn a_schema_is_found_by_its_id(bench: &dyn RegistryBench) {
    let prefix = bench.prefix();
    let given = schema(&prefix, PAGE_AND_PLACE);
    let id = soon("an id", bench.registry().register(&prefix, &given)).await.unwrap();
    let found = soon("a schema", bench.registry().schema(SchemaRef::Id(id))).await.unwrap();
    assert_eq!((found.parsed(), found.labels()), (given.parsed(), given.labels()));
}

/// An id that nobody has is not found, which is no trouble to be retried.
pub async fn an_unknown_id_is_not_found(bench: &dyn RegistryBench) {
    let answer = soon("an answer", bench.registry().schema(SchemaRef::Id(2_000_000_000))).await;
    assert_eq!(answer.err(), Some(LookupError::NotFound));
}

/// A new version whose readers can read the last one's data has an id of its own, and both stay.
pub async fn a_version_that_reads_the_last_one_is_taken(bench: &dyn RegistryBench) {
    let prefix = bench.prefix();
    let first = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE))).await.unwrap();
    let next = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE_AND_PLACE))).await.unwrap();
    assert_ne!(first, next);
    for id in [first, next] {
        soon("a schema", bench.registry().schema(SchemaRef::Id(id))).await.unwrap();
    }
}

/// A new version whose readers could not read the last one's data is refused, and the last one stays.
pub async fn a_version_that_breaks_readers_is_refused(bench: &dyn RegistryBench) {
    let prefix = bench.prefix();
    let first = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE))).await.unwrap();
    let refused = soon("an answer", bench.registry().register(&prefix, &schema(&prefix, PLACE_NEEDED))).await;
    assert!(
        matches!(refused, Err(RegisterError::Incompatible { ref subject, .. }) if *subject == prefix),
        "{refused:?}"
    );
    let again = soon("an id", bench.registry().register(&prefix, &schema(&prefix, PAGE))).await.unwrap();
    assert_eq!(first, again);
}

/// One schema under two subjects is found by either's id.
pub async fn a_schema_may_stand_under_two_subjects(bench: &dyn RegistryBench) {
    let prefix = bench.prefix();
    for subject in [format!("{prefix}-value"), format!("law{prefix}.Edit")] {
        let id = soon("an id", bench.registry().register(&subject, &schema(&prefix, PAGE))).await.unwrap();
        soon("a schema", bench.registry().schema(SchemaRef::Id(id))).await.unwrap();
    }
}

/// A registry that is there says so.
pub async fn a_registry_answers(bench: &dyn RegistryBench) {
    soon("an answer", bench.registry().ping()).await.unwrap();
}
