//! Target: a delivery of two 300-byte views decoded in under 2 µs, encoded in under 1 µs, rendered in under 0.5 µs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use schemas::cloudevent;
use schemas::delivery::Delivery;
use std::hint::black_box;

fn delivery(criterion: &mut Criterion) {
    let delivery = benches::delivery().unwrap();
    let mut body = Vec::new();
    delivery.encode(&mut body);
    let body = Bytes::from(body);
    let mut group = criterion.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| b.iter(|| Delivery::decode(black_box(&body)).unwrap()));
    group.bench_function("encode", |b| {
        let mut out = Vec::with_capacity(body.len());
        b.iter(|| {
            out.clear();
            black_box(&delivery).encode(&mut out);
        });
    });
    group.bench_function("render", |b| {
        let mut out = BytesMut::with_capacity(1024);
        b.iter(|| {
            out.clear();
            cloudevent::render(black_box(&delivery), 1, &mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, delivery);
criterion_main!(benches);
