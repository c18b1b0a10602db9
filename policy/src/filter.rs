//! Filters: what a client wants of what it may see, one CEL expression over the event as it would get it.
//!
//! In: a client's text, then a delivery and the view that its reader gets. Out: whether it is wanted. Nothing but that view is ever looked
//! at, so a filter tells its client nothing that the stream would not. Clients are not trusted: what a filter may call is a list, nothing
//! repeats, and its text is short, so that its cost is a small multiple of the view's size.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, Value};
use schemas::channel::Channel;
use schemas::delivery::Delivery;
use schemas::lane::Lane;

use crate::channel_rule::{channel_holds, channel_value};
use crate::functions;
use crate::reads::{Holds, Read, Variables};
use crate::rule::Rule;
use crate::value::{self, CelValue};

/// A filter's text.
pub const FILTER_BYTES: usize = 1_024;
/// Items of a list that is written in a filter.
pub const FILTER_LIST: usize = 32;

/// What a filter may call: operators, and functions whose result is no longer than what they are given.
const CALLS: [&str; 47] = [
    "_==_",
    "_!=_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "_&&_",
    "_||_",
    "!_",
    "@in",
    "_?_:_",
    "_[_]",
    "-_",
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "lowerAscii",
    "upperAscii",
    "trim",
    "indexOf",
    "lastIndexOf",
    "substring",
    "charAt",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
    "dyn",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "getDayOfYear",
];
/// The fields of `event`.
const EVENT_FIELDS: [&str; 7] = ["id", "type", "source", "subject", "tenant", "lane", "time"];

/// A compiled filter. Two of the same text are equal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Filter(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    text: String,
    rule: Rule,
}

/// The text is no filter; in words for the client, who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct FilterError {
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

impl Filter {
    /// Compiles a client's text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES {
            return Err(FilterError::one(format!("it has {} bytes, more than {FILTER_BYTES}", text.len())));
        }
        let rule = Rule::compile(text, &variables()).map_err(|problems| FilterError { problems })?;
        let mut bounds = Bounds::default();
        bounds.visit(rule.expression());
        if !rule.literal_results().iter().all(|literal| matches!(literal, LiteralValue::Boolean(_))) {
            bounds.problems.push("a filter is true or false".to_owned());
        }
        match bounds.problems.is_empty() {
            true => Ok(Self(Arc::new(Compiled { text: text.to_owned(), rule }))),
            false => Err(FilterError { problems: bounds.problems }),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether a view of a delivery is wanted. One that cannot be told is not.
    #[must_use]
    pub fn passes(&self, delivery: &Delivery, view: usize) -> bool {
        let rule = &self.0.rule;
        let Some(view) = delivery.views.get(view) else { return false };
        let data = match rule.reads().of("data").map(|read| (serde_json::from_slice(&view.data), read)) {
            Some((Ok(data), read)) => Some((data, read)),
            Some((Err(_), _)) => return false,
            None => None,
        };
        let mut context: Context<'_, '_> = functions::context();
        if let Some((data, read)) = &data {
            context.add_variable_as_val("data", value::of_object(data, read));
        }
        if let Some(read) = rule.reads().of("event") {
            context.add_variable_as_val("event", event_value(delivery, read));
        }
        if let Some(read) = rule.reads().of("channel") {
            let channel: &Channel = &delivery.channel;
            context.add_variable_as_val("channel", channel_value(channel.kind(), channel.id(), read));
        }
        matches!(rule.evaluate(&context), Ok(Value::Bool(true)))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl FilterError {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

/// What a filter reads: the event as its client gets it.
fn variables() -> Variables {
    Variables::from([("data", Holds::Anything), ("event", Holds::fields(&EVENT_FIELDS)), ("channel", channel_holds())])
}

fn event_value<'v>(delivery: &'v Delivery, read: &Read) -> CelValue<'v> {
    let mut fields = vec![
        ("id", value::text(Some(delivery.id.as_str()))),
        ("type", value::text(Some(delivery.event_type.as_str()))),
        ("source", value::text(Some(delivery.source.as_str()))),
        ("subject", value::text(Some(delivery.channel.as_str()))),
        ("tenant", value::text(Some(delivery.tenant.as_str()))),
        ("lane", value::text(Some(Lane::as_str(delivery.lane)))),
        ("time", value::moment(delivery.time.millis())),
    ];
    fields.retain(|(name, _)| read.reads(name));
    value::map(fields)
}

/// One walk over a filter, for what makes it dear. Its depth was bounded before.
#[derive(Default)]
struct Bounds {
    problems: Vec<String>,
}

impl Bounds {
    fn visit(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Call(call) => self.call(call),
            Expr::Select(select) => {
                if select.test {
                    self.problems.push(format!("no macros: write `'{}' in …` for has()", select.field));
                }
                self.visit(&select.operand);
            }
            Expr::Comprehension(_) => {
                self.problems.push("no macros (all, exists, filter, map and the like)".to_owned())
            }
            Expr::List(list) => {
                if list.elements.len() > FILTER_LIST {
                    self.problems.push(format!("a list has {} items, more than {FILTER_LIST}", list.elements.len()));
                }
                list.elements.iter().for_each(|element| self.visit(element));
            }
            Expr::Map(map) => {
                if map.entries.len() > FILTER_LIST {
                    self.problems.push(format!("a map has {} entries, more than {FILTER_LIST}", map.entries.len()));
                }
                map.entries.iter().for_each(|entry| self.entry(&entry.expr));
            }
            Expr::Struct(literal) => literal.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn call(&mut self, call: &CallExpr) {
        if !CALLS.contains(&call.func_name.as_str()) {
            self.problems.push(format!("`{}` is not for filters", call.func_name));
        }
        call.target.iter().for_each(|target| self.visit(target));
        call.args.iter().for_each(|argument| self.visit(argument));
    }
}
