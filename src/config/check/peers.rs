//! Whom we know, and lists of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::only::only;
use crate::clock;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, nearest, one};
use crate::config::scalar::{fingerprint, moment, name, remark};
use crate::config::yaml::{Entry, Node, Value};
use crate::config::{Peer, PeerMatcher, keys};
use crate::identity::{DnsName, PeerName, SpiffeId};

const HOW_PIN: &str = "`openssl x509 -in peer.crt -outform der | sha256sum` prints the digits";
const HOW_SPKI: &str = "`openssl x509 -in peer.crt -noout -pubkey | openssl pkey -pubin -outform der \
                        | sha256sum` prints the digits";
/// The keys of which a peer has exactly one.
const MATCHERS: &[&str] = &["spiffe", "dns", "subject", "pin", "spki"];

/// The names in `peers`, those of wrong entries too: a rule that names one is not wrong for it.
pub(super) struct Known<'n>(BTreeSet<&'n str>);

impl<'n> Known<'n> {
    /// The names in `peers`, if it is there.
    pub(super) fn of(peers: Option<&'n Node>) -> Self {
        match peers.map(|node| &node.value) {
            Some(Value::Map(entries)) => Self(entries.iter().map(|e| e.name.as_str()).collect()),
            _ => Self(BTreeSet::new()),
        }
    }

    /// A list of names, each of which is in `peers`.
    pub(super) fn list(&self, reader: &Reader<'_>, node: &Node) -> Option<Vec<Located<PeerName>>> {
        let listed = reader.list(node, |reader, node| self.one(reader, node))?;
        let mut once: Vec<Located<PeerName>> = Vec::new();
        for name in listed {
            if once.iter().any(|before| before.value == name.value) {
                let fault = Fault::new(format!("{} is listed twice", quoted(&name.written)));
                reader.warn(name.at(), fault.hint("keep one"));
            } else {
                once.push(name);
            }
        }
        Some(once)
    }

    fn one(&self, reader: &Reader<'_>, node: &Node) -> Option<Located<PeerName>> {
        let name = reader.located(node, |text| Ok(PeerName::new(text)))?;
        if self.0.contains(name.value.as_str()) {
            return Some(name);
        }
        let fault = Fault::new(format!("peer {} is not in `peers`", quoted(&name.written)));
        reader.error(
            name.at(),
            match nearest(name.value.as_str(), self.0.iter().copied()) {
                Some(known) => fault.hint(format!("did you mean `{known}`?")),
                None => fault.hint("add it there: `peers: { NAME: { spiffe: spiffe://… } }`"),
            },
        );
        None
    }
}

/// `peers`.
pub(super) fn all(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<PeerName, Peer>> {
    let read: Vec<_> = reader.entries(node)?.iter().map(|entry| peer(reader, entry)).collect();
    warn_of_twins(reader, reader.entries(node)?, &read);
    read.into_iter().map(|peer| peer.map(|peer| (peer.name.clone(), peer))).collect()
}

/// Two names for one peer: only one of them will be seen in records and metrics.
fn warn_of_twins(reader: &Reader<'_>, entries: &[Entry], peers: &[Option<Peer>]) {
    let mut first: HashMap<&PeerMatcher, &PeerName> = HashMap::new();
    for (entry, peer) in entries.iter().zip(peers) {
        let Some(peer) = peer else { continue };
        match first.get(&peer.matcher) {
            Some(name) => {
                let text = format!("peer `{}` is recognized by the same as `{name}`", peer.name);
                reader.warn(entry.at(), Fault::new(text).hint("keep one name for one peer"));
            }
            None => {
                first.insert(&peer.matcher, &peer.name);
            }
        }
    }
}

fn peer(reader: &Reader<'_>, entry: &Entry) -> Option<Peer> {
    let known = name(&entry.name)
        .map_err(|fault| {
            let text = format!("{} {}", quoted(&entry.name), fault.text);
            reader.error(entry.at(), Fault { text, ..fault });
        })
        .ok();
    let mut fields = Fields::open(reader, &entry.node, &keys::PEER)?;
    let one_way = ("a peer is recognized by exactly one", "keep one, or make it two entries");
    let matcher = only(reader, &mut fields, MATCHERS, one_way, matcher);
    let expires = fields.optional("expires", located(moment));
    let owner = fields.optional("owner", one(remark));
    let ticket = fields.optional("ticket", one(remark));
    let note = fields.optional("note", one(remark));
    fields.finish();

    if let Some(Some(expires)) =
        expires.as_ref().filter(|e| e.as_ref().is_some_and(|e| e.value < clock::now()))
    {
        let text = format!("peer {} has expired: this entry lets nobody in", quoted(&entry.name));
        reader.warn(expires.at(), Fault::new(text).hint("set a later date, or remove the entry"));
    }
    let matcher = matcher.or(|| {
        let text = format!("nothing says how peer {} is recognized", quoted(&entry.name));
        let hint = format!("add one of {}", MATCHERS.join(", "));
        reader.error(entry.at(), Fault::new(text).hint(hint));
    });
    Some(Peer {
        name: PeerName::new(&known?),
        matcher: matcher?,
        line: entry.at().line(),
        expires: expires?.map(|expires| expires.value),
        review_by: None,
        limits: None,
        purpose: None,
        owner: owner?,
        ticket: ticket?,
        note: note?,
    })
}

fn matcher(reader: &Reader<'_>, key: &str, node: &Node) -> Option<PeerMatcher> {
    match key {
        "spiffe" => one(spiffe)(reader, node).map(PeerMatcher::Spiffe),
        "dns" => one(dns)(reader, node).map(PeerMatcher::Dns),
        "subject" => subject(reader, node),
        "pin" => one(fingerprint(HOW_PIN))(reader, node).map(PeerMatcher::CertificatePin),
        _ => one(fingerprint(HOW_SPKI))(reader, node).map(PeerMatcher::KeyPin),
    }
}

fn spiffe(text: &str) -> Result<SpiffeId, Fault> {
    SpiffeId::parse(text).map_err(|error| Fault::new("is not a SPIFFE ID").quoting(error))
}

fn dns(text: &str) -> Result<DnsName, Fault> {
    DnsName::parse(text).map_err(|_error| {
        Fault::new("is not a DNS name")
            .hint("letters, digits, '-' and '_' in labels, joined by '.'")
    })
}

fn subject(reader: &Reader<'_>, node: &Node) -> Option<PeerMatcher> {
    let mut fields = Fields::open(reader, node, &keys::SUBJECT)?;
    let common_name = fields.optional("cn", one(remark));
    let organization = fields.optional("o", one(remark));
    let organizational_unit = fields.optional("ou", one(remark));
    let at = fields.at();
    let unknown = fields.finish();
    let (common_name, organization, organizational_unit) =
        (common_name?, organization?, organizational_unit?);
    if common_name.is_none() && organization.is_none() && organizational_unit.is_none() {
        // An empty subject would fit everybody whom the trust bundle vouches for.
        if unknown == 0 {
            reader.error(at, Fault::new("`subject` names no part").hint("add one of cn, o, ou"));
        }
        return None;
    }
    Some(PeerMatcher::Subject { common_name, organization, organizational_unit })
}
