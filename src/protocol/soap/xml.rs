//! XML 1.0 in tokens, as far as SOAP allows it: no document type, no instructions, no entities of its own.
//!
//! Reads from a text that grows, and looks at each byte once: whoever sends it byte by byte costs no more.

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem};

use super::Unreadable;
use super::media_type::is_readable;

/// Most attributes of one element.
const ATTRIBUTES: usize = 64;

/// What is white space to XML.
pub(super) const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A piece of a document.
pub(super) enum Token<'a> {
    /// The declaration at the beginning, or a comment.
    Nothing,
    /// Text as it stands, references and all.
    Text(&'a str),
    /// Text that is literal.
    CharacterData(&'a str),
    /// The beginning of an element, or all of an empty one.
    Start(Tag<'a>),
    /// The end of an element with this name.
    End(&'a str),
}

/// A start tag.
pub(super) struct Tag<'a> {
    /// Prefix and local name.
    pub(super) name: &'a str,
    /// It ends where it begins.
    pub(super) is_empty: bool,
    attributes: &'a str,
}

/// Where reading has come to.
#[derive(Default)]
pub(super) struct Tokens {
    begin: usize,
    /// Where the next token begins.
    at: usize,
    /// Up to where the end of the next token has been looked for.
    seen: usize,
    /// The quote that is open there.
    quote: Option<u8>,
}

impl Tokens {
    /// Reads a document that begins there in the text.
    pub(super) fn new(begin: usize) -> Self {
        Self { begin, at: begin, seen: begin, quote: None }
    }

    /// The end of what was read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next token; `None` when `text` has not come to its end yet. `text` may have grown since.
    pub(super) fn next<'a>(&mut self, text: &'a [u8]) -> Result<Option<Token<'a>>, Unreadable> {
        self.skip_byte_order_mark(text);
        let rest = text.get(self.at..).unwrap_or_default();
        let end = match rest {
            [] | [b'<'] => None,
            [b'<', b'/', ..] => self.until(text, b">", 2),
            [b'<', b'?', ..] => self.until(text, b"?>", 2),
            [b'<', b'!', b'-', b'-', ..] => self.until(text, b"-->", 4),
            [b'<', b'!', ..] if rest.starts_with(b"<![CDATA[") => self.until(text, b"]]>", 9),
            [b'<', b'!', ..] if is_begun(rest) => None,
            [b'<', b'!', ..] => return Err(Unreadable::Doctype),
            [b'<', ..] => self.tag_end(text),
            _text => self.until(text, b"<", 0).map(|end| end - 1),
        };
        let Some(end) = end else { return Ok(None) };
        let is_first = self.at == self.begin;
        let token = text.get(self.at..end).unwrap_or_default();
        (self.at, self.seen) = (end, end);
        parse(legible(token)?, is_first).map(Some)
    }

    /// The end of `pattern`, looked for `after` bytes behind the beginning of the token.
    fn until(&mut self, text: &[u8], pattern: &[u8], after: usize) -> Option<usize> {
        let from = self.seen.max(self.at + after);
        let found = find(text.get(from..)?, pattern);
        if found.is_none() {
            self.seen = from.max((text.len() + 1).saturating_sub(pattern.len()));
        }
        Some(from + found? + pattern.len())
    }

    /// The end of a start tag: a `>` outside of quotes.
    fn tag_end(&mut self, text: &[u8]) -> Option<usize> {
        let mut from = self.seen.max(self.at + 1);
        loop {
            let rest = text.get(from..).unwrap_or_default();
            let found = match self.quote {
                Some(quote) => memchr(quote, rest),
                None => memchr3(b'>', b'"', b'\'', rest),
            };
            let Some((place, byte)) = found.and_then(|place| Some((place, *rest.get(place)?)))
            else {
                self.seen = text.len().max(from);
                return None;
            };
            from += place + 1;
            self.quote = match (self.quote, byte) {
                (None, b'>') => return Some(from),
                (None, quote) => Some(quote),
                (Some(_), _) => None,
            };
        }
    }

    fn skip_byte_order_mark(&mut self, text: &[u8]) {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let here = text.get(self.at..).unwrap_or_default();
        if self.at == self.begin && here.starts_with(MARK) {
            let begin = self.begin + MARK.len();
            (self.begin, self.at, self.seen) = (begin, begin, begin);
        }
    }
}

/// Whether a comment or literal text may be about to begin.
fn is_begun(rest: &[u8]) -> bool {
    b"<!--".starts_with(rest) || b"<![CDATA[".starts_with(rest)
}

/// UTF-8, and no control character.
fn legible(token: &[u8]) -> Result<&str, Unreadable> {
    let Ok(text) = std::str::from_utf8(token) else { return Err(Unreadable::Encoding) };
    let is_control = |b: u8| (b < b' ') & (b != b'\t') & (b != b'\r') & (b != b'\n');
    // All bytes at once, which is what processors are good at, rather than up to the first.
    let is_broken = text.bytes().fold(false, |broken, b| broken | is_control(b));
    if is_broken { Err(Unreadable::Encoding) } else { Ok(text) }
}

