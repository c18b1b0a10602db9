//! One entry of `examples` in a `catalogue.yaml`, read for its shape.
//!
//! In: its node. Out: an [`Example`]; what has the wrong shape goes to the report.

use std::time::Duration;

use schemas::channel::Channel;
use schemas::id::{EventId, EventType, Label, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;

use crate::claims::Claims;
use crate::declaration::{labels, parsed};
use crate::document::{Fields, Node, Reader};
use crate::example::{Example, ExampleEvent, Expected, Sees};
use crate::filter::Filter;

/// Reads an example; none where something of it is missing or wrong.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Example> {
    let fields = reader.fields(node, "an example", &["as", "event", "after", "filter", "sees"])?;
    let missing = ["as", "event", "sees"].into_iter().filter(|key| fields.get(key).is_none());
    missing.for_each(|key| reader.report().add(&fields.place, format!("{key} is missing")));
    let bearer = fields.get("as").and_then(|node| bearer(reader, node, "as"));
    let event = fields.get("event").and_then(|node| event(reader, node));
    let sees = fields.get("sees").and_then(|node| sees(reader, node));
    let after = reader.optional(&fields, "after").and_then(|text| parsed(reader, text, duration));
    let filter = reader.optional(&fields, "filter").and_then(|text| parsed(reader, text, Filter::compile));
    Some(Example {
        place: fields.place,
        bearer: bearer?,
        event: event?,
        after: after.map_or(Duration::ZERO, |after| after.value),
        filter: filter.map(|filter| filter.value),
        sees: sees?,
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?} is no duration: {error}"))
}

fn bearer(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Claims> {
    let fields = reader.fields(node, what, &["sub", "tenant", "roles", "labels", "regions"])?;
    let mut texts = |key: &str| {
        let texts = fields.get(key).map(|node| reader.texts(node, key)).unwrap_or_default();
        texts.into_iter().map(|text| text.value).collect()
    };
    let (roles, regions) = (texts("roles"), texts("regions"));
    let own: Vec<_> = fields.get("labels").map(|node| labels(reader, node, "labels")).unwrap_or_default();
    Some(Claims {
        sub: reader.optional(&fields, "sub").map(|sub| sub.value),
        tenant: tenant(reader, &fields),
        roles,
        labels: own.into_iter().map(|label| label.value).collect::<std::collections::BTreeSet<Label>>(),
        regions,
        ..Claims::anonymous()
    })
}

fn tenant(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Tenant {
    let tenant = reader.optional(fields, "tenant").and_then(|text| parsed(reader, text, Tenant::parse));
    tenant.map_or_else(Tenant::default_tenant, |tenant| tenant.value)
}

fn event(reader: &mut Reader<'_>, node: &Node) -> Option<ExampleEvent> {
    let known = [
        "type",
        "subject",
        "data",
        "id",
        "source",
        "time",
        "tenant",
        "priority",
        "expires",
        "conflationkey",
        "author",
        "by",
    ];
    let fields = reader.fields(node, "event", &known)?;
    let event_type = reader.required(&fields, "type").and_then(|text| parsed(reader, text, EventType::parse));
    let channel = reader.required(&fields, "subject").and_then(|text| parsed(reader, text, Channel::parse));
    let mut moment = |key: &str| {
        let text = reader.optional(&fields, key)?;
        parsed(reader, text, Timestamp::parse).map(|time| time.value)
    };
    let (time, expires) = (moment("time"), moment("expires"));
    let id = reader.optional(&fields, "id").and_then(|text| parsed(reader, text, EventId::parse));
    let source = reader.optional(&fields, "source").and_then(|text| parsed(reader, text, Source::parse));
    let priority = reader.optional(&fields, "priority").and_then(|text| parsed(reader, text, Lane::parse));
    Some(ExampleEvent {
        event_type: event_type?,
        channel: channel?.value,
        id: id.map(|id| id.value),
        source: source.map(|source| source.value),
        tenant: tenant(reader, &fields),
        time,
        priority: priority.map(|lane| lane.value),
        expires,
        conflation_key: reader.optional(&fields, "conflationkey").map(|key| key.value),
        author: reader.optional(&fields, "author").map(|author| author.value),
        publisher: fields.get("by").and_then(|node| bearer(reader, node, "by")),
        data: fields.get("data").map_or_else(|| serde_json::json!({}), Node::to_json),
    })
}

fn sees(reader: &mut Reader<'_>, node: &Node) -> Option<Sees> {
    let word = node.to_json();
    if word == "nothing" {
        return Some(Sees::Nothing);
    }
    if word == "refused" {
        return Some(Sees::Refused);
    }
    let fields =
        reader.fields(node, "sees", &["lane", "data", "absent", "masked", "conflationkey", "budget", "audit"])?;
    let lane = reader.optional(&fields, "lane").and_then(|text| parsed(reader, text, Lane::parse));
    let mut names = |key: &str| {
        let names = fields.get(key).map(|node| reader.texts(node, key)).unwrap_or_default();
        names.into_iter().map(|name| name.value).collect()
    };
    let (absent, masked) = (names("absent"), names("masked"));
    Some(Sees::Event(Expected {
        lane: lane.map(|lane| lane.value),
        data: fields.get("data").map(Node::to_json),
        absent,
        masked,
        conflationkey: reader.optional(&fields, "conflationkey").map(|key| key.value),
        budget: reader.optional(&fields, "budget").map(|budget| budget.value),
        audit: reader.optional(&fields, "audit").map(|audit| audit.value),
    }))
}
