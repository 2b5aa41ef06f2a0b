//! Whom rules name: entries of the configuration, or new ones made of what certificates said.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::namer::Namer;
use crate::authz;
use crate::config::{Config, Peer, PeerMatcher};
use crate::identity::{DnsName, PeerName};
use crate::review::history::Attempt;
use crate::review::who::{Proven, Who, parts};

/// The peers of a suggestion.
#[derive(Debug)]
pub(super) struct Book<'h> {
    config: Option<&'h Config>,
    now: OffsetDateTime,
    namer: Namer,
    names: Vec<(&'h Who, String)>,
    /// Those that the configuration does not have.
    pub(super) new: BTreeMap<String, PeerMatcher>,
    /// Those that it has.
    pub(super) known: BTreeMap<String, &'h Peer>,
}

impl<'h> Book<'h> {
    pub(super) fn new(config: Option<&'h Config>, now: OffsetDateTime) -> Self {
        let mut namer = Namer::default();
        if let Some(config) = config {
            config.peers.keys().chain(config.groups.keys()).for_each(|n| namer.take(n.as_str()));
        }
        let (new, known) = (BTreeMap::new(), BTreeMap::new());
        Self { config, now, namer, names: Vec::new(), new, known }
    }

    /// The name of who made `attempt`.
    pub(super) fn name(&mut self, attempt: &Attempt<'h>) -> String {
        if let Some((_, name)) = self.names.iter().find(|(who, _)| std::ptr::eq(*who, attempt.who))
        {
            return name.clone();
        }
        let name = self.known(attempt).unwrap_or_else(|| self.made(attempt));
        self.names.push((attempt.who, name.clone()));
        name
    }

    /// The name that was given to who made `attempt`.
    pub(super) fn named(&self, attempt: &Attempt<'_>) -> Option<String> {
        let named = self.names.iter().find(|(who, _)| std::ptr::eq(*who, attempt.who));
        named.map(|(_, name)| name.clone())
    }

    /// The entry of the configuration that recognizes it.
    fn known(&mut self, attempt: &Attempt<'h>) -> Option<String> {
        let config = self.config?;
        let named = attempt.who.peer.as_ref().and_then(|name| config.peers.get(name));
        let by_key = named.filter(|peer| matches!(peer.matcher, PeerMatcher::KeyPin(_)));
        let identity = attempt.who.identity(attempt.certificate, self.now)?;
        let recognized = authz::recognized(config, &identity);
        let is_good = |name: &&PeerName| {
            let peer = config.peers.get(*name);
            peer.is_some_and(|peer| peer.expires.is_none_or(|end| self.now < end))
        };
        let before = recognized.iter().find(|name| Some(*name) == attempt.who.peer.as_ref());
        let name =
            before.or_else(|| recognized.iter().find(is_good)).or_else(|| recognized.first());
        let peer = by_key.or_else(|| config.peers.get(name?))?;
        self.known.insert(peer.name.as_str().to_owned(), peer);
        Some(peer.name.as_str().to_owned())
    }

    /// A new entry.
    fn made(&mut self, attempt: &Attempt<'h>) -> String {
        let matcher = matcher(attempt);
        if let Some((name, _)) = self.new.iter().find(|(_, known)| **known == matcher) {
            return name.clone();
        }
        let wanted = match &attempt.who.peer {
            Some(peer) => peer.as_str().to_owned(),
            None => like(&matcher),
        };
        let name = self.namer.name(&wanted);
        self.new.insert(name.clone(), matcher);
        name
    }
}

/// What recognizes whoever made `attempt`: what is most its own.
fn matcher(attempt: &Attempt<'_>) -> PeerMatcher {
    let certificate = PeerMatcher::CertificatePin(attempt.certificate);
    match &attempt.who.proven {
        Proven::Plaintext => certificate,
        Proven::Pin(pin) => PeerMatcher::CertificatePin(*pin),
        Proven::Chain { spiffe: Some(id), .. } => PeerMatcher::Spiffe(id.clone()),
        Proven::Chain { dns, subject, .. } => {
            let is_plain = |name: &&DnsName| !name.as_str().starts_with("*.");
            if let Some(name) = dns.iter().find(is_plain).or_else(|| dns.first()) {
                return PeerMatcher::Dns(name.clone());
            }
            let subject = parts(subject);
            let only = |values: &[String]| match values {
                [one] if !one.is_empty() => Some(one.clone()),
                _ => None,
            };
            match only(&subject.common_names) {
                Some(name) => PeerMatcher::Subject {
                    common_name: Some(name),
                    organization: only(&subject.organizations),
                    organizational_unit: only(&subject.organizational_units),
                },
                None => certificate,
            }
        }
    }
}

/// A name like what recognizes it.
fn like(matcher: &PeerMatcher) -> String {
    match matcher {
        PeerMatcher::Spiffe(id) => {
            let text = id.to_string();
            text.rsplit('/').next().unwrap_or_default().to_owned()
        }
        PeerMatcher::Dns(name) => {
            let name = name.as_str();
            let name = name.strip_prefix("*.").unwrap_or(name);
            name.split('.').next().unwrap_or_default().to_owned()
        }
        PeerMatcher::Subject { common_name, .. } => common_name.clone().unwrap_or_default(),
        PeerMatcher::CertificatePin(pin) | PeerMatcher::KeyPin(pin) => {
            format!("pin-{}", pin.to_string().get(..8).unwrap_or_default())
        }
    }
}
