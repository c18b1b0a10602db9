//! Target: the text of a position of 24 entries in under 1 µs, and back in under 1 µs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use criterion::{Criterion, criterion_group, criterion_main};
use schemas::partition::DeliveryPartition;
use schemas::position::{LogHash, Position};
use schemas::time::Timestamp;
use std::hint::black_box;

fn position(criterion: &mut Criterion) {
    let position = Position {
        log: LogHash(0xdead_beef),
        time: Timestamp::from_millis(1_763_640_000_000),
        generation: 1,
        next: DeliveryPartition::all(8).map(|partition| (partition, 1_000_000_007)).collect(),
    };
    let text = position.to_string();
    criterion.bench_function("position to text, 24 entries", |b| b.iter(|| black_box(&position).to_string()));
    criterion.bench_function("text to position, 24 entries", |b| b.iter(|| Position::parse(black_box(&text)).unwrap()));
}

criterion_group!(benches, position);
criterion_main!(benches);
