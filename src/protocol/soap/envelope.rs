//! A SOAP envelope, token by token, up to the first element of its body.

use super::Unreadable;
use super::namespaces::{Namespaces, Space};
use super::xml::{SPACE, Tag, Token, decode};

/// Deepest element.
const DEPTH: usize = 64;
/// Longest `wsa:Action`.
const ACTION: usize = 2048;

/// What an envelope turned out to be.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Local name of the body's first element, if it has one.
    pub(super) body: Option<Box<str>>,
    /// The namespace of that element.
    pub(super) namespace: Box<str>,
    /// What the header says the action is.
    pub(super) action: Option<Box<str>>,
}

/// An envelope that is being read.
pub(super) struct Envelope {
    namespaces: Namespaces,
    /// Names of the elements that are open.
    open: Vec<Box<str>>,
    /// The namespace of the envelope; its parts have the same.
    version: Space,
    place: Place,
    action: Option<String>,
    /// The text is that of `wsa:Action`.
    in_action: bool,
}

/// What has been passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Envelope,
    Header,
    BehindHeader,
    Body,
}

impl Envelope {
    /// One of which nothing was read.
    pub(super) fn new() -> Self {
        Self {
            namespaces: Namespaces::default(),
            open: Vec::new(),
            version: Space::Other,
            place: Place::Begin,
            action: None,
            in_action: false,
        }
    }

    /// Takes the next token. Gives an answer at the first element of the body, or at its end.
    pub(super) fn take(&mut self, token: &Token<'_>) -> Result<Option<Seen>, Unreadable> {
        match token {
            Token::Nothing => Ok(None),
            Token::Text(text) if self.in_action => self.said(&decode(text)?).map(|()| None),
            Token::CharacterData(text) if self.in_action => self.said(text).map(|()| None),
            Token::Text(text) => self.aside(text.trim_matches(SPACE).is_empty()).map(|()| None),
            Token::CharacterData(_) => self.aside(false).map(|()| None),
            Token::Start(tag) => self.start(tag),
            Token::End(name) => self.end(name),
        }
    }

    /// Text is the header's own business; elsewhere there is none.
    fn aside(&self, is_blank: bool) -> Result<(), Unreadable> {
        let is_in_entry = self.place == Place::Header && self.open.len() > 2;
        match self.place {
            _ if is_blank || is_in_entry => Ok(()),
            Place::Begin => Err(Unreadable::NoEnvelope),
            _ => Err(Unreadable::Envelope),
        }
    }

    fn said(&mut self, text: &str) -> Result<(), Unreadable> {
        let action = self.action.get_or_insert_default();
        if action.len() + text.len() > ACTION {
            return Err(Unreadable::Addressing);
        }
        action.push_str(text);
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<Option<Seen>, Unreadable> {
        let depth = self.open.len();
        if depth == DEPTH {
            return Err(Unreadable::TooComplex);
        }
        self.namespaces.enter(depth, tag)?;
        let (space, local) = self.namespaces.resolve(tag.name)?;
        match (self.place, depth) {
            (Place::Begin, _) => self.root(space, local)?,
            (Place::Envelope | Place::BehindHeader, _) => self.part(space, local)?,
            (Place::Header, _) => self.entry(space, local, depth)?,
            (Place::Body, _) => return self.found(tag, local).map(Some),
        }
        self.open.push(tag.name.into());
        if tag.is_empty { self.end(tag.name) } else { Ok(None) }
    }

    fn root(&mut self, space: Space, local: &str) -> Result<(), Unreadable> {
        if local != "Envelope" || !space.is_soap() {
            return Err(Unreadable::NoEnvelope);
        }
        (self.version, self.place) = (space, Place::Envelope);
        Ok(())
    }

    fn part(&mut self, space: Space, local: &str) -> Result<(), Unreadable> {
        self.place = match (self.place, local) {
            _ if space != self.version => return Err(Unreadable::Envelope),
            (Place::Envelope, "Header") => Place::Header,
            (_, "Body") => Place::Body,
            _ => return Err(Unreadable::Envelope),
        };
        Ok(())
    }

    fn entry(&mut self, space: Space, local: &str, depth: usize) -> Result<(), Unreadable> {
        // Whoever looks for the first `Body` of a document, wherever it is, would find this one.
        if space.is_soap() && matches!(local, "Envelope" | "Header" | "Body") {
            return Err(Unreadable::Envelope);
        }
        let is_action = depth == 2 && space == Space::Addressing && local == "Action";
        if self.in_action || (is_action && self.action.is_some()) {
            return Err(Unreadable::Addressing);
        }
        if is_action {
            (self.in_action, self.action) = (true, Some(String::new()));
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<Option<Seen>, Unreadable> {
        if self.open.pop().as_deref() != Some(name) {
            return Err(Unreadable::Syntax);
        }
        let depth = self.open.len();
        self.namespaces.leave(depth);
        match (self.place, depth) {
            (Place::Header, 2) => self.in_action = false,
            (Place::Header, 1) => self.place = Place::BehindHeader,
            (Place::Body, _) => return Ok(Some(self.seen(None))),
            (_, 0) => return Err(Unreadable::Envelope), // without a body
            _ => {}
        }
        Ok(None)
    }

    fn found(&mut self, tag: &Tag<'_>, local: &str) -> Result<Seen, Unreadable> {
        // `soapenc:root="0"` says that the call is another element (SOAP 1.1, 5.6).
        let is_elsewhere = |(name, _): &(&str, &str)| name.ends_with(":root");
        if tag.attributes()?.iter().any(is_elsewhere) {
            return Err(Unreadable::Envelope);
        }
        let namespace = self.namespaces.of(tag.name).into();
        Ok(Seen { namespace, ..self.seen(Some(local)) })
    }

    fn seen(&mut self, body: Option<&str>) -> Seen {
        let action = self.action.take().map(|action| action.trim_matches(SPACE).into());
        Seen { body: body.map(Into::into), namespace: Box::default(), action }
    }
}
