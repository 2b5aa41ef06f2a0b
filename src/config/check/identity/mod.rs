//! Where key material comes from.

mod est;
mod files;
pub(super) mod url;
mod vault;

use std::time::Duration;

use super::YEAR;
use super::only::only;
use crate::config::address::workload_api;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Reader, located, one};
use crate::config::scalar::{choice, duration};
use crate::config::yaml::Node;
use crate::config::{Embedded, IdentitySource, KeyType, Spiffe, keys};

const TTL: Duration = Duration::from_secs(24 * 3600);
const MIN_TTL: Duration = Duration::from_secs(60);

const KEY_TYPES: &[(&str, KeyType)] = &[
    ("p256", KeyType::P256),
    ("p384", KeyType::P384),
    ("ed25519", KeyType::Ed25519),
    ("rsa2048", KeyType::Rsa2048),
    ("rsa3072", KeyType::Rsa3072),
    ("rsa4096", KeyType::Rsa4096),
];

/// `identity`: exactly one source.
pub(super) fn source(reader: &Reader<'_>, node: &Node) -> Option<IdentitySource> {
    let mut fields = Fields::open(reader, node, &keys::IDENTITY)?;
    let one = ("identity comes from exactly one source", "keep one of them");
    let sources = keys::IDENTITY.keys;
    let source = only(reader, &mut fields, sources, one, |reader, key, node| match key {
        "embedded" => embedded(reader, node).map(IdentitySource::Embedded),
        "files" => files::files(reader, node).map(IdentitySource::Files),
        "est" => est::est(reader, node).map(IdentitySource::Est),
        "vault" => vault::vault(reader, node).map(|vault| IdentitySource::Vault(Box::new(vault))),
        _ => spiffe(reader, node).map(IdentitySource::Spiffe),
    });
    let at = fields.at();
    let unknown = fields.finish();
    source.or(|| {
        // One that is misspelt was named, and refused for that.
        if unknown == 0 {
            let fault = Fault::new("identity names no source");
            reader.error(at, fault.hint(format!("add one of {}", sources.join(", "))));
        }
    })
}

fn embedded(reader: &Reader<'_>, node: &Node) -> Option<Embedded> {
    let mut fields = Fields::open(reader, node, &keys::EMBEDDED)?;
    let dir = fields.required("dir", Reader::path);
    let ttl = fields.or("ttl", TTL, ttl);
    let key_types = key_types(&mut fields);
    fields.finish();
    Some(Embedded { dir: dir?, ttl: ttl?, key_types: key_types? })
}

fn spiffe(reader: &Reader<'_>, node: &Node) -> Option<Spiffe> {
    let mut fields = Fields::open(reader, node, &keys::SPIFFE)?;
    let socket = fields.required("socket", one(workload_api));
    fields.finish();
    Some(Spiffe { socket: socket? })
}

/// A leaf's lifetime.
fn ttl(reader: &Reader<'_>, node: &Node) -> Option<Duration> {
    one(duration(MIN_TTL..=Duration::from_secs(YEAR)))(reader, node)
}

/// `key_types`: at least one, each once.
fn key_types(fields: &mut Fields<'_, '_>) -> Option<Vec<KeyType>> {
    fields.or("key_types", vec![KeyType::default()], |reader, node| {
        let nothing = ("an empty list leaves no key to make", "remove the key for [p256]");
        let listed = reader.some(node, located(choice(KEY_TYPES, &[])), nothing)?;
        let mut once = Vec::with_capacity(listed.len());
        let mut twice = false;
        for kind in &listed {
            if once.contains(&kind.value) {
                let fault = Fault::new(format!("{} is listed twice", quoted(&kind.written)));
                reader.error(kind.at(), fault.hint("keep one: there is one certificate of each"));
                twice = true;
            } else {
                once.push(kind.value);
            }
        }
        (!twice).then_some(once)
    })
}
