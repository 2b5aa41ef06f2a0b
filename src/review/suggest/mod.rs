//! The smallest readable allowlist that covers what was seen.
//!
//! Attempts become rules (`routes`, `exchanges`), those that let the same peers do alike become one, and what is
//! written (`yaml`) is read again and asked about every attempt (`fit`) before anybody sees it.

mod draft;
mod exchanges;
mod fit;
mod namer;
mod peers;
mod routes;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use self::draft::{Evidence, ListenerDraft};
use self::peers::Book;
use super::history::{Attempt, History};
use super::what::What;
use super::who::Proven;
use crate::config::Config;
use crate::outcome::Direction;

/// How to suggest.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'c> {
    /// The configuration whose names are kept.
    pub config: Option<&'c Config>,
    /// Covers what was denied, too.
    pub denied: bool,
    /// The moment.
    pub now: OffsetDateTime,
}

/// An allowlist.
#[derive(Debug)]
pub struct Suggestion<'h> {
    book: Book<'h>,
    listeners: Vec<ListenerDraft<'h>>,
    is_whole: bool,
}

impl<'h> Suggestion<'h> {
    /// For what `history` has seen.
    pub fn of(history: &'h History, wish: Wish<'h>) -> Self {
        let attempts: Vec<_> = history
            .attempts()
            .into_iter()
            .filter(|attempt| attempt.direction == Direction::Inbound)
            .filter(|attempt| wish.denied || attempt.tally.allowed > 0)
            .collect();
        let mut book = Book::new(wish.config, wish.now);
        let mut by_listener: BTreeMap<&str, Vec<Attempt<'h>>> = BTreeMap::new();
        for attempt in &attempts {
            by_listener.entry(attempt.listener).or_default().push(*attempt);
        }
        let mut listeners = Vec::new();
        for (name, attempts) in &by_listener {
            let seen = history.listeners.iter().find(|((direction, listener), _)| {
                *direction == Direction::Inbound && &**listener == *name
            });
            let Some((_, seen)) = seen else { continue };
            let configured = wish.config.and_then(|config| {
                config.inbound.iter().find(|listener| listener.name.as_str() == *name)
            });
            let mut draft = ListenerDraft::new(name, seen, configured);
            // Listeners of several machines may have one port; in one file they cannot.
            draft.port = seen.address.map_or(0, |address| address.port());
            if listeners.iter().any(|other: &ListenerDraft<'_>| other.port == draft.port) {
                draft.port = 0;
            }
            draft.fill(attempts, &mut book);
            listeners.push(draft);
        }
        let mut suggestion = Self { book, listeners, is_whole: true };
        suggestion.is_whole = suggestion.fit(&by_listener, wish.now);
        suggestion
    }

    /// Whether everything that it is to cover is covered. Otherwise its text says what is not.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }
}

impl<'h> ListenerDraft<'h> {
    fn fill(&mut self, attempts: &[Attempt<'h>], book: &mut Book<'h>) {
        let mut plaintext = 0;
        let mut asked = Vec::new();
        for attempt in attempts {
            if attempt.who.proven == Proven::Plaintext {
                plaintext += attempt.tally.count();
                continue;
            }
            let peer = book.name(attempt);
            let evidence = Evidence::of(&attempt.tally, &peer);
            match attempt.what {
                What::Connect => self.connected(&peer, evidence),
                _ => {
                    self.connected(&peer, Evidence::nothing(&peer, attempt.tally.last));
                    asked.push((attempt.what, evidence));
                }
            }
        }
        if plaintext > 0 {
            self.note(format!(
                "{} records are of somebody in plaintext, whom no rule can name: give them certificates, and \
                 rules for what they do",
                draft::thousands(plaintext)
            ));
        }
        match self.protocol() {
            "http" => self.routes(asked),
            "mllp" => self.messages(asked),
            "dicom" => self.associations(asked),
            _ => {}
        }
    }

    fn connected(&mut self, peer: &str, evidence: Evidence) {
        match self.allow.get_mut(peer) {
            Some(known) => known.add(evidence),
            None => {
                self.allow.insert(peer.to_owned(), evidence);
            }
        }
    }
}

/// Peers by name.
type Names = BTreeSet<String>;
