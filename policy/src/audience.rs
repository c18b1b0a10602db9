//! Who gets an event at all: required labels, regions, users, and whether its author is left out.
//!
//! In: the rules of a type, and an event as rules see it. Out: an [`Audience`], data on the event that a reader is compared with. A rule
//! that fails, or names nobody, refuses the event: nothing is ever shown because a rule did not know.

use cel::{Context, Value};
use schemas::event::Attributes;
use schemas::id::Label;
use schemas::limits;

use crate::event_rule::RouteError;
use crate::rule::Rule;
use crate::view::LabelSet;

/// Labels, users or regions that a rule may give for one event.
pub const AUDIENCE_TEXTS: usize = 1_000;

/// The rules of a type.
#[derive(Debug)]
pub(crate) struct AudienceRules {
    pub(crate) requires: Requires,
    pub(crate) only_users: Option<Rule>,
    pub(crate) except_author: ExceptAuthor,
    pub(crate) regions: Option<Rule>,
}

/// How the required labels are found.
#[derive(Debug)]
pub(crate) enum Requires {
    /// Always these.
    Labels(LabelSet),
    /// By rule; null for none.
    Rule(Rule),
}

/// Whether an event's author gets it.
#[derive(Debug)]
pub(crate) enum ExceptAuthor {
    /// They do.
    Never,
    /// They do not.
    Always,
    /// By rule.
    Rule(Rule),
}

/// Who gets an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) required_labels: Vec<Label>,
    pub(crate) only_users: Vec<String>,
    pub(crate) except_author: Option<String>,
    pub(crate) regions: Vec<String>,
}

impl AudienceRules {
    /// Every rule among them.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        let requires = match &self.requires {
            Requires::Rule(rule) => Some(rule),
            Requires::Labels(_) => None,
        };
        let except_author = match &self.except_author {
            ExceptAuthor::Rule(rule) => Some(rule),
            ExceptAuthor::Never | ExceptAuthor::Always => None,
        };
        [requires, self.only_users.as_ref(), except_author, self.regions.as_ref()].into_iter().flatten()
    }

    /// Labels that the rule of `requires` may name: every text in it that can be one.
    pub(crate) fn labels(&self) -> impl Iterator<Item = Label> {
        let rule = match &self.requires {
            Requires::Rule(rule) => Some(rule),
            Requires::Labels(_) => None,
        };
        rule.into_iter().flat_map(|rule| rule.reads().texts()).filter_map(|text| Label::parse(text).ok())
    }

    /// Labels that every event of the type requires, where no rule says them.
    pub(crate) fn requires_of_all(&self) -> Option<&LabelSet> {
        match &self.requires {
            Requires::Labels(labels) => Some(labels),
            Requires::Rule(_) => None,
        }
    }

    /// Decides on an event.
    pub(crate) fn decide(&self, attributes: &Attributes, context: &Context<'_, '_>) -> Result<Audience, RouteError> {
        let except_author = self.leaves_author_out(context)?;
        Ok(Audience {
            required_labels: self.required_labels(context)?,
            only_users: named("only_users", self.only_users.as_ref(), context)?,
            except_author: attributes.author.clone().filter(|_| except_author),
            regions: named("regions", self.regions.as_ref(), context)?,
        })
    }

    fn required_labels(&self, context: &Context<'_, '_>) -> Result<Vec<Label>, RouteError> {
        match &self.requires {
            Requires::Labels(labels) => Ok(labels.iter().cloned().collect()),
            Requires::Rule(rule) => {
                let words = texts("requires", rule, context)?.unwrap_or_default();
                let labels: Result<Vec<Label>, _> = words.iter().map(|word| Label::parse(word)).collect();
                labels.map_err(|_| RouteError::rule("requires", "it gives what is no label"))
            }
        }
    }

    fn leaves_author_out(&self, context: &Context<'_, '_>) -> Result<bool, RouteError> {
        match &self.except_author {
            ExceptAuthor::Never => Ok(false),
            ExceptAuthor::Always => Ok(true),
            ExceptAuthor::Rule(rule) => match rule.evaluate(context) {
                Ok(Value::Bool(except)) => Ok(except),
                Ok(other) => {
                    Err(RouteError::rule("except_author", format!("it gives {}, not a boolean", other.type_of())))
                }
                Err(detail) => Err(RouteError::rule("except_author", detail)),
            },
        }
    }
}

/// What a rule names; without a rule, and where it gives null, everybody. A rule that names nobody is a mistake: in a delivery no name
/// at all means everybody.
fn named(name: &'static str, rule: Option<&Rule>, context: &Context<'_, '_>) -> Result<Vec<String>, RouteError> {
    let Some(rule) = rule else { return Ok(Vec::new()) };
    match texts(name, rule, context)? {
        None => Ok(Vec::new()),
        Some(texts) if texts.is_empty() || texts.iter().any(String::is_empty) => {
            Err(RouteError::rule(name, "it names nobody"))
        }
        Some(texts) => Ok(texts),
    }
}

/// Sorted, each once.
fn texts(name: &'static str, rule: &Rule, context: &Context<'_, '_>) -> Result<Option<Vec<String>>, RouteError> {
    let given = rule.evaluate_texts(context).map_err(|detail| RouteError::rule(name, detail))?;
    let Some(mut texts) = given else { return Ok(None) };
    texts.sort_unstable();
    texts.dedup();
    if texts.len() > AUDIENCE_TEXTS || texts.iter().any(|text| text.len() > limits::ATTRIBUTE_BYTES) {
        let detail =
            format!("it gives more than {AUDIENCE_TEXTS} texts, or longer ones than {} bytes", limits::ATTRIBUTE_BYTES);
        return Err(RouteError::rule(name, detail));
    }
    Ok(Some(texts))
}
