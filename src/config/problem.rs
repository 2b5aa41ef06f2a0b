//! What is wrong with a configuration, where, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::identity::Fingerprint;

/// Longest source line that is shown whole, in characters.
const SHOWN: usize = 120;
/// How much of a longer line is shown before the place in question.
const LEAD: usize = 40;
/// Longest piece of the operator's own text that a message repeats.
const QUOTED: usize = 80;

/// Whether a [`Problem`] keeps the configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is good, and this deserves a look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, or that deserves a look.
///
/// For `--format json` it is an object that always has the same fields; what there is not is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, from 1. 0 when it is about the file as a whole, or about something else than the file.
    #[serde(serialize_with = "unless_zero")]
    pub line: usize,
    /// Column in characters, from 1.
    #[serde(serialize_with = "unless_zero")]
    pub column: usize,
    /// How many characters are wrong, from `column` on.
    #[serde(serialize_with = "unless_zero")]
    pub length: usize,
    /// The key it is about, like `inbound[0].listen`.
    #[serde(serialize_with = "unless_empty")]
    pub key: String,
    /// What is wrong, lower-case, without a trailing period.
    pub text: String,
    /// How to mend it, where that is known.
    pub hint: Option<String>,
    /// Whether the configuration is refused for it.
    pub severity: Severity,
}

impl Problem {
    /// Something that is wrong with what the configuration points at, not with its text.
    pub fn elsewhere(key: &str, text: String, severity: Severity) -> Self {
        Fault::new(text).at(Place::FILE, key, severity)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn unless_zero<S: Serializer>(number: &usize, to: S) -> Result<S::Ok, S::Error> {
    match number {
        0 => to.serialize_none(),
        number => number.serialize(to),
    }
}

fn unless_empty<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    if text.is_empty() { to.serialize_none() } else { to.serialize_str(text) }
}

/// A stretch of one line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Line, from 1; 0 for the file as a whole.
    pub(super) line: usize,
    /// Column in characters, from 1.
    pub(super) column: usize,
    /// Length in characters.
    pub(super) length: usize,
}

impl Place {
    /// The file as a whole.
    pub(super) const FILE: Self = Self { line: 0, column: 0, length: 0 };
}

/// What is wrong and how to mend it, before it has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) text: String,
    /// How to mend it.
    pub(super) hint: Option<String>,
    /// The hint repeats part of the value, which must not be shown when it was substituted.
    pub(super) quotes: bool,
}

impl Fault {
    /// What is wrong. For a scalar: what follows after the scalar itself, as in "is not IP:PORT".
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, quotes: false }
    }

    /// Adds how to mend it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds a hint that may repeat part of the value.
    pub(super) fn quoting(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), quotes: true, ..self }
    }

    /// Gives it a place and a weight.
    pub(super) fn at(self, place: Place, key: &str, severity: Severity) -> Problem {
        let Place { line, column, length } = place;
        Problem {
            line,
            column,
            length,
            key: key.into(),
            text: self.text,
            hint: self.hint,
            severity,
        }
    }
}

/// All that was found in one file, in the order of the file.
///
/// `Display` is what the operator sees, one screen a problem.
#[derive(Clone)]
pub struct Problems {
    path: PathBuf,
    source: Arc<str>,
    list: Vec<Problem>,
}

impl Problems {
    /// `list` was found in `source`, which is the text of the file at `path`.
    pub fn new(path: &Path, source: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.line, problem.column));
        Self { path: path.to_owned(), source: source.into(), list }
    }

    /// Nothing was found in the file at `path`.
    pub fn none(path: &Path) -> Self {
        Self::new(path, "", Vec::new())
    }

    /// SHA-256 of the file that they are about, as far as it could be read as a text.
    pub fn digest(&self) -> Option<Fingerprint> {
        (!self.source.is_empty()).then(|| Fingerprint::of(self.source.as_bytes()))
    }

    /// The file that they are about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// They, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them on one line, for logs and records: `PATH:LINE:COLUMN: TEXT (HINT)`, joined by `; `.
    ///
    /// Warnings are left out beside errors: what a configuration is refused for is the news.
    pub fn one_line(&self) -> String {
        let refused = self.list.iter().any(|problem| problem.severity == Severity::Error);
        let told = self.list.iter().filter(|p| !refused || p.severity == Severity::Error);
        told.map(|problem| self.line_of(problem)).collect::<Vec<_>>().join("; ")
    }

    fn line_of(&self, problem: &Problem) -> String {
        let Problem { line, column, text, .. } = problem;
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        match line {
            0 => format!("{}: {text}{hint}", self.path.display()),
            line => format!("{}:{line}:{column}: {text}{hint}", self.path.display()),
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problems")
            .field("path", &self.path)
            .field("list", &self.list)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Problems {
    /// One screen a problem, an empty line between two, no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.source.lines().collect();
        for (number, problem) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            let line = problem.line.checked_sub(1).and_then(|index| lines.get(index));
            show(f, &self.path, problem, line.copied())?;
        }
        Ok(())
    }
}

