//! Rego by `regorus`: prepared once, evaluated by copies that each do one question at a time.
//!
//! Its interpreter, not its virtual machine, though that is faster: in the machine a function that fails, and a
//! rule with two values, are merely undefined, and `not` makes a yes of that.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regorus::languages::rego::compiler::Compiler;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{LimitError, Value};

use super::forbidden;
use super::pool::Pool;
use super::{Cause, Objection, RegoError};
use crate::config::{RegoFile, RegoSettings};

/// So many steps pass between two looks at the clock.
const LOOK: NonZeroU32 = NonZeroU32::MIN.saturating_add(31);
/// Longest text of a policy's own, or of the interpreter's, in characters.
pub(super) const TEXT: usize = 200;

/// A policy with its data, ready for questions.
#[derive(Debug)]
pub(super) struct Engine {
    prepared: regorus::Engine,
    timeout: Duration,
    idle: Pool<regorus::Engine>,
}

impl Engine {
    pub(super) fn compile(settings: &RegoSettings) -> Result<Self, RegoError> {
        let mut engine = regorus::Engine::new();
        // A function that fails would be undefined otherwise.
        engine.set_strict_builtin_errors(true);
        for file in &settings.files {
            let name = file.path.display().to_string();
            let added = engine.add_policy(name, file.text.to_string());
            added.map_err(|error| placed(&file.path, &error))?;
        }
        for file in &settings.data {
            let added = document(file).and_then(|value| {
                engine.add_data(value).map_err(|error| placed(&file.path, &error))
            });
            added?;
        }
        let first = settings.files.first().map_or_else(|| Path::new(""), |file| &file.path);
        let query = &settings.query;
        let policy = engine.compile_with_entrypoint(&Arc::from(&**query));
        let policy = policy.map_err(|error| match error.to_string().as_str() {
            "not a valid rule path" => placed(first, &format!("there is no rule `{query}`")),
            other => placed(first, &other),
        })?;
        // The interpreter would come upon functions that do not exist only when it calls them.
        let program = Compiler::compile_from_policy(&policy, &[query]);
        let program = program.map_err(|error| placed(first, &error))?;
        let conflicts = program.check_rule_data_conflicts(&engine.get_data());
        conflicts.map_err(|error| placed(first, &error))?;
        forbidden::check(&program, settings)?;
        Ok(Self { prepared: engine, timeout: settings.timeout, idle: Pool::default() })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn evaluate(
        &self,
        query: &str,
        question: &str,
        timeout: Duration,
    ) -> Result<(), Objection> {
        let Ok(input) = Value::from_json_str(question) else {
            let text = format!("{query} was asked in no JSON");
            return Err(Objection { cause: Cause::Failed, text });
        };
        let mut engine = self.idle.take().unwrap_or_else(|| Box::new(self.prepared.clone()));
        engine.set_input(input);
        let limit = ExecutionTimerConfig { limit: timeout, check_interval: LOOK };
        engine.set_execution_timer_config(limit);
        match engine.eval_rule(query.to_owned()) {
            Ok(answer) => {
                engine.set_input(Value::Null);
                self.idle.put(engine);
                judged(query, &answer)
            }
            // It is not used again: nobody knows in which state it broke off.
            Err(error) => Err(broken_off(query, &error, timeout)),
        }
    }
}

/// Why an evaluation broke off, and where.
fn broken_off(query: &str, error: &anyhow::Error, timeout: Duration) -> Objection {
    let is_late = error
        .chain()
        .any(|error| matches!(error.downcast_ref(), Some(LimitError::TimeLimitExceeded { .. })));
    if is_late {
        let text = format!("{query} took longer than {timeout:?}");
        return Objection { cause: Cause::TooLong, text };
    }
    let told = placed(Path::new(query), error).to_string();
    let told: String = told.chars().take(TEXT).map(printable).collect();
    Objection { cause: Cause::Failed, text: format!("{query} failed: {told}") }
}

/// `true`, or an object whose `allow` is `true`; everything else is a no.
fn judged(query: &str, answer: &Value) -> Result<(), Objection> {
    let (allow, reason) = match answer {
        Value::Object(_) => (&answer["allow"], answer["reason"].as_string().ok()),
        other => (other, None),
    };
    let no = |cause, what: &str| {
        let mut text = format!("{query} {what}");
        if let Some(reason) = reason {
            text.push_str(": ");
            text.extend(reason.chars().take(TEXT).map(printable));
        }
        Err(Objection { cause, text })
    };
    match allow {
        Value::Bool(true) => Ok(()),
        Value::Bool(false) => no(Cause::No, "is false"),
        Value::Undefined if *answer == Value::Undefined => no(Cause::No, "is undefined"),
        _ => no(Cause::NoAnswer, "is neither true nor false, nor an object with `allow`"),
    }
}

fn printable(c: char) -> char {
    if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '\u{fffd}' }
}

/// A document of `data`, by the ending of its name.
fn document(file: &RegoFile) -> Result<Value, RegoError> {
    let wrong = |why: &str| RegoError(format!("{}: {why}", file.path.display()));
    let value = match file.path.extension().and_then(|end| end.to_str()) {
        Some("json") => Value::from_json_str(&file.text),
        Some("yaml" | "yml") => Value::from_yaml_str(&file.text),
        _ => return Err(wrong("neither .json nor .yaml: data is one of the two")),
    };
    match value {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(wrong("its top is no object, and `data` is one")),
        Err(error) => Err(wrong(&one_line(&error.to_string()))),
    }
}

/// `FILE:LINE:COLUMN: what is wrong`, of an error that shows it as a picture. One without a place is about
/// the whole of `file`.
fn placed(file: &Path, error: &impl ToString) -> RegoError {
    let error = error.to_string();
    let place = error.split_once("--> ").and_then(|(_, rest)| rest.lines().next());
    let what = error.rsplit_once("error: ").map_or(&*error, |(_, what)| what);
    let place = place.map_or_else(|| file.display().to_string(), str::to_owned);
    RegoError(format!("{place}: {}", one_line(what)))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
