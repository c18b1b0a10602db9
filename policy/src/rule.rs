//! A rule: one CEL expression, checked when a catalogue is loaded, so that what it reads exists.
//!
//! In: the expression's text and the place in which it stands. Out: a [`Rule`] that says what it reads and evaluates on a
//! context. CEL itself compiles unknown variables, fields and functions and fails at run time; a rule does not compile then.
//! Rules are written by operators, not by clients: their cost is bounded by their length and by the size of an event.

use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, ParseError, ParseErrors, Program, Value};

use crate::functions;
use crate::reads::{self, Reads, Variables};

/// A rule's text may have this many bytes: what CEL's parser takes on a thread's usual 2 MiB of stack, twice over.
pub const RULE_BYTES: usize = 2 * 1024;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    program: Program,
    reads: Reads,
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
        let program = functions::environment().compile(text).map_err(|errors| not_cel(&errors))?;
        let reads = reads::survey(program.expression(), variables)?;
        Ok(Self { program, reads })
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

    /// Evaluates to texts; one text is a list of one, null is none, anything else a failure.
    pub(crate) fn evaluate_texts(&self, context: &Context<'_, '_>) -> Result<Option<Vec<String>>, String> {
        let given = self.evaluate(context)?;
        if given == Value::Null {
            return Ok(None);
        }
        let items = if let Value::List(items) = given { items } else { Arc::new(vec![given]) };
        let text = |item: &Value| {
            if let Value::String(text) = item {
                return Ok(text.as_ref().clone());
            }
            Err(format!("it gives {}, not texts", item.type_of()))
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// The expression.
    pub(crate) fn expression(&self) -> &IdedExpr {
        self.program.expression()
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

/// The parser's words, without its list of everything that might have stood there.
fn not_cel(errors: &ParseErrors) -> Vec<String> {
    let words = |error: &ParseError| {
        let words = error.msg.split(" expecting ").next().unwrap_or_default();
        format!("not CEL: {words} (column {})", error.pos.1)
    };
    errors.errors.iter().map(words).collect()
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
    use crate::reads::{Holds, Read};

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
