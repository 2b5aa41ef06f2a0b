//! What there is to say about a configuration, printed in the same way by every command.

use serde_json::{Value, json};

use super::{Format, console};
use crate::config::{Problem, Problems, Severity};

/// What is in the way, and what deserves a look: in the configuration's text, and in what it points at.
pub(super) struct Findings {
    text: Problems,
    elsewhere: Vec<Problem>,
}

impl Findings {
    /// What was found in the text.
    pub(super) fn of(text: Problems) -> Self {
        Self { text, elsewhere: Vec::new() }
    }

    /// Something is in the way elsewhere; `key` leads there, and is empty where none does.
    pub(super) fn error(&mut self, key: &str, text: String) {
        self.elsewhere.push(Problem::elsewhere(key, text, Severity::Error));
    }

    /// Something elsewhere deserves a look.
    pub(super) fn warn(&mut self, key: &str, text: String) {
        self.elsewhere.push(Problem::elsewhere(key, text, Severity::Warning));
    }

    /// How many there are of this severity.
    pub(super) fn count(&self, severity: Severity) -> u64 {
        self.all().filter(|problem| problem.severity == severity).map(|_| 1).sum()
    }

    /// Prints all of it: as text to standard error, for programs to standard output.
    pub(super) fn print(&self, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Text => self.print_text(),
            Format::Json => console::line(&serde_json::to_string_pretty(&self.json())?),
        }
        Ok(())
    }

    /// Logs all of it as warnings, for programs that read the log.
    pub(super) fn log(&self) {
        let path = self.text.path().display();
        for Problem { line, column, key, text, hint, .. } in self.all() {
            let hint = hint.as_deref();
            tracing::warn!(%path, line, column, key, hint, "{text}");
        }
    }

    fn print_text(&self) {
        if !self.text.is_empty() {
            let behind = if self.elsewhere.is_empty() { "" } else { "\n" };
            console::error(&format!("{}{behind}", self.text));
        }
        for problem in &self.elsewhere {
            console::error(&format!("{}: {}", problem.severity, problem.text));
        }
    }

    fn json(&self) -> Value {
        let of = |severity| -> Vec<_> {
            self.all().filter(|problem| problem.severity == severity).collect()
        };
        json!({
            "path": self.text.path(),
            "problems": of(Severity::Error),
            "warnings": of(Severity::Warning),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Problem> {
        self.text.iter().chain(&self.elsewhere)
    }
}
