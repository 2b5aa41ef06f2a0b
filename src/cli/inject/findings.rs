//! What there is to say about a document: what is in the way, and what deserves a look.

use std::fmt;

use super::tree::Node;

/// Something in a document, by its place (RFC 6901) in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) pointer: String,
    pub(super) text: String,
    pub(super) help: String,
}

impl Finding {
    pub(super) fn new(
        pointer: impl Into<String>,
        text: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), text: text.into(), help: help.into() }
    }
}

/// Whether something was in the way, and all that was said.
#[derive(Debug, Default)]
pub(super) struct Findings {
    file: String,
    lines: Vec<String>,
    refused: bool,
}

impl Findings {
    /// About the text that came from `file`.
    pub(super) fn about(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// `name` in `document` is not taken.
    pub(super) fn refuse(&mut self, document: &Node, name: &str, finding: &Finding) {
        self.refused = true;
        self.say("error", document, name, finding);
    }

    /// `name` in `document` is taken, and somebody should look.
    pub(super) fn warn(&mut self, document: &Node, name: &str, finding: &Finding) {
        self.say("warning", document, name, finding);
    }

    /// Whether nothing may be written.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    fn say(&mut self, what: &str, document: &Node, name: &str, finding: &Finding) {
        let Finding { pointer, text, help } = finding;
        let line = document.line_of(pointer);
        let file = &self.file;
        self.lines.push(format!("{what}: {file}:{line}: {name}: {text}\n  = help: {help}"));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}
