//! From an authenticated peer to its entries in `peers`, in a few hash lookups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{Peer, PeerMatcher};
use crate::identity::{DnsName, Fingerprint, PeerIdentity, Proof, SpiffeId, Subject};

/// Entries and names compared for a hint, in pairs. A stranger decides how often, and how many names its
/// certificate has; each comparison takes a microsecond.
const COMPARED: usize = 256;
/// DNS names of a certificate that are compared.
const NAMES: usize = 4;

/// Entries of `peers`, by what they are recognized by.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: Vec<Arc<Peer>>,
    spiffe: HashMap<SpiffeId, Vec<Arc<Peer>>>,
    dns: BTreeMap<DnsName, Vec<Arc<Peer>>>, // in order: a wildcard certificate may match several
    certificates: HashMap<Fingerprint, Vec<Arc<Peer>>>,
    keys: HashMap<Fingerprint, Vec<Arc<Peer>>>,
    subjects: Vec<Arc<Peer>>,
}

impl Peers {
    pub(super) fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Self {
        let mut index = Self::default();
        for peer in peers {
            let peer = Arc::new(peer.clone());
            match &peer.matcher {
                PeerMatcher::Spiffe(id) => index.spiffe.entry(id.clone()).or_default(),
                PeerMatcher::Dns(name) => index.dns.entry(name.clone()).or_default(),
                PeerMatcher::CertificatePin(pin) => index.certificates.entry(*pin).or_default(),
                PeerMatcher::KeyPin(pin) => index.keys.entry(*pin).or_default(),
                PeerMatcher::Subject { .. } => &mut index.subjects,
            }
            .push(Arc::clone(&peer));
            index.all.push(peer);
        }
        index
    }

    /// The entries that recognize `who`.
    ///
    /// A certificate that is proven by a pin alone is recognized by pins alone: whoever made it could
    /// write any name into it.
    pub(super) fn recognize(&self, who: &PeerIdentity) -> impl Iterator<Item = &Arc<Peer>> {
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
            .flat_map(|name| self.named(name));
        let subjects = chained.into_iter().flat_map(|certificate| {
            self.subjects.iter().filter(|peer| is_subject(&peer.matcher, &certificate.subject))
        });
        pinned.into_iter().flatten().chain(spiffe).flatten().chain(dns).chain(subjects)
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

    /// Exactly this name, or a wildcard on one side that stands for its first label (RFC 6125, 6.4.3).
    fn named(&self, name: &DnsName) -> impl Iterator<Item = &Arc<Peer>> {
        let exact = self.dns.get(name).into_iter().flatten();
        let parent = name.as_str().split_once('.').map_or("", |(_, parent)| parent);
        let wildcard_rule = DnsName::parse(&format!("*.{parent}"))
            .ok()
            .filter(|rule| rule != name)
            .and_then(|rule| self.dns.get(&rule))
            .into_iter()
            .flatten();
        let wildcard_certificate = name
            .as_str()
            .strip_prefix("*.")
            .map(|parent| {
                self.dns
                    .iter()
                    .filter(move |(rule, _)| {
                        let rule = rule.as_str();
                        !rule.starts_with("*.")
                            && rule.split_once('.').is_some_and(|(_, rest)| rest == parent)
                    })
                    .flat_map(|(_, peers)| peers)
            })
            .into_iter()
            .flatten();
        exact.chain(wildcard_rule).chain(wildcard_certificate)
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
