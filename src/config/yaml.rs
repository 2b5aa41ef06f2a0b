//! YAML text to a tree in which every key and value knows its place.
//!
//! Of YAML only what a configuration needs: texts, lists and mappings. Anchors, aliases, tags and a
//! second document are refused, since a reader who overlooks one reads another file than we do.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::broken::{anchors, diagnosis};
use super::problem::{Fault, Place, Problem, Severity, quoted};

/// Deepest nesting. The format itself needs 5.
const MAX_DEPTH: usize = 16;
/// Most events of the parser, roughly keys and values together.
const MAX_EVENTS: usize = 200_000;

/// A value, with its place and its key.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is: the text itself; for a list, a mapping or nothing, the key that it belongs to.
    pub(super) place: Place,
    /// From the top, like `inbound[0].listen`. Empty for the file's own mapping.
    pub(super) key: String,
    /// What it holds.
    pub(super) value: Value,
}

/// What a [`Node`] holds.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing: a key without a value, `~` or `null`.
    Null,
    /// A scalar, whatever it means.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, without the keys that were given before.
    Map(Vec<Entry>),
    /// Something that was refused already.
    Refused,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) name: String,
    /// Where the key is.
    pub(super) place: Place,
    /// The value.
    pub(super) node: Node,
}

/// Reads `text`. Without a tree there is at least one problem.
pub(super) fn read(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        lines: text.lines().collect(),
        events: 0,
        problems: Vec::new(),
    };
    let root = builder.control_characters().and_then(|()| builder.document());
    let mut problems = builder.problems;
    match root {
        Ok(root) => (Some(root), problems),
        Err(problem) => {
            problems.push(problem);
            (None, problems)
        }
    }
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    lines: Vec<&'t str>,
    events: usize,
    problems: Vec<Problem>,
}

impl<'t> Builder<'t> {
    /// The parser takes NUL for the end of the file, and a terminal obeys others.
    fn control_characters(&self) -> Result<(), Problem> {
        for (index, line) in self.lines.iter().enumerate() {
            if let Some(before) = line.chars().position(|c| c.is_control() && c != '\t') {
                let place = Place { line: index + 1, column: before + 1, length: 1 };
                let fault = Fault::new("a control character is not accepted here")
                    .hint("remove it; the file is plain text in UTF-8");
                return Err(fault.at(place, "", Severity::Error));
            }
        }
        Ok(())
    }

    fn document(&mut self) -> Result<Node, Problem> {
        let (event, place) = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => {
                    let fault = Fault::new("the file is empty")
                        .hint("a configuration begins with `version: 1`");
                    return Err(fault.at(Place::FILE, "", Severity::Error));
                }
                first => break first,
            }
        };
        let root = self.node(event, place, String::new(), None, 0)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), place) => {
                    let fault = Fault::new("a second document begins here").hint(
                        "keep one configuration in one file, without `---` after the first line",
                    );
                    return Err(fault.at(place, "", Severity::Error));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), Problem> {
        self.events += 1;
        match self.parser.next_event() {
            Some(Ok((_, span))) if self.events > MAX_EVENTS => {
                let fault = Fault::new(format!("more than {MAX_EVENTS} keys and values"));
                Err(fault.at(self.place(span), "", Severity::Error))
            }
            Some(Ok((event, span))) => Ok((event, self.place(span))),
            Some(Err(error)) => {
                let (fault, place) = diagnosis(&self.lines, &error);
                Err(fault.at(place, "", Severity::Error))
            }
            None => Ok((Event::StreamEnd, Place::FILE)),
        }
    }

    /// The place of `span`, no further than the end of its first line.
    fn place(&self, span: Span) -> Place {
        let (line, before) = (span.start.line(), span.start.col());
        let text = line.checked_sub(1).and_then(|index| self.lines.get(index)).unwrap_or(&"");
        let rest: String = text.chars().skip(before).take(span.len().max(1)).collect();
        Place { line, column: before + 1, length: rest.trim_end().chars().count().max(1) }
    }

    /// The place of the anchor or tag, which begins with `sign`, of what stands at `place`: the parser
    /// knows only where the value begins, which may be lines later.
    fn mark_before(&self, sign: char, place: Place) -> Place {
        let above = self.lines.iter().enumerate().take(place.line).rev();
        for (index, line) in above {
            let end = if index + 1 == place.line { place.column - 1 } else { usize::MAX };
            let characters: Vec<char> = line.chars().take(end).collect();
            let begins = |at: &usize| {
                let before = at.checked_sub(1).and_then(|before| characters.get(before));
                characters.get(*at) == Some(&sign)
                    && before.is_none_or(|c| c.is_whitespace() || "[{,".contains(*c))
            };
            let Some(at) = (0..characters.len()).rev().find(begins) else { continue };
            let name = characters.iter().skip(at);
            let length = name.take_while(|c| !c.is_whitespace() && !"[]{},".contains(**c)).count();
            return Place { line: index + 1, column: at + 1, length };
        }
        place
    }

    fn node(
        &mut self,
        event: Event<'t>,
        place: Place,
        key: String,
        owner: Option<Place>,
        depth: usize,
    ) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            let fault = Fault::new(format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(fault.at(place, &key, Severity::Error));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (0, false),
        };
        if anchor != 0 {
            self.refuse(anchors(), self.mark_before('&', place), &key);
        }
        if tag {
            let fault = Fault::new("tags like `!!str` are not accepted here")
                .hint("remove the tag; every key knows what it wants");
            self.refuse(fault, self.mark_before('!', place), &key);
        }
        let value = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) => Value::List(self.list(&key, depth)?),
            Event::MappingStart(..) => Value::Map(self.map(&key, depth)?),
            _ => {
                self.refuse(anchors(), place, &key);
                Value::Refused
            }
        };
        let place = match (&value, owner) {
            (Value::Text(_), _) => place,
            (_, Some(owner)) => owner,
            (Value::Map(entries), None) => entries.first().map_or(place, |first| first.place),
            (_, None) => place,
        };
        Ok(Node { place, key, value })
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(items);
            }
            let key = format!("{key}[{}]", items.len());
            items.push(self.node(event, place, key, None, depth + 1)?);
        }
    }

    fn map(&mut self, key: &str, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, place) = self.next()?;
            let name = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(entries),
                Event::Scalar(ref text, _, _, _) => Some(text.clone().into_owned()),
                _ => None,
            };
            let name_key = join(key, name.as_deref().unwrap_or("?"));
            // Read as a node for the sake of what a key must not have: an anchor, a tag, a list.
            self.node(event, place, name_key.clone(), Some(place), depth + 1)?;
            let (event, value_place) = self.next()?;
            let node = self.node(event, value_place, name_key.clone(), Some(place), depth + 1)?;
            match name {
                None => {
                    let fault = Fault::new("a key is a text, not a list or a mapping")
                        .hint("quote a text that has braces or brackets, like \"${NAME}\"");
                    self.refuse(fault, place, &name_key);
                }
                Some(name) => match lines.insert(name.clone(), place.line) {
                    None => entries.push(Entry { name, place, node }),
                    Some(line) => {
                        let fault = Fault::new(format!("key {} is given twice", quoted(&name)))
                            .hint(format!("keep one; the other is on line {line}"));
                        self.refuse(fault, place, &name_key);
                    }
                },
            }
        }
    }

    fn refuse(&mut self, fault: Fault, place: Place, key: &str) {
        self.problems.push(fault.at(place, key, Severity::Error));
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::Text(text.to_owned()),
    }
}

