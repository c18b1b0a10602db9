//! A rule: one CEL expression, checked when a catalogue is loaded, so that what it reads exists.
//!
//! In: the expression's text and the place in which it stands. Out: a [`Rule`] that says what it reads and evaluates on a
//! context. CEL itself compiles unknown variables, fields and functions and fails at run time; a rule does not compile then.
//! Rules are written by operators, not by clients: their cost is bounded by their length and by the size of an event.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::{Context, ExecutionError, Program, Value};

use crate::functions;

/// A rule's text may have this many bytes.
pub const RULE_BYTES: usize = 4 * 1024;

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
pub(crate) struct Reads(BTreeMap<&'static str, Read>);

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    program: Program,
    reads: Reads,
}

impl Holds {
    /// Exactly these fields.
    pub(crate) fn fields(names: &[&str]) -> Self {
        Self::Fields(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl Rule {
    /// Compiles and checks.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn compile(text: &str, variables: &Variables) -> Result<Self, Vec<String>> {
        if text.len() > RULE_BYTES {
            return Err(vec![format!("the rule has {} bytes, more than {RULE_BYTES}", text.len())]);
        }
        let program = functions::environment().compile(text).map_err(|errors| {
            let words = errors.errors.iter().map(|error| format!("not CEL: {} (column {})", error.msg, error.pos.1));
            words.collect::<Vec<_>>()
        })?;
        let mut survey = Survey { variables, bound: Vec::new(), reads: Reads::default(), problems: Vec::new() };
        survey.visit(program.expression());
        let Survey { reads, problems, .. } = survey;
        if problems.is_empty() { Ok(Self { program, reads }) } else { Err(problems) }
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Evaluates; a failure is told in words that hold no value.
    pub(crate) fn evaluate(&self, context: &Context<'_, '_>) -> Result<Value, String> {
        self.program.execute(context).map_err(|error| describe(&error))
    }

    /// The literals that can be the result, where the rule is a literal or a choice between such.
    pub(crate) fn literal_results(&self) -> Vec<&LiteralValue> {
        let mut literals = Vec::new();
        let mut open = vec![self.program.expression()];
        while let Some(expression) = open.pop() {
            match &expression.expr {
                Expr::Literal(literal) => literals.push(literal),
                Expr::Call(call) if call.func_name == "_?_:_" => open.extend(call.args.iter().skip(1)),
                Expr::Unspecified
                | Expr::Call(_)
                | Expr::Comprehension(_)
                | Expr::Ident(_)
                | Expr::List(_)
                | Expr::Map(_)
                | Expr::Select(_)
                | Expr::Struct(_) => {}
            }
        }
        literals
    }
}

impl Reads {
    /// What is read of a variable; none where it is not read at all.
    pub(crate) fn of(&self, variable: &str) -> Option<&Read> {
        self.0.get(variable)
    }

    /// Adds what another rule reads.
    pub(crate) fn join(&mut self, other: &Self) {
        for (variable, read) in &other.0 {
            match read {
                Read::Whole => self.whole(variable),
                Read::Fields(fields) => fields.iter().for_each(|field| self.field(variable, field)),
            }
        }
    }

    fn whole(&mut self, variable: &'static str) {
        self.0.insert(variable, Read::Whole);
    }

    fn field(&mut self, variable: &'static str, field: &str) {
        if let Read::Fields(fields) = self.0.entry(variable).or_insert_with(|| Read::Fields(BTreeSet::new())) {
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
}

impl<'rule> Survey<'rule> {
    fn visit(&mut self, expression: &'rule IdedExpr) {
        match &expression.expr {
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
        let variable = match &select.operand.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => None,
        };
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
        let qualified = call.target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(namespace) => Some(format!("{namespace}.{}", call.func_name)),
            _ => None,
        });
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

/// Whether it is a name that somebody wrote; the parser's own operators are `_&&_`, `@in` and the like.
fn is_name(function: &str) -> bool {
    function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What failed, without any value: values are payload.
fn describe(error: &ExecutionError) -> String {
    if let ExecutionError::NoSuchOverload(overload) = error {
        return overload.to_string();
    }
    let words = match error {
        ExecutionError::NoSuchKey(_) => "a field is absent",
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        ExecutionError::Overflow(..) => "a number is out of range",
        ExecutionError::FunctionError { function, .. } => return format!("the function {function} failed"),
        #[allow(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum; what it says may hold values")]
        _ => "a value is not of the type that is needed",
    };
    words.to_owned()
}