fn parse(token: &str, is_first: bool) -> Result<Token<'_>, Unreadable> {
    let inside =
        |begin: &str, end: &str| token.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    if !token.starts_with('<') {
        return Ok(Token::Text(token));
    }
    if let Some(comment) = inside("<!--", "-->") {
        let is_broken = comment.contains("--") || comment.ends_with('-');
        return if is_broken { Err(Unreadable::Syntax) } else { Ok(Token::Nothing) };
    }
    if let Some(text) = inside("<![CDATA[", "]]>") {
        return Ok(Token::CharacterData(text));
    }
    if let Some(instruction) = inside("<?", "?>") {
        return declaration(instruction, is_first).map(|()| Token::Nothing);
    }
    if let Some(name) = inside("</", ">") {
        let name = name.trim_end_matches(SPACE);
        return if is_name(name) { Ok(Token::End(name)) } else { Err(Unreadable::Syntax) };
    }
    let tag = inside("<", ">").filter(|tag| !tag.contains('<')).ok_or(Unreadable::Syntax)?;
    let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let (name, attributes) = tag.split_at(tag.find(SPACE).unwrap_or(tag.len()));
    if is_name(name) {
        Ok(Token::Start(Tag { name, is_empty, attributes }))
    } else {
        Err(Unreadable::Syntax)
    }
}

/// `xml version="1.0" encoding="UTF-8"`, at the very beginning.
fn declaration(text: &str, is_first: bool) -> Result<(), Unreadable> {
    let attributes = text.strip_prefix("xml").filter(|_| is_first);
    let attributes = attributes.ok_or(Unreadable::Instruction)?;
    for (place, attribute) in (Attributes { rest: attributes }).enumerate() {
        let attribute = attribute.map_err(|_no_declaration| Unreadable::Instruction)?;
        match (place, attribute) {
            (0, ("version", "1.0")) => {}
            (1.., ("encoding", charset)) if is_readable(charset) => {}
            (1.., ("encoding", _)) => return Err(Unreadable::Charset),
            (1.., ("standalone", "yes" | "no")) => {}
            _ => return Err(Unreadable::Instruction),
        }
    }
    Ok(())
}

impl<'a> Tag<'a> {
    /// The attributes, by name and by value as it stands: none twice, and not too many.
    pub(super) fn attributes(&self) -> Result<Vec<(&'a str, &'a str)>, Unreadable> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for attribute in (Attributes { rest: self.attributes }) {
            let (name, value) = attribute?;
            if found.len() == ATTRIBUTES {
                return Err(Unreadable::TooComplex);
            }
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Unreadable::Syntax);
            }
            found.push((name, value));
        }
        Ok(found)
    }
}

/// Attributes as they stand in a tag, each with white space before it.
struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    fn read(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let (name, value) = self.rest.strip_prefix(SPACE)?.split_once('=')?;
        let name = name.trim_matches(SPACE);
        let value = value.trim_start_matches(SPACE);
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, rest) = value.strip_prefix(quote)?.split_once(quote)?;
        is_name(name).then_some((name, value, rest))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(&'a str, &'a str), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.trim_start_matches(SPACE).is_empty() {
            return None;
        }
        let Some((name, value, rest)) = self.read() else {
            self.rest = "";
            return Some(Err(Unreadable::Syntax));
        };
        self.rest = rest;
        Some(Ok((name, value)))
    }
}

/// A name with one prefix at most. What XML forbids beyond ASCII stays allowed: no name that is looked
/// for has any of it.
fn is_name(text: &str) -> bool {
    let is_begin = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80;
    let is_in = |b: u8| is_begin(b) || b.is_ascii_digit() || b == b'-' || b == b'.';
    let is_part = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(is_begin) && bytes.all(is_in)
    };
    match text.split_once(':') {
        Some((prefix, local)) => is_part(prefix) && is_part(local),
        None => is_part(text),
    }
}

/// A value or text with its references replaced.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    let Some((before, mut rest)) = text.split_once('&') else { return Ok(Cow::Borrowed(text)) };
    let mut decoded = before.to_owned();
    loop {
        let (name, after) = rest.split_once(';').ok_or(Unreadable::Entity)?;
        decoded.push(reference(name).ok_or(Unreadable::Entity)?);
        let Some((between, next)) = after.split_once('&') else {
            decoded.push_str(after);
            return Ok(Cow::Owned(decoded));
        };
        decoded.push_str(between);
        rest = next;
    }
}

fn reference(name: &str) -> Option<char> {
    let digits = |text: &str, radix| {
        let is_number = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
        is_number.then(|| u32::from_str_radix(text, radix).ok()).flatten()
    };
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => match name.strip_prefix("#x") {
            Some(hexadecimal) => digits(hexadecimal, 16),
            None => digits(name.strip_prefix('#')?, 10),
        },
    };
    char::from_u32(number?).filter(|c| *c >= ' ' || SPACE.contains(c))
}

/// Where `pattern` begins.
pub(super) fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    match pattern {
        [byte] => memchr(*byte, text),
        _ => memmem::find(text, pattern),
    }
}