fn show(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    problem: &Problem,
    line: Option<&str>,
) -> fmt::Result {
    let number = problem.line.to_string();
    let margin = " ".repeat(number.len());
    write!(f, "{}: {}\n{margin}--> {}", problem.severity, problem.text, path.display())?;
    if problem.line > 0 {
        write!(f, ":{number}:{}", problem.column)?;
    }
    if let Some(line) = line {
        let excerpt = Excerpt::of(line, problem.column, problem.length);
        let blank = " ".repeat(excerpt.before);
        let carets = "^".repeat(excerpt.length);
        write!(f, "\n{margin} |\n{number} | {}\n{margin} | {blank}{carets}", excerpt.text)?;
    }
    match &problem.hint {
        Some(hint) => write!(f, "\n{margin} = help: {hint}"),
        None => Ok(()),
    }
}

/// As much of a source line as fits a screen, one column a character.
struct Excerpt {
    text: String,
    /// Characters before the place in question.
    before: usize,
    /// Characters of the place in question that are shown. At least 1.
    length: usize,
}

impl Excerpt {
    fn of(line: &str, column: usize, length: usize) -> Self {
        let total = line.chars().count();
        let before = column.saturating_sub(1);
        let start = if total <= SHOWN { 0 } else { before.saturating_sub(LEAD).min(total - SHOWN) };
        let mut text = String::new();
        if start > 0 {
            text.push('…');
        }
        text.extend(line.chars().skip(start).take(SHOWN).map(printable));
        let end = total.min(start + SHOWN);
        if end < total {
            text.push('…');
        }
        let length = length.min(end.saturating_sub(before)).max(1);
        Self { text, before: before - start.min(before) + usize::from(start > 0), length }
    }
}

/// Keeps the columns straight, the terminal safe, and a tab visible.
fn printable(c: char) -> char {
    match c {
        '\t' => '→',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// The operator's own text inside a message: in backticks, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(escaped).collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) =
        if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize, length: usize) -> Problem {
        Fault::new("it is wrong").hint("mend it").at(
            Place { line, column, length },
            "a.b",
            Severity::Error,
        )
    }

    #[test]
    fn a_problem_shows_its_line_and_place() {
        let problems =
            Problems::new(Path::new("m.yaml"), "a: 1\nb:\tfoo\n", vec![problem(2, 4, 3)]);

        assert_eq!(
            problems.to_string(),
            "error: it is wrong\n --> m.yaml:2:4\n  |\n2 | b:→foo\n  |    ^^^\n  = help: mend it"
        );
    }

    #[test]
    fn a_problem_of_the_whole_file_shows_no_line() {
        let problems = Problems::new(Path::new("m.yaml"), "", vec![problem(0, 0, 0)]);

        assert_eq!(problems.to_string(), "error: it is wrong\n --> m.yaml\n  = help: mend it");
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let line = format!("{}WRONG{}", "a".repeat(300), "b".repeat(300));
        let excerpt = Excerpt::of(&line, 301, 5);

        let shown: String =
            excerpt.text.chars().skip(excerpt.before).take(excerpt.length).collect();
        assert_eq!(shown, "WRONG");
        assert_eq!(excerpt.text.chars().count(), SHOWN + 2);
    }

    #[test]
    fn problems_come_in_the_order_of_the_file() {
        let list = vec![problem(3, 1, 1), problem(1, 9, 1), problem(1, 2, 1)];
        let problems = Problems::new(Path::new("m.yaml"), "", list);

        let places: Vec<_> = problems.iter().map(|p| (p.line, p.column)).collect();
        assert_eq!(places, [(1, 2), (1, 9), (3, 1)]);
    }

    #[test]
    fn for_programs_every_problem_has_the_same_fields() {
        let placed = serde_json::to_string(&problem(1, 4, 1)).unwrap();
        let elsewhere = Problem::elsewhere("", "no key".into(), Severity::Warning);

        assert_eq!(
            placed,
            r#"{"line":1,"column":4,"length":1,"key":"a.b","text":"it is wrong","hint":"mend it","severity":"error"}"#
        );
        assert_eq!(
            serde_json::to_string(&elsewhere).unwrap(),
            r#"{"line":null,"column":null,"length":null,"key":null,"text":"no key","hint":null,"severity":"warning"}"#
        );
    }

    #[test]
    fn on_one_line_each_has_its_place_and_the_mend() {
        let list = vec![
            problem(2, 4, 3),
            Problem { hint: None, ..problem(0, 0, 0) },
            Problem { severity: Severity::Warning, ..problem(1, 1, 1) },
        ];
        let problems = Problems::new(Path::new("m.yaml"), "", list.clone());
        let warnings = Problems::new(Path::new("m.yaml"), "", vec![list[2].clone()]);

        assert_eq!(problems.one_line(), "m.yaml: it is wrong; m.yaml:2:4: it is wrong (mend it)");
        assert_eq!(warnings.one_line(), "m.yaml:1:1: it is wrong (mend it)");
    }

    #[test]
    fn a_quoted_text_stays_on_one_short_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 90);
    }
}
