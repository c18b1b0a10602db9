//! Target: decode and route an edit of 300 bytes with a three-term lane rule and two views in under 40 µs (25,000/s/core); of which the context of
//! its rules ≤ 2 µs, once an event, and a three-term rule on it ≤ 0.5 µs (2,000,000/s/core).
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use policy::{CatalogueSource, Catalogues};
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::time::Timestamp;
use std::hint::black_box;

fn route(criterion: &mut Criterion) {
    let shipped = Catalogues::load(&[CatalogueSource::Shipped("wikipedia".to_owned())]).unwrap().bundle();
    let three = "payload.isAnonymous && payload.delta > 10 ? 'high'";
    let bundle = String::from_utf8(shipped).unwrap().replace("payload.isAnonymous ? 'high'", three);
    assert!(bundle.contains(three));
    let catalogues = Catalogues::from_bundle(bundle.as_bytes()).unwrap();
    let edit = catalogues.event_type(&EventType::parse("wiki.edit").unwrap()).unwrap();
    let json = serde_json::json!({
        "page": "Ada Lovelace", "comment": "x".repeat(160), "user": "someone", "isAnonymous": true, "isRobot": false,
        "cityName": "Turin", "countryName": "Italy", "delta": 36,
    });
    let value = edit.schema().from_json(&json).unwrap();
    let body = edit.schema().encode(&value).unwrap();
    let channel = Channel::parse("wiki:en").unwrap();
    let attributes = Attributes {
        id: EventId::parse("1").unwrap(),
        source: Source::parse("/bench").unwrap(),
        event_type: EventType::parse("wiki.edit").unwrap(),
        channel: channel.clone(),
        tenant: Tenant::default_tenant(),
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: None,
        traceparent: None,
        principal: None,
    };
    let time = Timestamp::from_millis(1_763_640_000_000);
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| b.iter(|| edit.schema().decode(edit.schema(), black_box(&body)).unwrap()));
    group.bench_function("context", |b| {
        b.iter(|| drop(black_box(edit.prepare(black_box(&attributes), &channel, time, black_box(&value)))));
    });
    let prepared = edit.prepare(&attributes, &channel, time, &value);
    group.bench_function("three-term rule", |b| b.iter(|| black_box(&prepared).lane().unwrap()));
    group.bench_function("rules and views", |b| {
        b.iter(|| edit.route(black_box(&attributes), &channel, time, black_box(&value)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
