//! Writers' schemas, as far as they are known here: what to decode with at once, and what has to be asked for.
//!
//! In: the registry's answers. Out: a schema, a refusal, or that nobody knows yet; and when to ask again. A schema that the
//! registry does not know is asked for again as often as the policy says before its records are given up; a registry that does not answer is
//! asked for ever, ever more slowly. Pure: asking is the caller's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use journal::LookupError;
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use tokio::time::Instant;

use crate::config::DeadLetterPolicy;
use crate::reason::{Dead, Reason};

/// Schemas kept; at it all are dropped, and asked for again (the registry's client keeps them, too).
const KNOWN_MAX: usize = 1_000;
/// Refusals kept; at it all are dropped.
const REFUSED_MAX: usize = 1_000;
/// So long a refused schema stays refused without asking.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// After the first time that the registry did not answer; doubled each time.
const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(100);
/// At most so long between two questions.
const UNAVAILABLE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known of a reference.
#[derive(Debug)]
pub(crate) enum Looked {
    /// The writer's schema.
    Known(Arc<AvroSchema>),
    /// Its records are for the DLQ.
    Refused {
        /// Why.
        dead: Dead,
        /// How often it was asked for in vain.
        tries: u32,
    },
    /// Not known yet: it is to be asked for.
    Missing,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The reference is known or refused now.
    Settled,
    /// It is to be asked for again after this pause.
    AskAgain(Duration),
}

#[derive(Debug, Default)]
struct Asking {
    /// How often the registry said that it does not know it.
    unknown: u32,
    failures: u32,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    dead: Dead,
    tries: u32,
}

/// The writers' schemas that are known.
#[derive(Debug)]
pub(crate) struct SchemaCache {
    unknown: DeadLetterPolicy,
    known: HashMap<SchemaRef, Arc<AvroSchema>>,
    refused: HashMap<SchemaRef, Refused>,
    asking: HashMap<SchemaRef, Asking>,
}

impl SchemaCache {
    /// Nothing known; what is done about schemas that the registry does not know.
    pub(crate) fn new(unknown: DeadLetterPolicy) -> Self {
        Self { unknown, known: HashMap::new(), refused: HashMap::new(), asking: HashMap::new() }
    }

    /// What is known of a reference now.
    pub(crate) fn look(&self, reference: SchemaRef, now: Instant) -> Looked {
        if let Some(schema) = self.known.get(&reference) {
            return Looked::Known(schema.clone());
        }
        match self.refused.get(&reference) {
            Some(refused) if now < refused.until => {
                Looked::Refused { dead: refused.dead.clone(), tries: refused.tries }
            }
            Some(_) | None => Looked::Missing,
        }
    }

    /// Whether the caller is to ask now; false where it does already.
    pub(crate) fn begin(&mut self, reference: SchemaRef) -> bool {
        if self.asking.contains_key(&reference) {
            return false;
        }
        self.asking.insert(reference, Asking::default());
        true
    }

    /// Whether the registry failed to answer the last question for some reference.
    pub(crate) fn is_troubled(&self) -> bool {
        self.asking.values().any(|asking| asking.failures > 0)
    }

    /// Takes an answer.
    pub(crate) fn answer(
        &mut self,
        reference: SchemaRef,
        answer: Result<Arc<AvroSchema>, LookupError>,
        now: Instant,
    ) -> Answered {
        match answer {
            Ok(schema) => self.know(reference, schema),
            Err(LookupError::Malformed { detail }) => {
                self.refuse(reference, Reason::Undecodable.because(detail), 1, now)
            }
            Err(LookupError::NotFound) => self.not_found(reference, now),
            Err(LookupError::Unavailable { .. }) => self.unavailable(reference),
        }
    }

    fn know(&mut self, reference: SchemaRef, schema: Arc<AvroSchema>) -> Answered {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.asking.remove(&reference);
        self.known.insert(reference, schema);
        Answered::Settled
    }

    fn refuse(&mut self, reference: SchemaRef, dead: Dead, tries: u32, now: Instant) -> Answered {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        self.asking.remove(&reference);
        self.refused.insert(reference, Refused { until: now + REFUSED_FOR, dead, tries });
        Answered::Settled
    }

    fn not_found(&mut self, reference: SchemaRef, now: Instant) -> Answered {
        let asking = self.asking.entry(reference).or_default();
        asking.failures = 0;
        asking.unknown = asking.unknown.saturating_add(1);
        let tries = asking.unknown;
        match self.unknown.pause_after(tries) {
            Some(pause) => Answered::AskAgain(pause),
            None => {
                let dead = Reason::UnknownSchema.because("the registry knows no such schema");
                self.refuse(reference, dead, tries, now)
            }
        }
    }

    fn unavailable(&mut self, reference: SchemaRef) -> Answered {
        let asking = self.asking.entry(reference).or_default();
        let pause = UNAVAILABLE_PAUSE.saturating_mul(2u32.saturating_pow(asking.failures)).min(UNAVAILABLE_PAUSE_MAX);
        asking.failures = asking.failures.saturating_add(1);
        Answered::AskAgain(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use journal::LookupError;
    use schemas::framing::SchemaRef;
    use tokio::time::Instant;

    use super::{Answered, Looked, SchemaCache};
    use crate::config::DeadLetters;
    use crate::reason::Reason;

    fn cache() -> SchemaCache {
        SchemaCache::new(DeadLetters::default().of(Reason::UnknownSchema))
    }

    const REFERENCE: SchemaRef = SchemaRef::Id(7);

    #[test]
    fn an_unknown_schema_is_given_up_after_its_time_and_asked_for_anew_later() {
        let (mut cache, start) = (cache(), Instant::now());
        assert!(cache.begin(REFERENCE) && !cache.begin(REFERENCE));
        let (mut now, mut questions) = (start, 1);
        while let Answered::AskAgain(pause) = cache.answer(REFERENCE, Err(LookupError::NotFound), now) {
            now += pause;
            questions += 1;
        }
        assert_eq!((now - start, questions), (Duration::from_millis(700), 4));
        let refused = cache.look(REFERENCE, now);
        assert!(matches!(refused, Looked::Refused { dead, tries: 4 } if dead.reason == Reason::UnknownSchema));
        assert!(matches!(cache.look(REFERENCE, now + Duration::from_secs(5)), Looked::Missing));
        assert!(cache.begin(REFERENCE));
    }

    #[test]
    fn a_registry_that_does_not_answer_is_asked_ever_more_slowly_and_for_ever() {
        let (mut cache, now) = (cache(), Instant::now());
        cache.begin(REFERENCE);
        let mut ask = || cache.answer(REFERENCE, Err(LookupError::Unavailable { detail: "down".to_owned() }), now);
        let pauses: Vec<Answered> = (0..40).map(|_| ask()).collect();
        assert_eq!(pauses[..3], [100, 200, 400].map(|ms| Answered::AskAgain(Duration::from_millis(ms))));
        assert!(pauses[6..].iter().all(|pause| *pause == Answered::AskAgain(Duration::from_secs(5))));
        assert!(cache.is_troubled() && matches!(cache.look(REFERENCE, now), Looked::Missing));
    }
}
