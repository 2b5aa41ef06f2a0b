//! Whom we know.

use std::collections::{BTreeMap, HashMap};

use super::dates;
use super::only::only;
use super::quota::quota;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::{fingerprint, name, remark};
use crate::config::yaml::{Entry, Node};
use crate::config::{Peer, PeerMatcher, keys};
use crate::identity::{DnsName, PeerName, SpiffeId};

const HOW_PIN: &str = "`openssl x509 -in peer.crt -outform der | sha256sum` prints the digits";
const HOW_SPKI: &str = "`openssl x509 -in peer.crt -noout -pubkey | openssl pkey -pubin -outform der \
                        | sha256sum` prints the digits";
/// The keys of which a peer has exactly one.
const MATCHERS: &[&str] = &["spiffe", "dns", "subject", "pin", "spki"];

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
    let shown = quoted(&entry.name);
    let expires = dates::expires(&mut fields, || {
        (format!("peer {shown} has expired: this entry lets nobody in"), "remove the entry")
    });
    let review_by = dates::date(&mut fields, "review_by", || {
        (format!("peer {shown} was to be reviewed by then"), "remove the entry if nobody needs it")
    });
    let limits = fields.optional("limits", quota);
    let owner = fields.optional("owner", one(remark));
    let ticket = fields.optional("ticket", one(remark));
    let purpose = fields.optional("purpose", one(remark));
    let note = fields.optional("note", one(remark));
    fields.finish();

    let matcher = matcher.or(|| {
        let text = format!("nothing says how peer {shown} is recognized");
        let hint = format!("add one of {}", MATCHERS.join(", "));
        reader.error(entry.at(), Fault::new(text).hint(hint));
    });
    Some(Peer {
        name: PeerName::new(&known?),
        matcher: matcher?,
        line: entry.at().line(),
        expires: expires?,
        review_by: review_by?,
        limits: limits?,
        owner: owner?,
        ticket: ticket?,
        purpose: purpose?,
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
