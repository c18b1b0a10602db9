//! `tidegate id TEXT`: what a position says.

use schemas::position::{Position, Presented};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::verb::say;

/// Explain a position (an SSE id).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id, as a stream gave it
    text: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let presented = Position::parse(&args.text).map_err(Failure::of)?;
    let explained = explain(&presented);
    if args.json { say(&explained.to_string()) } else { say(&in_words(&presented)) }
}

fn explain(presented: &Presented) -> Value {
    match presented {
        Presented::Position(position) => {
            let next = position.next.iter().map(|(partition, offset)| {
                json!({"lane": partition.lane, "partition": partition.partition, "offset": offset})
            });
            json!({
                "newer": false,
                "log": format!("{:08x}", position.log.0),
                "time": position.time.to_string(),
                "generation": position.generation,
                "next": next.collect::<Vec<_>>(),
            })
        }
        Presented::Newer { log, time } => {
            json!({"newer": true, "log": format!("{:08x}", log.0), "time": time.to_string()})
        }
    }
}

fn in_words(presented: &Presented) -> String {
    match presented {
        Presented::Position(position) => {
            let head = format!(
                "log {:08x}, generation {}, at {}; a partition that is not listed starts at that time",
                position.log.0, position.generation, position.time
            );
            let next = position.next.iter().map(|(partition, offset)| {
                format!("  {:<6} partition {:<2} next offset {offset}", partition.lane.as_str(), partition.partition)
            });
            [head].into_iter().chain(next).collect::<Vec<_>>().join("\n")
        }
        Presented::Newer { log, time } => {
            format!("log {:08x}, at {time}; written by a newer version: it resumes from that time", log.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;
    use schemas::position::LogHash;
    use schemas::time::Timestamp;

    use super::*;

    #[test]
    fn a_position_is_explained() {
        let position = Position {
            log: LogHash(0xa1),
            time: Timestamp::from_millis(1_000),
            generation: 1,
            next: vec![(DeliveryPartition { lane: Lane::High, partition: 3 }, 42)],
        };
        let presented = Position::parse(&position.to_string()).unwrap();
        insta::assert_snapshot!(in_words(&presented), @"
        log 000000a1, generation 1, at 1970-01-01T00:00:01.000Z; a partition that is not listed starts at that time
          high   partition 3  next offset 42
        ");
        insta::assert_snapshot!(explain(&presented).to_string(), @r#"{"generation":1,"log":"000000a1","newer":false,"next":[{"lane":"high","offset":42,"partition":3}],"time":"1970-01-01T00:00:01.000Z"}"#);
    }
}
