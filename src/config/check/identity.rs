//! Where key material comes from.

use std::time::Duration;

use super::YEAR;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::duration;
use crate::config::yaml::Node;
use crate::config::{Embedded, Files, IdentitySource, KeyType, PairFiles, PairForm, keys};

const TTL: Duration = Duration::from_secs(24 * 3600);
const MIN_TTL: Duration = Duration::from_secs(60);

/// `identity`: exactly one source.
pub(super) fn source(reader: &Reader<'_>, node: &Node) -> Option<IdentitySource> {
    let mut fields = Fields::open(reader, node, &keys::IDENTITY)?;
    let embedded = fields.optional("embedded", embedded);
    let second = fields.entry("files");
    let files = second.map(|entry| files(reader, &entry.node));
    let at = fields.at();
    let unknown = fields.finish();
    match (embedded?, files) {
        (Some(_), Some(_)) => {
            let at = second.map_or(at, |entry| entry.at());
            let fault =
                Fault::new("`files` beside `embedded`: identity comes from exactly one source");
            reader.error(at, fault.hint("keep one of them"));
            None
        }
        (Some(embedded), None) => Some(embedded),
        (None, Some(files)) => files,
        (None, None) => {
            // A source of a later release was named, and refused for that.
            if unknown == 0 {
                let fault = Fault::new("identity names no source");
                reader.error(at, fault.hint("add `embedded: { dir: … }` or `files: { cert: …, key: …, trust_bundle: … }`"));
            }
            None
        }
    }
}

fn embedded(reader: &Reader<'_>, node: &Node) -> Option<IdentitySource> {
    let mut fields = Fields::open(reader, node, &keys::EMBEDDED)?;
    let dir = fields.required("dir", Reader::path);
    let ttl = fields.or("ttl", TTL, one(duration(MIN_TTL..=Duration::from_secs(YEAR))));
    fields.finish();
    Some(IdentitySource::Embedded(Embedded {
        dir: dir?,
        ttl: ttl?,
        key_types: vec![KeyType::P256],
    }))
}

fn files(reader: &Reader<'_>, node: &Node) -> Option<IdentitySource> {
    let mut fields = Fields::open(reader, node, &keys::FILES)?;
    let cert = fields.required("cert", Reader::path);
    let key = fields.required("key", Reader::path);
    let trust_bundle = fields.required("trust_bundle", Reader::path);
    let crls = fields.or("crls", Vec::new(), |reader, node| reader.list(node, Reader::path));
    fields.finish();
    Some(IdentitySource::Files(Files {
        pair: PairFiles { form: PairForm::Pem { cert: cert?, key: key? }, passphrase_file: None },
        others: Vec::new(),
        trust_bundle: trust_bundle?,
        crls: crls?,
    }))
}
