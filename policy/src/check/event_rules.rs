//! The check of a type's rules: each compiles, and gives what it can be used for.
//!
//! In: the texts of the entries. Out: compiled rules; what is wrong goes to the report.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::LiteralValue;
use schemas::lane::Lane;

use crate::audience::{AudienceRules, ExceptAuthor, Requires};
use crate::channel_rule::{ChannelRule, channel_holds};
use crate::declaration::{DeclaredRequires, DeclaredType};
use crate::event_rule::{Expiry, LaneRule, Wishes};
use crate::payload_schema::PayloadSchema;
use crate::prepared::EVENT_FIELDS;
use crate::reads::{Holds, Reads, Variables};
use crate::report::{Located, Report};
use crate::rule::Rule;

/// The compiled rules of a type.
#[derive(Debug)]
pub(super) struct EventRules {
    pub(super) lane: LaneRule,
    pub(super) wishes: Wishes,
    pub(super) audience: AudienceRules,
    pub(super) expires: Expiry,
    pub(super) conflate: Option<Rule>,
}

/// Compiles the entries of one type.
pub(super) fn compile(declared: &DeclaredType, schema: Option<&PayloadSchema>, report: &mut Report) -> EventRules {
    let payload = schema.map_or(Holds::Anything, |schema| Holds::Fields(schema.fields.clone()));
    let mut compiler = Compiler { variables: variables(payload), schema, report };
    let lane = declared.lane.as_ref().and_then(|lane| compiler.lane(lane)).unwrap_or(LaneRule::Producer);
    EventRules {
        wishes: compiler.wishes(declared, &lane),
        lane,
        audience: compiler.audience(declared),
        expires: declared.expires.as_ref().map_or(Expiry::Never, |text| compiler.expires(text)),
        conflate: declared.conflate.as_ref().and_then(|text| compiler.shown(text, "a conflation key")),
    }
}

impl EventRules {
    /// What they read together.
    pub(super) fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        let lane = match &self.lane {
            LaneRule::Rule(rule) => Some(rule),
            LaneRule::Producer | LaneRule::Fixed(_) => None,
        };
        let expires = match &self.expires {
            Expiry::Rule(rule) => Some(rule),
            Expiry::Never | Expiry::After(_) => None,
        };
        let rules = lane.into_iter().chain(expires).chain(&self.conflate).chain(self.audience.rules());
        rules.for_each(|rule| reads.join(rule.reads()));
        reads
    }
}

/// What an event's rule reads.
fn variables(payload: Holds) -> Variables {
    Variables::from([("payload", payload), ("event", Holds::fields(&EVENT_FIELDS)), ("channel", channel_holds())])
}

struct Compiler<'a> {
    variables: Variables,
    schema: Option<&'a PayloadSchema>,
    report: &'a mut Report,
}

impl Compiler<'_> {
    fn rule(&mut self, text: &Located<String>) -> Option<Rule> {
        let compiled = Rule::compile(&text.value, &self.variables);
        compiled.map_err(|problems| problems.iter().for_each(|problem| self.report.add(&text.place, problem))).ok()
    }

    /// A lane's word, or a rule whose literal results are lanes' words.
    fn lane(&mut self, text: &Located<String>) -> Option<LaneRule> {
        match Lane::parse(&text.value) {
            Ok(lane) => return Some(LaneRule::Fixed(lane)),
            Err(error) if text.value.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                self.report.add(&text.place, error);
                return None;
            }
            Err(_) => {}
        }
        let rule = self.rule(text)?;
        for literal in rule.literal_results() {
            match literal {
                LiteralValue::String(word) => drop(self.report.check(&text.place, Lane::parse(word.inner()))),
                LiteralValue::Boolean(_)
                | LiteralValue::Bytes(_)
                | LiteralValue::Double(_)
                | LiteralValue::Int(_)
                | LiteralValue::Null
                | LiteralValue::UInt(_) => self.report.add(&text.place, "a lane is high, medium or low"),
            }
        }
        Some(LaneRule::Rule(rule))
    }

    /// Whose wish counts for which lane. A wish that nothing asks for would be a mistake.
    fn wishes(&mut self, declared: &DeclaredType, lane: &LaneRule) -> Wishes {
        let Some(wishes) = &declared.wish else { return Wishes::Anyone };
        let asked = match lane {
            LaneRule::Producer => true,
            LaneRule::Fixed(_) => false,
            LaneRule::Rule(rule) => rule.reads().of("event").is_some_and(|read| read.reads("priority")),
        };
        if !asked {
            self.report
                .add(&wishes.place, "no wish counts here: the lane neither is the producer's nor reads event.priority");
        }
        let mut rules = BTreeMap::new();
        for (lane, text) in &wishes.value {
            match ChannelRule::compile(Some(&text.value)) {
                Ok(rule) => drop(rules.insert(*lane, rule)),
                Err(problems) => problems.iter().for_each(|problem| self.report.add(&text.place, problem)),
            }
        }
        Wishes::By(rules)
    }

    fn audience(&mut self, declared: &DeclaredType) -> AudienceRules {
        let requires = match &declared.requires {
            DeclaredRequires::Labels(labels) => {
                Requires::Labels(labels.iter().map(|label| label.value.clone()).collect())
            }
            DeclaredRequires::Rule(text) => {
                self.rule(text).map_or_else(|| Requires::Labels(BTreeSet::new()), Requires::Rule)
            }
        };
        AudienceRules {
            requires,
            only_users: declared.only_users.as_ref().and_then(|text| self.rule(text)),
            except_author: declared.except_author.as_ref().map_or(ExceptAuthor::Never, |text| self.except_author(text)),
            regions: declared.regions.as_ref().and_then(|text| self.rule(text)),
        }
    }

    fn except_author(&mut self, text: &Located<String>) -> ExceptAuthor {
        match text.value.trim() {
            "true" => ExceptAuthor::Always,
            "false" => ExceptAuthor::Never,
            _ => self.rule(text).map_or(ExceptAuthor::Always, ExceptAuthor::Rule),
        }
    }

    /// `never`, a duration such as `10s`, `5m`, `1h` or `2d`, or a rule.
    fn expires(&mut self, text: &Located<String>) -> Expiry {
        if text.value == "never" {
            return Expiry::Never;
        }
        match humantime::parse_duration(&text.value) {
            Ok(after) => Expiry::After(after),
            Err(error) if text.value.chars().all(|c| c.is_alphanumeric() || c == ' ') => {
                self.report.add(&text.place, format!("{:?} is neither never nor a duration: {error}", text.value));
                Expiry::Never
            }
            Err(_) => self.shown(text, "the expiry").map_or(Expiry::Never, Expiry::Rule),
        }
    }

    /// What goes to every reader: nothing of a labelled field may be in it.
    fn shown(&mut self, text: &Located<String>, what: &str) -> Option<Rule> {
        let rule = self.rule(text)?;
        let none = BTreeSet::new();
        let labelled = self.schema.map_or(&none, |schema| &schema.labelled);
        if let Some(read) = rule.reads().of("payload") {
            for field in labelled.iter().filter(|field| read.reads(field)) {
                self.report.add(&text.place, format!("{what} is shown to every reader, and {field} carries labels"));
            }
        }
        Some(rule)
    }
}
