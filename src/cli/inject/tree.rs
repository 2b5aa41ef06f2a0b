//! Manifests as a tree in which every node knows where it stands, so that a change touches its own bytes alone.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

/// Deepest nesting; manifests need about 20, and custom resources somewhat more.
const MAX_DEPTH: usize = 100;

/// A value of a document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Its bytes in the text. Of a block list or mapping, from its first child to the end of its last.
    pub(super) span: Range<usize>,
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 0.
    pub(super) column: usize,
    /// Whether it is a list in `[]` or a mapping in `{}`.
    pub(super) flow: bool,
    /// Whether it has an anchor or a tag: it may count elsewhere, too, or as something else.
    marked: bool,
}

/// What a [`Node`] holds.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
    Alias,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Counted from 0.
    pub(super) column: usize,
    /// The first byte behind the colon.
    pub(super) after: usize,
    pub(super) node: Node,
}

/// Why a text is no manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The documents of `text`, those without content left out.
///
/// # Errors
///
/// It is no YAML, or nested too deep.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    let offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut builder = Builder { text, offsets, parser: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    loop {
        match builder.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing,
                _,
            ) => {}
            (event, span) => documents.push(builder.node(event, span, 0)?),
        }
    }
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.name == key).map(|e| &e.node),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// What Kubernetes reads here.
    pub(super) fn json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Self::json).collect()),
            Kind::Map(entries) => {
                let pairs = entries.iter().map(|e| (e.name.clone(), e.node.json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
            Kind::Alias => Value::Null,
        }
    }

    /// The line of what `pointer` (RFC 6901) leads to, or as far as that is there.
    pub(super) fn line_of(&self, pointer: &str) -> usize {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let item = step.parse().ok().and_then(|index: usize| node.items().get(index));
            match item.or_else(|| node.get(&step)) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// The first line with something that another document or a tag decides about, or a key that is there twice.
    pub(super) fn unclear(&self) -> Option<(usize, &'static str)> {
        if self.marked || matches!(self.kind, Kind::Alias) {
            return Some((self.line, "has an anchor, an alias or a tag"));
        }
        match &self.kind {
            Kind::List(items) => items.iter().find_map(Self::unclear),
            Kind::Map(entries) => {
                let mut names = std::collections::HashSet::new();
                entries.iter().find_map(|entry| match names.insert(entry.name.as_str()) {
                    false => Some((entry.node.line, "has a key that was given before")),
                    true if entry.name == "<<" => {
                        Some((entry.node.line, "merges a mapping (`<<`)"))
                    }
                    true => entry.node.unclear(),
                })
            }
            Kind::Scalar(_) | Kind::Alias => None,
        }
    }
}

struct Builder<'t> {
    text: &'t str,
    /// Of each character in bytes, and the length: the parser counts characters.
    offsets: Vec<usize>,
    parser: Parser<'t, StrInput<'t>>,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Unreadable> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Unreadable {
                line: error.marker().line(),
                text: format!("this is no YAML: {}", error.info()),
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn byte(&self, character: usize) -> usize {
        self.offsets.get(character).copied().unwrap_or(self.text.len())
    }

    fn node(&mut self, event: Event<'t>, at: Span, depth: usize) -> Result<Node, Unreadable> {
        let line = at.start.line();
        if depth > MAX_DEPTH {
            let text = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Unreadable { line, text });
        }
        let mut span = self.byte(at.start.index())..self.byte(at.end.index());
        let opened = self.text.get(span.clone()).is_some_and(|text| !text.is_empty());
        let (kind, flow, marked) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                span.end = self.scalar_end(&span, style);
                (Kind::Scalar(scalar(&text, style)), false, anchor != 0 || tag.is_some())
            }
            Event::SequenceStart(anchor, tag) => {
                let (items, end) = self.list(depth)?;
                let last = items.last().map(|item: &Node| item.span.end);
                span.end = if opened { end } else { last.unwrap_or(end) };
                (Kind::List(items), opened, anchor != 0 || tag.is_some())
            }
            Event::MappingStart(anchor, tag) => {
                let (entries, end) = self.map(depth)?;
                let last = entries.last().map(|entry: &Entry| entry.node.span.end);
                span.end = if opened { end } else { last.unwrap_or(end) };
                (Kind::Map(entries), opened, anchor != 0 || tag.is_some())
            }
            _ => (Kind::Alias, false, false),
        };
        Ok(Node { kind, span, line, column: at.start.col(), flow, marked })
    }

    /// The items, and where a list in brackets ends: the parser's word for that may be behind a comment.
    fn list(&mut self, depth: usize) -> Result<(Vec<Node>, usize), Unreadable> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, at) => {
                    return Ok((items, self.byte(at.start.index() + 1)));
                }
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    /// The entries, and where a mapping in braces ends.
    fn map(&mut self, depth: usize) -> Result<(Vec<Entry>, usize), Unreadable> {
        let mut entries = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let name = match &event {
                Event::MappingEnd | Event::StreamEnd => {
                    return Ok((entries, self.byte(at.start.index() + 1)));
                }
                Event::Scalar(text, ..) => text.clone().into_owned(),
                _ => String::new(),
            };
            let key = self.node(event, at, depth + 1)?;
            let after = self.after_colon(key.span.end);
            let (event, value) = self.next()?;
            let mut node = self.node(event, value, depth + 1)?;
            if node.span.is_empty() || node.span.start < after {
                // Nothing: the parser has it before the colon.
                node.span = after..after;
            }
            entries.push(Entry { name, column: at.start.col(), after, node });
        }
    }

    fn after_colon(&self, end: usize) -> usize {
        let rest = self.text.get(end..).unwrap_or_default();
        match rest.trim_start().strip_prefix(':') {
            Some(behind) => self.text.len() - behind.len(),
            None => end,
        }
    }

    /// Where a scalar ends; the parser's word for it may be behind a comment, or in the next line.
    fn scalar_end(&self, span: &Range<usize>, style: ScalarStyle) -> usize {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let length = match style {
            ScalarStyle::Plain => text.trim_end().len(),
            ScalarStyle::SingleQuoted => quoted(text, '\'', None),
            ScalarStyle::DoubleQuoted => quoted(text, '"', Some('\\')),
            ScalarStyle::Literal | ScalarStyle::Folded => text.trim_end_matches(' ').len(),
        };
        span.start + length
    }
}

