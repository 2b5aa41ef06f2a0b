//! Why a text is no YAML, and where: the parser's complaint, in words that say what to look at.
//!
//! A parser notices a missing brace or quote where it can make no sense of what follows, lines later.
//! The text is looked through once more then, for what was opened and never closed.

use saphyr_parser::ScanError;

use super::problem::{Fault, Place};

/// The problem that `error`, met in the text of these lines, comes down to.
pub(super) fn diagnosis(lines: &[&str], error: &ScanError) -> (Fault, Place) {
    let place = place(lines, error);
    let fault = match kind(error.info()) {
        Kind::Tab => return tab(lines, place),
        Kind::Structure(_) if beside_tab(lines, place) => return tab(lines, place),
        Kind::Structure(otherwise) => {
            let opened = unclosed(lines).filter(|opened| opened.line <= place.line);
            if let Some(opened) = opened {
                return (never_closed(opened.sign), opened.place());
            }
            otherwise
        }
        Kind::Other(fault) => fault,
    };
    (fault, place)
}

/// Where the parser gave up; a complaint about the end of the file points at its last line.
fn place(lines: &[&str], error: &ScanError) -> Place {
    let marker = error.marker();
    match lines.last() {
        Some(last) if marker.line() > lines.len() => {
            Place { line: lines.len(), column: last.chars().count().max(1), length: 1 }
        }
        _ => Place { line: marker.line(), column: marker.col() + 1, length: 1 },
    }
}

/// What kind of complaint it is.
enum Kind {
    /// A tab.
    Tab,
    /// Something may have been left open above; what to say if nothing was.
    Structure(Fault),
    /// What it says is where it is.
    Other(Fault),
}

fn kind(info: &str) -> Kind {
    const INDENTATION: &str = "check the indentation: keys of one mapping, and dashes of one list, \
                               begin in the same column";
    let has = |part: &str| info.contains(part);
    if has("tab") {
        Kind::Tab
    } else if has("anchor") {
        Kind::Other(anchors())
    } else if has("flow mapping") || has("flow sequence") || has("flow construct") {
        let fault = Fault::new("this `{ }` or `[ ]` lacks a comma or a `:`");
        Kind::Structure(
            fault.hint("inside of it, quote a text that has braces or commas, like \"${NAME}\""),
        )
    } else if has("mapping values are not allowed") || has("illegal placement of ':'") {
        Kind::Structure(
            Fault::new("a `:` is not expected here")
                .hint("check the indentation of this line, and quote a text that has `: ` in it"),
        )
    } else if has("found unexpected end of stream") {
        Kind::Structure(never_closed('"'))
    } else if has("recursion limit") {
        Kind::Other(Fault::new("nested deeper than any configuration is"))
    } else if has("unexpected character") || has("plain scalar cannot start") {
        Kind::Other(Fault::new("a text cannot begin with this character").hint("quote the text"))
    } else if has("escape") {
        let fault = Fault::new("this is no escape that YAML knows");
        Kind::Other(fault.hint("use single quotes for a text with backslashes"))
    } else if has("indent") || has("did not find expected") || has("simple key") {
        Kind::Structure(Fault::new("this does not continue what stands above it").hint(INDENTATION))
    } else {
        Kind::Structure(Fault::new(format!("this is not YAML: {info}")))
    }
}

/// Anchors and aliases, which are refused wherever they are.
pub(super) fn anchors() -> Fault {
    Fault::new("anchors and aliases (`&name`, `*name`) are not accepted here")
        .hint("write the value out; quote a text that begins with `&` or `*`")
}

fn never_closed(sign: char) -> Fault {
    match sign {
        '{' => Fault::new("this `{` is never closed").hint("close it with `}`"),
        '[' => Fault::new("this `[` is never closed").hint("close it with `]`"),
        _ => Fault::new("this quote is never closed").hint("close it at the end of the text"),
    }
}

