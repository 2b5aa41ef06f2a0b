//! Files that someone else puts there.

use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader};
use crate::config::yaml::Node;
use crate::config::{Files, PairFiles, PairForm, keys};

/// `identity.files`
pub(super) fn files(reader: &Reader<'_>, node: &Node) -> Option<Files> {
    let mut fields = Fields::open(reader, node, &keys::FILES)?;
    let pair = pair(reader, &mut fields);
    let trust_bundle = fields.required("trust_bundle", Reader::path);
    let crls = fields.or("crls", Vec::new(), |reader, node| reader.list(node, Reader::path));
    let others = fields.or("others", Vec::new(), |reader, node| reader.list(node, other));
    fields.finish();
    Some(Files { pair: pair?, others: others?, trust_bundle: trust_bundle?, crls: crls? })
}

/// An item of `others`.
fn other(reader: &Reader<'_>, node: &Node) -> Option<PairFiles> {
    let mut fields = Fields::open(reader, node, &keys::PAIR)?;
    let pair = pair(reader, &mut fields);
    fields.finish();
    pair
}

/// `cert` and `key`, or `pkcs12`.
fn pair(reader: &Reader<'_>, fields: &mut Fields<'_, '_>) -> Option<PairFiles> {
    const HOW: &str = "`cert: tls.crt` and `key: tls.key`, or `pkcs12: identity.p12`";
    let [cert, key, pkcs12] = ["cert", "key", "pkcs12"].map(|key| fields.entry(key));
    let passphrase_file = fields.optional("passphrase_file", Reader::path);
    let form = match (pkcs12, cert.or(key)) {
        (Some(pkcs12), None) => reader.path(&pkcs12.node).map(PairForm::Pkcs12),
        (None, Some(_)) => {
            let cert = fields.must("cert", Some("tls.crt"), Reader::path);
            let key = fields.must("key", Some("tls.key"), Reader::path);
            cert.zip(key).map(|(cert, key)| PairForm::Pem { cert, key })
        }
        (Some(pkcs12), Some(pem)) => {
            let text =
                format!("`pkcs12` beside `{}`: a PKCS#12 file holds certificate and key", pem.name);
            reader.error(pkcs12.at(), Fault::new(text).hint(format!("keep {HOW}")));
            None
        }
        (None, None) => {
            let fault = Fault::new("no certificate is named here");
            reader.error(fields.at(), fault.hint(format!("add {HOW}")));
            None
        }
    };
    Some(PairFiles { form: form?, passphrase_file: passphrase_file? })
}
