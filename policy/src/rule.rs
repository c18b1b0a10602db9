//! A rule: one CEL expression, checked when a catalogue is loaded, so that what it reads exists.
//!
//! In: the expression's text and the place in which it stands. Out: a [`Rule`] that says what it reads and evaluates on a
//! context. CEL itself compiles unknown variables, fields and functions and fails at run time; a rule does not compile then.
//! Rules are written by operators, not by clients: their cost is bounded by their length and by the size of an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::{Context, ExecutionError, Program, Value};

use crate::functions;

/// A rule's text may have this many bytes: what CEL's parser takes on a thread's usual 2 MiB of stack, twice over.
pub const RULE_BYTES: usize = 2 * 1024;
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
        let mut survey =
            Survey { variables, bound: Vec::new(), reads: Reads::default(), problems: Vec::new(), depth: 0 };
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

    /// Evaluates to a text; null is none, anything else a failure.
    pub(crate) fn evaluate_text(&self, context: &Context<'_, '_>) -> Result<Option<Arc<String>>, String> {
        let result = self.evaluate(context)?;
        if let Value::String(text) = result {
            return Ok(Some(text));
        }
        if result == Value::Null { Ok(None) } else { Err(format!("it gives {}, not a text", result.type_of())) }
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

/// What failed, without any value: values are payload.
fn describe(error: &ExecutionError) -> String {
    if let ExecutionError::NoSuchOverload(overload) = error {
        return overload.to_string();
    }
    if let ExecutionError::FunctionError { function, .. } = error {
        return format!("the function {function} failed");
    }
    let words = if matches!(error, ExecutionError::NoSuchKey(_)) {
        "a field is absent"
    } else if matches!(error, ExecutionError::IndexOutOfBounds(_)) {
        "an index is out of bounds"
    } else if matches!(error, ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_)) {
        "a division by zero"
    } else if matches!(error, ExecutionError::Overflow(..)) {
        "a number is out of range"
    } else {
        "a value is not of the type that is needed"
    };
    words.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables::from([
            ("payload", Holds::fields(&["page", "n", "tags"])),
            ("event", Holds::fields(&["id"])),
            ("line", Holds::Anything),
        ])
    }

    fn problems(text: &str) -> Vec<String> {
        Rule::compile(text, &variables()).err().unwrap_or_default()
    }

    #[test]
    fn what_a_rule_reads_is_known_before_it_runs() {
        let reads = |text: &str| Rule::compile(text, &variables()).unwrap().reads;
        let fields = |names: &[&str]| Read::Fields(names.iter().map(|name| (*name).to_owned()).collect());
        let both = reads("payload.n > 1 && has(payload.page) ? event.id : payload.tags.map(n, n + 'x')[0]");
        assert_eq!(both.of("payload"), Some(&fields(&["n", "page", "tags"])));
        assert_eq!(both.of("event"), Some(&fields(&["id"])));
        assert_eq!(both.of("line"), None);
        assert_eq!(reads("size(payload) + payload.n").of("payload"), Some(&Read::Whole));
        assert_eq!(reads("payload['page']").of("payload"), Some(&Read::Whole));
        assert_eq!(reads("line.a.b.c").of("line"), Some(&fields(&["a"])));
        assert_eq!(reads("[1].exists(payload, payload == 1)").of("payload"), None, "the name is bound there");
    }

    #[test]
    fn what_does_not_exist_does_not_compile() {
        for (text, problem) in [
            ("payload.isRobo", "`payload` has no field `isRobo`; it has n, page, tags"),
            ("has(payload.x)", "`payload` has no field `x`; it has n, page, tags"),
            ("payload.tags.exists(t, t.x == payload.x)", "`payload` has no field `x`; it has n, page, tags"),
            ("payloat.n", "unknown variable `payloat`; a rule here reads event, line, payload"),
            ("payload.tags.all(t, u)", "unknown variable `u`; a rule here reads event, line, payload"),
            ("medium", "unknown variable `medium`; a rule here reads event, line, payload"),
            ("lower(payload.page)", "unknown function `lower`"),
            ("payload.page.lower()", "unknown function `lower`"),
            ("has(payload)", "not CEL: invalid argument to has() macro (column 5)"),
            ("Edit{page: 'x'}", "unknown type `Edit`"),
        ] {
            assert_eq!(problems(text), [problem], "{text}");
        }
        assert!(problems("payload.n >").iter().all(|problem| problem.starts_with("not CEL: ")));
        assert_eq!(problems("a || b || f(c)").len(), 4, "all at once");
        assert_eq!(problems(&" ".repeat(RULE_BYTES + 1)), ["the rule has 2049 bytes, more than 2048"]);
    }

    #[test]
    fn a_rule_of_any_shape_fits_the_stack() {
        let shapes =
            ["(", "[", "!", "-", "1+", "line.", "line[", "true&&", "true||", "line.a?1:", "size(", "{1:", "[1].map(x,"];
        for shape in shapes {
            for end in ["", "1", "true", "x"] {
                let text = shape.repeat((RULE_BYTES - end.len()) / shape.len()) + end;
                let closed = text.len() / shape.len();
                let _ = Rule::compile(&text, &variables()).map(|rule| rule.evaluate(&functions::context()));
                let closing = shape.chars().next_back().map_or("", |c| match c {
                    '(' | ',' => ")",
                    '[' => "]",
                    _ => "}",
                });
                let nested = shape.repeat(closed / 2) + end + &closing.repeat(closed / 2);
                let _ = Rule::compile(&nested, &variables()).map(|rule| rule.evaluate(&functions::context()));
            }
        }
    }

    #[test]
    fn what_exists_compiles() {
        for text in [
            "payload.n + 1 > 2 && payload.page.startsWith('a') && 'x' in payload.tags",
            "payload.page.lowerAscii().split('-')[0].substring(1)",
            "hash([payload.page, event.id])",
            "type(payload.n) == int && string(payload.n).size() == size('x')",
            "strings.quote(payload.page)",
            "timestamp('2015-09-12T00:00:00Z') < timestamp(event.id)",
            "payload.tags.filter(t, t != '').map(t, t + '!').exists_one(t, t.matches('^a'))",
            "optional.of(payload.n).hasValue()",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_failure_never_says_a_value() {
        for text in [
            "line.page + 1",
            "line.nothing == 'x'",
            "line.page == 'a' && 1 / 0 == 1",
            "line['secret']",
            "int(line.page)",
        ] {
            let rule = Rule::compile(text, &variables()).unwrap();
            let line = serde_json::json!({"page": "secret"});
            let mut context = functions::context();
            context.add_variable_as_val("line", crate::value::of_object(&line, rule.reads().of("line").unwrap()));
            if let Err(words) = rule.evaluate(&context) {
                assert!(!words.contains("secret"), "{text}: {words}");
            }
        }
    }

    #[test]
    fn hashes_keep_texts_apart() {
        let hash = |text: &str| Rule::compile(text, &variables()).unwrap().evaluate(&functions::context()).unwrap();
        assert_ne!(hash("hash(['ab', 'c'])"), hash("hash(['a', 'bc'])"));
        assert_ne!(hash("hash([])"), hash("hash([''])"));
        assert_eq!(hash("hash(['a', 'b']) + '/' + hash(['a', 'b'])").type_of().to_string(), "string");
        let wrong = Rule::compile("hash([1])", &variables()).unwrap().evaluate(&functions::context());
        assert_eq!(wrong, Err("the function hash failed".to_owned()));
    }
}
