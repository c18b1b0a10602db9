//! What is counted of a CQL store: statements, by how they are executed and whether they were answered. Labels are closed enums.

use metrics::{Counter, counter};

use super::statements::Kind;

/// Statements that were executed and answered, or not: each page of a read, each row of a batch. The driver's own repetitions are not counted.
const STATEMENTS: &str = "tidegate_store_statements_total";

/// What is counted of one statement, looked up once; statements of one kind share it.
#[derive(Debug)]
pub struct Meters {
    answered: Counter,
    failed: Counter,
}

impl Meters {
    /// Looks them up. The recorder is there already.
    pub fn of(kind: Kind) -> Self {
        let of = |outcome: &'static str| counter!(STATEMENTS, "kind" => kind.as_str(), "outcome" => outcome);
        Self { answered: of("answered"), failed: of("failed") }
    }

    /// The statement was executed.
    pub fn asked(&self, answered: bool) {
        if answered { self.answered.increment(1) } else { self.failed.increment(1) }
    }
}
