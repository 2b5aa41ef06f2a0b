//! The beginning of a message, read while it comes in.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::Unreadable;
use super::action::{RELATED, content_type};
use super::envelope::Envelope;
use super::multipart::Related;
use super::xml::Tokens;

/// Most bytes that are read until the first element of the body.
pub const LIMIT: usize = 64 * 1024;

/// What a message turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Local name of the body's first element; `None` for an empty body.
    pub body: Option<Box<str>>,
    /// The namespace of that element; empty if it has none.
    pub namespace: Box<str>,
    /// The actions that the message itself names: that of its root part, and `wsa:Action`.
    pub actions: Vec<Box<str>>,
}

/// A message whose beginning is being read.
pub struct Beginning {
    /// `None`: one that has no parts.
    parts: Option<Related>,
    /// What is read of the envelope. `None`: the root part has not begun.
    text: Option<Text>,
    found: Found,
}

struct Text {
    begin: usize,
    tokens: Tokens,
    envelope: Envelope,
}

impl Beginning {
    /// Of a message with this head.
    ///
    /// # Errors
    ///
    /// The head says already that it cannot be read.
    pub fn new(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        if !encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Unreadable::ContentEncoding);
        }
        let media = content_type(headers)?.ok_or(Unreadable::ContentType)?;
        media.check_charset()?;
        let parts = if media.is(RELATED) { Some(Related::new(&media)?) } else { None };
        let text = if parts.is_some() { None } else { Some(Text::new(0)) };
        Ok(Self { parts, text, found: Found::default() })
    }

    /// Looks at the message so far: all of it, not only what is new. `None`: more of it is needed.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is over although more is needed.
    pub fn read(&mut self, message: &[u8], is_over: bool) -> Result<Option<Found>, Unreadable> {
        let window = message.get(..LIMIT).unwrap_or(message);
        if let Some(found) = self.advance(window)? {
            return Ok(Some(found));
        }
        match is_over {
            _ if message.len() >= LIMIT => Err(Unreadable::TooLarge),
            true => Err(Unreadable::Truncated),
            false => Ok(None),
        }
    }

    fn advance(&mut self, window: &[u8]) -> Result<Option<Found>, Unreadable> {
        if let (None, Some(parts)) = (&self.text, &self.parts) {
            let Some(root) = parts.root(window)? else { return Ok(None) };
            self.text = Some(Text::new(root.begin));
            self.found.actions = root.actions;
        }
        let Some(text) = &mut self.text else { return Ok(None) };
        while let Some(token) = text.tokens.next(window)? {
            let Some(seen) = text.envelope.take(&token)? else { continue };
            if let Some(parts) = &self.parts {
                let read = window.get(text.begin..text.tokens.at());
                parts.check_whole(read.unwrap_or_default())?;
            }
            let Found { mut actions, .. } = std::mem::take(&mut self.found);
            actions.extend(seen.action);
            return Ok(Some(Found { body: seen.body, namespace: seen.namespace, actions }));
        }
        Ok(None)
    }
}

impl Text {
    fn new(begin: usize) -> Self {
        Self { begin, tokens: Tokens::new(begin), envelope: Envelope::new() }
    }
}
