//! Policy in Rego, asked after the allowlist: it can only narrow it.
//!
//! Pure: the configuration has read the files, and whoever asks brings the question as JSON. A build without
//! the feature `rego` has no engine; then there is no [`RegoPolicy`], and its configuration is refused.

#[cfg(not(feature = "rego"))]
#[path = "absent.rs"]
mod engine;
#[cfg(feature = "rego")]
mod engine;
#[cfg(feature = "rego")]
mod forbidden;
mod narrow;
#[cfg(feature = "rego")]
mod pool;
mod reads;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use self::engine::Engine;
use crate::config::RegoSettings;

/// Longest evaluation of a question at load, when the machine may be busy with other things.
const PROBING: Duration = Duration::from_secs(2);

/// A policy that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegoError(pub(super) String);

/// Why Rego does not say yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objection {
    cause: Cause,
    /// In words for the operator. Of the question and of `data` only what the policy itself puts into its reason.
    pub(super) text: String,
}

/// What is in the way of a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "rego"), expect(dead_code, reason = "there is nobody who would say so"))]
enum Cause {
    /// It says no, or nothing.
    No,
    /// It says something that is neither yes nor no.
    NoAnswer,
    /// It has more to do than it may.
    TooLong,
    /// It could not be evaluated.
    Failed,
}

/// A policy that can be asked. One question leaves nothing to another.
#[derive(Debug)]
pub struct RegoPolicy {
    engine: Engine,
    query: Arc<str>,
    files: String,
    reads: BTreeSet<String>,
}

impl RegoPolicy {
    /// Compiles the policy, and puts `probes` to it: what every question would come upon is found here.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its file and line.
    pub fn compile(settings: &RegoSettings, probes: &[String]) -> Result<Self, RegoError> {
        let engine = Engine::compile(settings)?;
        let names = settings.files.iter().map(|file| file.path.display().to_string());
        let policy = Self {
            engine,
            query: Arc::clone(&settings.query),
            files: names.collect::<Vec<_>>().join(", "),
            reads: reads::all(settings.files.iter().map(|file| &*file.text)),
        };
        for probe in probes {
            match policy.answer(probe, PROBING) {
                Ok(()) | Err(Objection { cause: Cause::No, .. }) => {}
                Err(Objection { text, .. }) => {
                    return Err(RegoError(format!("{}: a question at load: {text}", policy.files)));
                }
            }
        }
        Ok(policy)
    }

    /// What is asked for, like `data.myelin.allow`.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Its files, as the configuration names them.
    pub fn files(&self) -> &str {
        &self.files
    }

    /// The first field of the question that the policy reads and `known` does not have. A field is known
    /// with all that is below it; one that the policy reads as a whole has to be known as a whole.
    pub fn reads_beyond(&self, known: &[&str]) -> Option<&str> {
        let is_below = |read: &str, known: &str| {
            read.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_known = |read: &&String| known.iter().any(|known| is_below(read, known));
        self.reads.iter().find(|read| !is_known(read)).map(String::as_str)
    }

    /// Whether it says yes to `question`, a JSON object.
    pub(super) fn ask(&self, question: &str) -> Result<(), Objection> {
        self.answer(question, self.engine.timeout())
    }

    /// Whatever goes wrong is a no, a defect of the engine as well.
    fn answer(&self, question: &str, timeout: Duration) -> Result<(), Objection> {
        let evaluate = || self.engine.evaluate(&self.query, question, timeout);
        catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_panic| {
            let text = format!("{} failed: a defect of the engine, see the log", self.query);
            Err(Objection { cause: Cause::Failed, text })
        })
    }
}
