//! Channel rules: who may subscribe to a channel, and who may publish to it.
//!
//! In: claims and a channel. Out: yes or no. A rule that is absent says no; one that fails, or gives anything but `true`,
//! says no, too.

use std::collections::BTreeSet;

use cel::Value;
use cel::common::ast::LiteralValue;
use schemas::budget::Rate;
use schemas::id::Label;

use crate::claims::Claims;
use crate::functions;
use crate::grants::History;
use crate::reads::{Holds, Read, Variables};
use crate::rule::Rule;
use crate::telling::Tellings;
use crate::value::{self, CelValue};

/// Why a channel is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy says no.
    #[error("forbidden")]
    Forbidden,
    /// No catalogue declares the kind.
    #[error("unknown_kind")]
    UnknownKind,
}

/// The rules of one kind of channel.
#[derive(Debug)]
pub(crate) struct ChannelPolicy {
    pub(crate) subscribe: ChannelRule,
    pub(crate) publish: ChannelRule,
    pub(crate) history: History,
    /// What its channels tell of their people.
    pub(crate) tells: Tellings,
    /// What a stream is given of one channel's low events.
    pub(crate) budget: Option<Rate>,
}

/// One rule; the literals need no evaluation.
#[derive(Debug)]
pub(crate) enum ChannelRule {
    Always,
    Never,
    Rule(Rule),
}

/// What is asked: `id` is `*` for all channels of the kind, and `labels` are all that the bearer holds.
pub(crate) struct Asked<'a> {
    pub(crate) claims: &'a Claims,
    pub(crate) labels: &'a BTreeSet<Label>,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
}

impl ChannelRule {
    /// Compiles; no text says no.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn compile(text: Option<&str>) -> Result<Self, Vec<String>> {
        let rule = match text.map(str::trim) {
            None | Some("false") => return Ok(Self::Never),
            Some("true") => return Ok(Self::Always),
            Some(text) => Rule::compile(text, &variables())?,
        };
        if rule.literal_results().iter().all(|literal| matches!(literal, LiteralValue::Boolean(_))) {
            Ok(Self::Rule(rule))
        } else {
            Err(vec!["a channel's rule is true or false".to_owned()])
        }
    }

    pub(crate) fn allows(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Rule(rule) => evaluate(rule, asked),
        }
    }
}

fn evaluate(rule: &Rule, asked: &Asked<'_>) -> bool {
    let mut context = functions::context();
    if let Some(read) = rule.reads().of("claims") {
        context.add_variable_as_val("claims", claims_value(asked, read));
    }
    if let Some(read) = rule.reads().of("channel") {
        context.add_variable_as_val("channel", channel_value(asked.kind, asked.id, read));
    }
    matches!(rule.evaluate(&context), Ok(Value::Bool(true)))
}

/// What a channel's rule reads.
fn variables() -> Variables {
    Variables::from([
        ("claims", Holds::fields(&["sub", "tenant", "roles", "labels", "regions", "channels"])),
        ("channel", channel_holds()),
    ])
}

/// The fields of `channel`.
pub(crate) fn channel_holds() -> Holds {
    Holds::fields(&["kind", "id", "parts"])
}

/// `channel`: its kind, its id, and the parts of the id between slashes.
pub(crate) fn channel_value<'v>(kind: &'v str, id: &'v str, read: &Read) -> CelValue<'v> {
    let mut fields = vec![("kind", value::text(Some(kind))), ("id", value::text(Some(id)))];
    if read.reads("parts") {
        fields.push(("parts", value::texts(id.split('/'))));
    }
    value::map(fields)
}

fn claims_value<'v>(asked: &Asked<'v>, read: &Read) -> CelValue<'v> {
    let claims = asked.claims;
    let mut fields = vec![
        ("sub", value::text(claims.sub.as_deref())),
        ("tenant", value::text(Some(claims.tenant.as_str()))),
        ("roles", value::texts(claims.roles.iter().map(String::as_str))),
    ];
    if read.reads("labels") {
        fields.push(("labels", value::texts(asked.labels.iter().map(Label::as_str))));
    }
    if read.reads("regions") {
        fields.push(("regions", value::texts(claims.regions.iter().map(String::as_str))));
    }
    if read.reads("channels") {
        let patterns = |list: &'v Option<Vec<String>>| match list {
            Some(list) => value::texts(list.iter().map(String::as_str)),
            None => value::text(None),
        };
        let lists =
            [("subscribe", patterns(&claims.channels.subscribe)), ("publish", patterns(&claims.channels.publish))];
        fields.push(("channels", value::map(lists)));
    }
    value::map(fields)
}