/// The key of `name` inside of `key`.
pub(super) fn join(key: &str, name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    if key.is_empty() { name } else { format!("{key}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, usize, String) {
        let (_, problems) = read(text);
        let problem = problems.first().expect("a problem");
        (problem.line, problem.column, problem.text.clone())
    }

    fn entries(text: &str) -> Vec<Entry> {
        match read(text) {
            (Some(Node { value: Value::Map(entries), .. }), problems) if problems.is_empty() => {
                entries
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let entries = entries("a: é\nlong:\n  - {x: \"y z\" } # note\n");

        assert_eq!(entries[0].place, Place { line: 1, column: 1, length: 1 });
        assert_eq!(entries[0].node.place, Place { line: 1, column: 4, length: 1 });
        assert_eq!(entries[1].place, Place { line: 2, column: 1, length: 4 });
        let Value::List(items) = &entries[1].node.value else { panic!() };
        let Value::Map(inner) = &items[0].value else { panic!() };
        assert_eq!(inner[0].node.key, "long[0].x");
        assert_eq!(inner[0].node.place, Place { line: 3, column: 9, length: 5 });
        assert_eq!(items[0].place, inner[0].place);
    }

    #[test]
    fn a_key_without_a_value_holds_nothing_and_a_quoted_null_is_a_text() {
        let entries = entries("a:\nb: ~\nc: 'null'\n");

        assert!(matches!(entries[0].node.value, Value::Null));
        assert!(matches!(entries[1].node.value, Value::Null));
        assert!(matches!(&entries[2].node.value, Value::Text(text) if text == "null"));
    }

    #[test]
    fn what_another_reader_might_overlook_is_refused() {
        assert_eq!(problem("a: 1\na: 2\n"), (2, 1, "key `a` is given twice".into()));
        assert!(problem("a: &x 1\n").2.starts_with("anchors"));
        assert!(problem("a: &x 1\nb: *x\n").2.starts_with("anchors"));
        assert!(problem("a: *x\n").2.starts_with("anchors"));
        assert!(problem("&x a: 1\n").2.starts_with("anchors"));
        assert!(problem("a: !!str 1\n").2.starts_with("tags"));
        assert!(problem("? [a]\n: 1\n").2.starts_with("a key is a text"));
        assert_eq!(problem("a: 1\n---\nb: 1\n"), (2, 1, "a second document begins here".into()));
        assert_eq!(problem("a: 1\0\nb: 2\n").2, "a control character is not accepted here");
    }

    #[test]
    fn an_anchor_or_a_tag_is_shown_where_it_stands() {
        let place = |text: &str| {
            let (_, problems) = read(text);
            let problem = problems.first().expect("a problem");
            (problem.line, problem.column, problem.length)
        };

        assert_eq!(place("a: &x 1\n"), (1, 4, 2));
        assert_eq!(place("a: &long\n  # why\n  b: 1\n"), (1, 4, 5));
        assert_eq!(place("&y a: 1\n"), (1, 1, 2));
        assert_eq!(place("a: [1, &z {b: 1}]\n"), (1, 8, 2));
        assert_eq!(place("a: !!str 1\n"), (1, 4, 5));
        assert_eq!(place("a: *x\n"), (1, 4, 1));
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        assert!(problem(&"[".repeat(100_000)).2.starts_with("nested deeper"));
        assert!(problem(&"- ".repeat(100_000)).2.starts_with("nested deeper"));
        assert!(problem(&"- a\n".repeat(300_000)).2.starts_with("more than"));
    }

    #[test]
    fn an_empty_file_says_how_to_begin() {
        assert_eq!(problem("# nothing\n"), (0, 0, "the file is empty".into()));
    }
}
