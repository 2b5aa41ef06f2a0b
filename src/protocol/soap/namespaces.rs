//! Which namespace a prefix stands for, told as far as SOAP needs to know it.

use super::Unreadable;
use super::xml::{Tag, decode};

/// Most declarations at one time.
const DECLARATIONS: usize = 128;

/// A namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// The envelope of SOAP 1.1.
    Soap11,
    /// That of SOAP 1.2.
    Soap12,
    /// WS-Addressing, in one of its versions.
    Addressing,
    /// None, or one that is nobody's business.
    Other,
}

impl Space {
    /// Whether it is that of an envelope.
    pub(super) fn is_soap(self) -> bool {
        matches!(self, Self::Soap11 | Self::Soap12)
    }

    fn of(uri: &str) -> Self {
        match uri {
            "http://schemas.xmlsoap.org/soap/envelope/" => Self::Soap11,
            "http://www.w3.org/2003/05/soap-envelope" => Self::Soap12,
            "http://www.w3.org/2005/08/addressing"
            | "http://schemas.xmlsoap.org/ws/2004/08/addressing"
            | "http://schemas.xmlsoap.org/ws/2004/03/addressing"
            | "http://schemas.xmlsoap.org/ws/2003/03/addressing" => Self::Addressing,
            _ => Self::Other,
        }
    }
}

/// A prefix, and what it stands for.
struct Declared {
    /// Where its element stands.
    depth: usize,
    prefix: Box<str>,
    space: Space,
    uri: Box<str>,
}

/// The declarations that hold where reading has come to.
#[derive(Default)]
pub(super) struct Namespaces {
    declared: Vec<Declared>,
}

impl Namespaces {
    /// Takes what `tag`, which stands at `depth`, declares.
    pub(super) fn enter(&mut self, depth: usize, tag: &Tag<'_>) -> Result<(), Unreadable> {
        for (name, value) in tag.attributes()? {
            let prefix = match name.split_once(':') {
                Some(("xmlns", prefix)) => prefix,
                None if name == "xmlns" => "",
                Some(_) | None => continue,
            };
            let uri = decode(value)?;
            if matches!(prefix, "xml" | "xmlns") || (uri.is_empty() && !prefix.is_empty()) {
                return Err(Unreadable::Namespace);
            }
            if self.declared.len() == DECLARATIONS {
                return Err(Unreadable::TooComplex);
            }
            let space = Space::of(&uri);
            self.declared.push(Declared { depth, prefix: prefix.into(), space, uri: uri.into() });
        }
        Ok(())
    }

    /// Forgets what elements at `depth` and deeper declared.
    pub(super) fn leave(&mut self, depth: usize) {
        while self.declared.last().is_some_and(|of| of.depth >= depth) {
            self.declared.pop();
        }
    }

    /// Namespace and local name of an element.
    pub(super) fn resolve<'a>(&self, name: &'a str) -> Result<(Space, &'a str), Unreadable> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        match self.declared(prefix) {
            Some(declared) => Ok((declared.space, local)),
            None if prefix.is_empty() || prefix == "xml" => Ok((Space::Other, local)),
            None => Err(Unreadable::Namespace),
        }
    }

    /// The namespace of an element as it was declared; empty if it has none.
    pub(super) fn of(&self, name: &str) -> &str {
        let prefix = name.split_once(':').map_or("", |(prefix, _)| prefix);
        self.declared(prefix).map_or("", |declared| &declared.uri)
    }

    fn declared(&self, prefix: &str) -> Option<&Declared> {
        self.declared.iter().rev().find(|known| *known.prefix == *prefix)
    }
}
