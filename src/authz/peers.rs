//! From an authenticated peer to its entries in `peers`, in a few hash lookups and without allocating.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Peer, PeerMatcher};
use crate::identity::{DnsName, Fingerprint, PeerIdentity, PeerName, Proof, SpiffeId, Subject};

/// Entries and names compared for a hint, in pairs. A stranger decides how often, and how many names its
/// certificate has; each comparison takes a microsecond.
const COMPARED: usize = 256;
/// DNS names of a certificate that are compared.
const NAMES: usize = 4;

/// Entries of `peers`, numbered, by what they are recognized by.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: Vec<Arc<Peer>>,
    numbers: HashMap<PeerName, u32>,
    spiffe: HashMap<SpiffeId, Vec<u32>>,
    names: Names,
    certificates: HashMap<Fingerprint, Vec<u32>>,
    keys: HashMap<Fingerprint, Vec<u32>>,
    subjects: Vec<u32>,
}

/// Entries that are recognized by a DNS name.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<DnsName, Vec<u32>>,
    /// `*.parent`, by `parent`.
    wildcards: HashMap<Box<str>, Vec<u32>>,
    /// `label.parent`, by `parent`: a wildcard certificate may match several.
    children: HashMap<Box<str>, Vec<u32>>,
}

impl Peers {
    /// Numbers `peers` from 0 on, each once.
    pub(super) fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Self {
        let mut index = Self::default();
        for peer in peers {
            index.add(peer);
        }
        index
    }

    fn add(&mut self, peer: &Peer) {
        let Ok(number) = u32::try_from(self.all.len()) else { return };
        if self.numbers.contains_key(&peer.name) {
            return;
        }
        match &peer.matcher {
            PeerMatcher::Spiffe(id) => self.spiffe.entry(id.clone()).or_default().push(number),
            PeerMatcher::Dns(name) => self.names.add(name, number),
            PeerMatcher::CertificatePin(pin) => {
                self.certificates.entry(*pin).or_default().push(number);
            }
            PeerMatcher::KeyPin(pin) => self.keys.entry(*pin).or_default().push(number),
            PeerMatcher::Subject { .. } => self.subjects.push(number),
        }
        self.numbers.insert(peer.name.clone(), number);
        self.all.push(Arc::new(peer.clone()));
    }

    /// The entry with this number.
    pub(super) fn get(&self, number: u32) -> Option<&Peer> {
        self.all.get(number as usize).map(|peer| &**peer)
    }

    /// The number of this entry.
    pub(super) fn number(&self, name: &PeerName) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.all.iter().map(|peer| &**peer)
    }

    /// The entries that recognize `who`, with their numbers.
    ///
    /// A certificate that is proven by a pin alone is recognized by pins alone: whoever made it could
    /// write any name into it.
    pub(super) fn recognize(&self, who: &PeerIdentity) -> impl Iterator<Item = (u32, &Peer)> {
        let certificate = &who.certificate;
        let pinned =
            [self.certificates.get(&certificate.sha256), self.keys.get(&certificate.key_sha256)];
        let chained = match who.proof {
            Proof::Chain => Some(certificate),
            Proof::Pin => None,
        };
        let spiffe = chained.and_then(|c| c.spiffe.as_ref()).and_then(|id| self.spiffe.get(id));
        // Where a SPIFFE ID is used, it is the one name that counts.
        let dns = chained
            .filter(|certificate| certificate.spiffe.is_none())
            .into_iter()
            .flat_map(|certificate| &certificate.dns)
            .flat_map(|name| self.names.of(name));
        let subjects = chained.into_iter().flat_map(|certificate| {
            self.subjects.iter().filter(|number| {
                self.get(**number)
                    .is_some_and(|peer| is_subject(&peer.matcher, &certificate.subject))
            })
        });
        let numbers = pinned.into_iter().flatten().chain(spiffe).flatten().chain(dns);
        numbers.chain(subjects).filter_map(|number| Some((*number, self.get(*number)?)))
    }

    /// The entry whose text is nearest to one of `who`'s names, with that text and the name; of the first
    /// [`COMPARED`] pairs.
    pub(super) fn nearest(&self, who: &PeerIdentity) -> Option<(&Peer, String, String)> {
        let mut names: Vec<String> = Vec::new();
        names.extend(who.certificate.spiffe.iter().map(ToString::to_string));
        names.extend(who.certificate.dns.iter().map(ToString::to_string).take(NAMES));
        names.push(who.certificate.subject.text.clone());
        let mut best: Option<(f64, &Peer, String, String)> = None;
        for peer in self.all.iter().take(COMPARED / names.len()) {
            let wanted = wanted(&peer.matcher);
            for name in &names {
                let score = strsim::jaro_winkler(&wanted, name);
                if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                    best = Some((score, peer, wanted.clone(), name.clone()));
                }
            }
        }
        best.map(|(_, peer, wanted, name)| (peer, wanted, name))
    }
}

impl Names {
    fn add(&mut self, name: &DnsName, number: u32) {
        self.exact.entry(name.clone()).or_default().push(number);
        let Some((label, parent)) = name.as_str().split_once('.') else { return };
        let by_parent = if label == "*" { &mut self.wildcards } else { &mut self.children };
        by_parent.entry(parent.into()).or_default().push(number);
    }

    /// Exactly this name, or a wildcard on one side that stands for its first label (RFC 6125, 6.4.3).
    fn of(&self, name: &DnsName) -> impl Iterator<Item = &u32> {
        let exact = self.exact.get(name);
        let stood_for = name.as_str().split_once('.').and_then(|(label, parent)| {
            let by_parent = if label == "*" { &self.children } else { &self.wildcards };
            by_parent.get(parent)
        });
        exact.into_iter().chain(stood_for).flatten()
    }
}

fn is_subject(matcher: &PeerMatcher, subject: &Subject) -> bool {
    let PeerMatcher::Subject { common_name, organization, organizational_unit } = matcher else {
        return false;
    };
    let holds = |wanted: &Option<String>, held: &[String]| {
        wanted.as_ref().is_none_or(|wanted| held == [wanted.as_str()])
    };
    holds(common_name, &subject.common_names)
        && holds(organization, &subject.organizations)
        && holds(organizational_unit, &subject.organizational_units)
}

/// What a matcher wants, as text.
fn wanted(matcher: &PeerMatcher) -> String {
    match matcher {
        PeerMatcher::Spiffe(id) => id.to_string(),
        PeerMatcher::Dns(name) => name.to_string(),
        PeerMatcher::CertificatePin(pin) => format!("certificate {pin:?}"),
        PeerMatcher::KeyPin(pin) => format!("public key {pin:?}"),
        PeerMatcher::Subject { common_name, organization, organizational_unit } => {
            [("CN", common_name), ("O", organization), ("OU", organizational_unit)]
                .into_iter()
                .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")))
                .collect::<Vec<_>>()
                .join(",")
        }
    }
}
