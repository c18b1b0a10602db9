//! What a rule reads: its variables, their fields, and the functions that it calls, found before it runs.
//!
//! In: a parsed expression and the variables that there are. Out: what it reads, or everything that does not exist. CEL's own
//! list of references counts the names that a comprehension binds, and knows no fields; this walk does not and does.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};

use crate::functions;

/// A rule may be nested this deep, `a + b + c` counting as two: a tenth of what CEL evaluates on the same stack.
pub const RULE_DEPTH: usize = 100;

/// What a variable holds, for the check of fields.
#[derive(Debug, Clone)]
pub(crate) enum Holds {
    /// Exactly these fields.
    Fields(BTreeSet<String>),
    /// Anything.
    Anything,
}

/// The variables that a rule may read.
pub(crate) type Variables = BTreeMap<&'static str, Holds>;

/// What a rule reads of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// These fields only.
    Fields(BTreeSet<String>),
    /// All of it.
    Whole,
}

/// What a rule reads, by variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    variables: BTreeMap<&'static str, Read>,
    /// Every text that is written in the rule.
    texts: BTreeSet<String>,
}

impl Holds {
    /// Exactly these fields.
    pub(crate) fn fields(names: &[&str]) -> Self {
        Self::Fields(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

/// Walks over the expression.
///
/// # Errors
/// Everything that it names and that there is not.
pub(crate) fn survey(expression: &IdedExpr, variables: &Variables) -> Result<Reads, Vec<String>> {
    let mut survey = Survey { variables, bound: Vec::new(), reads: Reads::default(), problems: Vec::new(), depth: 0 };
    survey.visit(expression);
    if survey.problems.is_empty() { Ok(survey.reads) } else { Err(survey.problems) }
}

impl Reads {
    /// What is read of a variable; none where it is not read at all.
    pub(crate) fn of(&self, variable: &str) -> Option<&Read> {
        self.variables.get(variable)
    }

    /// Every text that is written in the rule.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// Adds what another rule reads.
    pub(crate) fn join(&mut self, other: &Self) {
        self.texts.extend(other.texts.iter().cloned());
        for (variable, read) in &other.variables {
            match read {
                Read::Whole => self.whole(variable),
                Read::Fields(fields) => fields.iter().for_each(|field| self.field(variable, field)),
            }
        }
    }

    fn whole(&mut self, variable: &'static str) {
        self.variables.insert(variable, Read::Whole);
    }

    fn field(&mut self, variable: &'static str, field: &str) {
        if let Read::Fields(fields) = self.variables.entry(variable).or_insert_with(|| Read::Fields(BTreeSet::new())) {
            fields.insert(field.to_owned());
        }
    }
}

impl Read {
    /// Whether a field is read.
    pub(crate) fn reads(&self, field: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Fields(fields) => fields.contains(field),
        }
    }
}

/// One walk over an expression.
struct Survey<'rule> {
    variables: &'rule Variables,
    /// Names that comprehensions bind, innermost last.
    bound: Vec<&'rule str>,
    reads: Reads,
    problems: Vec<String>,
    depth: usize,
}

impl<'rule> Survey<'rule> {
    fn visit(&mut self, expression: &'rule IdedExpr) {
        if self.depth == RULE_DEPTH {
            return self.problems.push(format!("the rule is nested deeper than {RULE_DEPTH}"));
        }
        self.depth += 1;
        self.expression(&expression.expr);
        self.depth -= 1;
    }

    fn expression(&mut self, expression: &'rule Expr) {
        match expression {
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(literal) => {
                self.problems.push(format!("unknown type `{}`", literal.type_name));
                literal.entries.iter().for_each(|entry| self.entry(&entry.expr));
            }
            Expr::Literal(LiteralValue::String(text)) => drop(self.reads.texts.insert(text.inner().to_owned())),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &'rule EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    /// A variable of the catalogue's that no comprehension hides.
    fn variable(&self, name: &str) -> Option<(&'static str, &'rule Holds)> {
        if self.bound.contains(&name) {
            return None;
        }
        self.variables.get_key_value(name).map(|(name, holds)| (*name, holds))
    }

    fn identifier(&mut self, name: &str) {
        if let Some((variable, _)) = self.variable(name) {
            return self.reads.whole(variable);
        }
        let known = name.starts_with('@') || self.bound.contains(&name);
        if !known && functions::environment().types().find_type(name).is_none() {
            let variables: Vec<&str> = self.variables.keys().copied().collect();
            self.problems.push(format!("unknown variable `{name}`; a rule here reads {}", variables.join(", ")));
        }
    }

    fn select(&mut self, select: &'rule SelectExpr) {
        let variable = as_identifier(&select.operand).and_then(|name| self.variable(name));
        let Some((variable, holds)) = variable else { return self.visit(&select.operand) };
        self.reads.field(variable, &select.field);
        match holds {
            Holds::Anything => {}
            Holds::Fields(fields) if fields.contains(&select.field) => {}
            Holds::Fields(fields) => {
                let known: Vec<&str> = fields.iter().map(String::as_str).collect();
                self.problems.push(format!(
                    "`{variable}` has no field `{}`; it has {}",
                    select.field,
                    known.join(", ")
                ));
            }
        }
    }

    fn call(&mut self, call: &'rule CallExpr) {
        // `strings.quote(x)` is a function of that whole name, not `quote` on a variable `strings`.
        let namespace = call.target.as_deref().and_then(as_identifier);
        let qualified = namespace.map(|namespace| format!("{namespace}.{}", call.func_name));
        if !qualified.is_some_and(|name| functions::exists(&name)) {
            if is_name(&call.func_name) && !functions::exists(&call.func_name) {
                self.problems.push(format!("unknown function `{}`", call.func_name));
            }
            call.target.iter().for_each(|target| self.visit(target));
        }
        call.args.iter().for_each(|argument| self.visit(argument));
    }

    fn comprehension(&mut self, comprehension: &'rule ComprehensionExpr) {
        self.visit(&comprehension.iter_range);
        self.visit(&comprehension.accu_init);
        let outer = self.bound.len();
        self.bound.push(&comprehension.accu_var);
        self.visit(&comprehension.result);
        self.bound.push(&comprehension.iter_var);
        self.bound.extend(comprehension.iter_var2.as_deref());
        self.visit(&comprehension.loop_cond);
        self.visit(&comprehension.loop_step);
        self.bound.truncate(outer);
    }
}

fn as_identifier(expression: &IdedExpr) -> Option<&str> {
    if let Expr::Ident(name) = &expression.expr { Some(name) } else { None }
}

/// Whether it is a name that somebody wrote; the parser's own operators are `_&&_`, `@in` and the like.
fn is_name(function: &str) -> bool {
    function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