/// The length of the quoted text that `text` begins with.
fn quoted(text: &str, quote: char, escape: Option<char>) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if Some(c) == escape {
            characters.next();
        } else if c == quote {
            let doubled = characters.peek().is_some_and(|(_, next)| *next == quote);
            match escape.is_none() && doubled {
                true => _ = characters.next(),
                false => return at + quote.len_utf8(),
            }
        }
    }
    text.len()
}

/// As Kubernetes reads a scalar: YAML 1.1, of which only what manifests use.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "off" | "Off" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c)) {
        return None;
    }
    let octal =
        text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|t| !t.is_empty()));
    if let Some(digits) = octal
        && let Ok(number) = i64::from_str_radix(digits, 8)
    {
        return Some(number.into());
    }
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_is_read_as_kubernetes_reads_it() {
        let text =
            "a: 0440\nb: \"0440\"\nc: [x, {y: ~}]\nd: |\n  1\n  2\ne: yes\nf:\n- g: 1.5\n  h:\n";
        let documents = read(text).unwrap();

        let wanted = json!({"a": 288, "b": "0440", "c": ["x", {"y": null}], "d": "1\n2\n", "e": true,
            "f": [{"g": 1.5, "h": null}]});
        assert_eq!(documents[0].json(), wanted);
    }

    #[test]
    fn every_node_knows_its_bytes_whatever_stands_beside_it() {
        let text = "a: 'é''s' # c\nb: \"q\\\"\" # c\nc: plain # c\nd: {x: [1], y: \"z\" } # c\n";
        let documents = read(text).unwrap();

        let bytes = |key: &str| &text[documents[0].get(key).unwrap().span.clone()];
        assert_eq!(bytes("a"), "'é''s'");
        assert_eq!(bytes("b"), "\"q\\\"\"");
        assert_eq!(bytes("c"), "plain");
        assert_eq!(bytes("d"), "{x: [1], y: \"z\" }");
    }

    #[test]
    fn a_pointer_leads_to_a_line_as_far_as_it_goes() {
        let documents = read("a:\n  b:\n  - c: 1\n  - c: 2\n").unwrap();

        assert_eq!(documents[0].line_of("/a/b/1/c"), 4);
        assert_eq!(documents[0].line_of("/a/x/1/c"), 2);
    }

    #[test]
    fn what_no_manifest_is_and_what_is_nested_too_deep_names_its_line() {
        let broken = read("a: 1\nb: [\nc").unwrap_err();
        assert!(broken.line > 1 && broken.text.starts_with("this is no YAML"), "{broken:?}");
        let deep = read(&"[".repeat(MAX_DEPTH + 10)).unwrap_err();
        assert!(deep.text.starts_with("nested deeper"), "{deep:?}");
        assert!(read(&"- ".repeat(100_000)).is_err());
    }
}