/// Whether the parser gave up beside a tab.
fn beside_tab(lines: &[&str], at: Place) -> bool {
    let line = at.line.checked_sub(1).and_then(|index| lines.get(index)).unwrap_or(&"");
    line.chars().skip(at.column.saturating_sub(2)).take(3).any(|c| c == '\t')
}

/// The tab itself: the parser names the end of the line before it.
fn tab(lines: &[&str], at: Place) -> (Fault, Place) {
    let fault = Fault::new("a tab stands where only spaces may").hint("use spaces");
    let from = at.line.saturating_sub(1);
    let found = lines.iter().enumerate().skip(from).find_map(|(index, line)| {
        let column = line.chars().position(|c| c == '\t')? + 1;
        Some(Place { line: index + 1, column, length: 1 })
    });
    (fault, found.unwrap_or(at))
}

/// A brace, bracket or quote that was opened.
#[derive(Debug, Clone, Copy)]
struct Opened {
    sign: char,
    line: usize,
    column: usize,
}

impl Opened {
    fn place(self) -> Place {
        Place { line: self.line, column: self.column, length: 1 }
    }
}

/// The first brace, bracket or quote that nothing closes, or that something else does.
///
/// This knows as much of YAML as it takes to tell a brace from one inside of a text.
fn unclosed(lines: &[&str]) -> Option<Opened> {
    let mut open: Vec<Opened> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut rest = line.chars().enumerate().peekable();
        let (mut before, mut value_may_begin) = (' ', true);
        while let Some((at, c)) = rest.next() {
            let inside = open.last().map(|opened| opened.sign);
            if let Some(quote @ ('"' | '\'')) = inside {
                let doubled = quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == quote);
                if (quote == '"' && c == '\\') || (c == quote && doubled) {
                    rest.next();
                } else if c == quote {
                    open.pop();
                }
                (before, value_may_begin) = (c, false);
                continue;
            }
            if c == '#' && before.is_whitespace() {
                break;
            }
            let opens = match c {
                '"' | '\'' => value_may_begin,
                '{' | '[' => value_may_begin || inside.is_some(),
                _ => false,
            };
            if opens {
                open.push(Opened { sign: c, line: index + 1, column: at + 1 });
            } else if inside.is_some() && matches!(c, '}' | ']') {
                let closed = open.pop();
                if (inside == Some('{')) != (c == '}') {
                    return closed;
                }
            }
            value_may_begin = match c {
                ' ' | '\t' => value_may_begin || matches!(before, ':' | '-' | '?'),
                ',' => inside.is_some(),
                '{' | '[' => opens,
                _ => false,
            };
            before = c;
        }
    }
    open.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(char, usize, usize)> {
        let lines: Vec<&str> = text.lines().collect();
        unclosed(&lines).map(|opened| (opened.sign, opened.line, opened.column))
    }

    #[test]
    fn what_was_opened_first_and_never_closed_is_found() {
        assert_eq!(first("a: {b: 1\nc: 2\n"), Some(('{', 1, 4)));
        assert_eq!(first("a: {b: {c: 1}\nd: 2\n"), Some(('{', 1, 4)));
        assert_eq!(first("a: [1, 2}\n"), Some(('[', 1, 4)));
        assert_eq!(first("a: {b: [1}\n"), Some(('[', 1, 8)));
        assert_eq!(first("a: 1\nb: \"x\nc: 2\n"), Some(('"', 2, 4)));
        assert_eq!(first("- 'x\n"), Some(('\'', 1, 3)));
    }

    #[test]
    fn a_sign_inside_of_a_text_or_a_remark_opens_nothing() {
        for text in [
            "a: {b: [1, {c: 2}]}\n",
            "path: /a/{id\n",
            "a: it's {open\n",
            "a: 'it''s {'\n",
            "a: \"\\\"{\"\n",
            "a: 1 # {\n# [\n",
            "a: {b: \"}\"}\n",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
