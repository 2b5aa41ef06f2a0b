//! Rego by `regorus`: prepared once, evaluated by copies that each do one question at a time.
//!
//! Its interpreter, not its virtual machine, though that is faster: in the machine a function that fails, and a
//! rule with two values, are merely undefined, and `not` makes a yes of that.

use std::error::Error;
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
/// Longest text of a policy's own, in characters.
pub(super) const TEXT: usize = 200;

/// A policy with its data, ready for questions.
#[derive(Debug)]
pub(super) struct Engine {
    prepared: regorus::Engine,
    /// The files that it is made of, as errors name them.
    files: Vec<String>,
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
        let files = settings.files.iter().map(|file| file.path.display().to_string()).collect();
        Ok(Self { prepared: engine, files, timeout: settings.timeout, idle: Pool::default() })
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
            Err(error) => Err(self.broken_off(query, &error, timeout)),
        }
    }

    /// Why an evaluation broke off, and where. Of the interpreter's own words only a place in one of our files is
    /// told, for they quote values: of the question, of `data`, of whatever was made of them.
    fn broken_off(&self, query: &str, error: &anyhow::Error, timeout: Duration) -> Objection {
        if is_late(error) {
            let text = format!("{query} took longer than {timeout:?}");
            return Objection { cause: Cause::TooLong, text };
        }
        let told = error.to_string();
        let place = place(&told).filter(|place| self.files.iter().any(|file| is_in(file, place)));
        let at = place.map(|place| format!(" at {place}")).unwrap_or_default();
        // The beginnings of its words for rules and functions that come to several values.
        let is_conflict = ["multiple outputs", "rule conflicts with"];
        let why = match is_conflict.into_iter().any(|words| told.contains(words)) {
            true => "it has two values",
            false => "a function cannot work with what it is given",
        };
        Objection { cause: Cause::Failed, text: format!("{query} failed{at}: {why}") }
    }
}

fn is_late(error: &anyhow::Error) -> bool {
    let is_limit = |error: &(dyn Error + 'static)| {
        matches!(error.downcast_ref(), Some(LimitError::TimeLimitExceeded { .. }))
    };
    error.chain().any(is_limit)
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
    let place = place(&error);
    let what = error.rsplit_once("error: ").map_or(&*error, |(_, what)| what);
    let place = place.map_or_else(|| file.display().to_string(), str::to_owned);
    RegoError(format!("{place}: {}", one_line(what)))
}

/// The `FILE:LINE:COLUMN` that an error shows.
fn place(error: &str) -> Option<&str> {
    error.split_once("--> ").and_then(|(_, rest)| rest.lines().next())
}

/// Whether a place is a line and a column of `file`.
fn is_in(file: &str, place: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = place.strip_prefix(file).and_then(|rest| rest.strip_prefix(':'));
    let split = numbers.and_then(|numbers| numbers.split_once(':'));
    split.is_some_and(|(line, column)| is_number(line) && is_number(column))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
