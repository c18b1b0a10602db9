//! The plan of a record: what becomes of it. A pure function of the record, the catalogue, the rows that it saw and how long it has waited for
//! them; nothing else may enter (design 3.2). A new owner may see other rows: so they change what an event holds and whether it is
//! dead-lettered, but never its partition, its lane or its identity, by which it is recognised (ADR 20).

use std::ops::Range;
use std::time::Duration;

use apache_avro::types::Value;
use journal::Record;
use policy::{Awaited, Came, RouteError, Routing, Rows, TypePolicy, Unjoined};
use schemas::budget::Budget;
use schemas::delivery::{Delivery, Origin};
use schemas::id::Label;
use schemas::limits;
use schemas::partition::{DeliveryPartition, partition_of_key};

use crate::decode::Headed;
use crate::reason::{Dead, Reason};

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// These deliveries, in the order of their index.
    Deliver(Vec<Planned>),
    /// The DLQ.
    Dead(Dead),
    /// Its channel waits for a row.
    Wait(Awaited),
}

/// What a plan sees beside record and catalogue.
pub(crate) struct Surroundings<'a> {
    /// Where rows are looked up.
    pub rows: &'a dyn Rows,
    /// How long the record has waited for rows.
    pub waited: Duration,
    /// The partitions of a lane that take deliveries.
    pub routed: &'a Range<u32>,
}

/// One delivery of a plan. Its epoch is the writer's to say, and 0 here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Where it goes.
    pub partition: DeliveryPartition,
    /// `<tenant>/<channel>`.
    pub key: String,
    /// What goes there.
    pub delivery: Delivery,
    /// Its budgets, as the header says them.
    pub budgets: Option<String>,
    /// Whether it is recorded who is given it.
    pub audited: bool,
}

impl Plan {
    /// Plans a decoded record.
    pub(crate) fn of(
        record: &Record,
        headed: &Headed,
        mut value: Value,
        policy: &TypePolicy,
        seen: &Surroundings<'_>,
    ) -> Self {
        match policy.enrich(&mut value, seen.rows, seen.waited) {
            Ok(()) => {}
            Err(Unjoined::Wait(awaited)) => return Self::Wait(awaited),
            Err(Unjoined::DeadLetter { reference }) => {
                let detail = format!("reference.{reference} has no row for it");
                return Self::Dead(Reason::MissingRow.because(detail));
            }
        }
        let attributes = &headed.attributes;
        let time = attributes.time.unwrap_or(record.append_time);
        match policy.route(attributes, &attributes.channel, time, &value) {
            Ok(routing) if bytes_of(&routing) > limits::DELIVERY_BYTES => {
                Self::Dead(Reason::TooLarge.because(format!(
                    "all views and labels have more than {limit} bytes",
                    limit = limits::DELIVERY_BYTES
                )))
            }
            Ok(routing) => {
                let budgets = Budget::header(policy.budgets(routing.lane));
                Self::Deliver(vec![Planned {
                    budgets,
                    audited: policy.audits_deliveries(),
                    ..planned(record, headed, routing, seen.routed)
                }])
            }
            Err(error @ RouteError::Rule { .. }) => Self::Dead(Reason::Forbidden.because(error.to_string())),
            Err(error @ RouteError::TooLarge { .. }) => Self::Dead(Reason::TooLarge.because(error.to_string())),
        }
    }
}

/// What views, labels and names take. The payloads alone cannot reach the limit, with eight views of the largest event; the others can.
fn bytes_of(routing: &Routing) -> usize {
    let labels = |labels: &[Label]| labels.iter().map(|label| label.as_str().len()).sum::<usize>();
    let texts = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    let views: usize = routing.views.iter().map(|view| view.data.len() + labels(&view.labels)).sum();
    views + labels(&routing.required_labels) + texts(&routing.only_users) + texts(&routing.regions)
}

fn planned(record: &Record, headed: &Headed, routing: Routing, routed: &Range<u32>) -> Planned {
    let event = &headed.attributes;
    let partition = routed.start + partition_of_key(headed.key.as_bytes(), routed.end - routed.start);
    let delivery = routing.deliver(
        event,
        Came {
            time: event.time.unwrap_or(record.append_time),
            accepted_time: record.append_time,
            origin: Origin { partition: record.partition.clone(), offset: record.offset, index: 0 },
        },
    );
    let partition = DeliveryPartition { lane: delivery.lane, partition };
    Planned { partition, key: headed.key.clone(), delivery, budgets: None, audited: false }
}
