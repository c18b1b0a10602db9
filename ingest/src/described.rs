//! What a request to `POST /v1/events` may have as its body, for `/openapi.json`. Only described: [`crate::request`] reads it.

use std::borrow::Cow;

use utoipa::openapi::{ArrayBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Config;

pub(crate) use schemas::cloudevent::Described as CloudEvent;

/// The payload, with the attributes as `ce-*` headers; or a structured CloudEvent.
#[derive(ToSchema)]
#[schema(as = Payload)]
#[allow(dead_code, reason = "only described")]
pub(crate) struct Payload(serde_json::Value);

/// Several, as many as a request may have where nothing else is configured.
pub(crate) struct Batch;

impl PartialSchema for Batch {
    fn schema() -> RefOr<Schema> {
        let events = ArrayBuilder::new().items(Ref::from_schema_name(CloudEvent::name()));
        events.min_items(Some(1)).max_items(Some(Config::default().batch_events)).into()
    }
}

impl ToSchema for Batch {
    fn name() -> Cow<'static, str> {
        "CloudEventBatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((CloudEvent::name().into(), CloudEvent::schema()));
    }
}
