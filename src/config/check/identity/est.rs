//! An EST server (RFC 7030).

use http::Uri;

use super::url::{base, is_bare, is_https, url};
use crate::config::check::only::only;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, located, one};
use crate::config::scalar::{fingerprint, remark};
use crate::config::yaml::Node;
use crate::config::{Est, EstTrust, keys};

/// Where certificate and key are kept when the file does not say.
const DIR: &str = "/var/lib/myelin/identity";
const HOW: &str = "`openssl x509 -in ca.crt -outform der | sha256sum` prints the digits";

/// `identity.est`
pub(super) fn est(reader: &Reader<'_>, node: &Node) -> Option<Est> {
    let mut fields = Fields::open(reader, node, &keys::EST)?;
    let server = fields.required("url", one(server));
    let trust = trust(reader, &mut fields);
    let token_file = fields.optional("token_file", Reader::path);
    let username = fields.optional("username", located(username));
    let dir = fields.or("dir", DIR.into(), Reader::path);
    let key_types = super::key_types(&mut fields);
    let crl_url = one(|text| url(text, "http://ca.hospital.example/ca.crl"));
    let crl_urls = fields.or("crl_urls", Vec::new(), |reader, node| reader.list(node, crl_url));
    fields.finish();
    if let (Some(Some(name)), Some(None)) = (&username, &token_file) {
        let fault = Fault::new("`username` without `token_file`: nobody is told it");
        reader.warn(name.at(), fault.hint("add `token_file`, or remove `username`"));
    }
    Some(Est {
        url: server?,
        trust: trust?,
        token_file: token_file?,
        username: username?.map(|name| name.value),
        dir: dir?,
        key_types: key_types?,
        crl_urls: crl_urls?,
    })
}

/// How the server is known.
fn trust<'a>(reader: &Reader<'a>, fields: &mut Fields<'_, 'a>) -> Option<EstTrust> {
    const KEYS: &[&str] = &["trust_bundle", "fingerprint"];
    let one_way = ("the server is known in exactly one way", "keep one of them");
    let trust = only(reader, fields, KEYS, one_way, |reader, key, node| match key {
        "trust_bundle" => reader.path(node).map(EstTrust::Bundle),
        _ => one(fingerprint(HOW))(reader, node).map(EstTrust::Fingerprint),
    });
    let at = fields.at();
    trust.or(|| {
        let fault = Fault::new("nothing says how the server of identity.est is known");
        let hint = "add `trust_bundle: ca.crt`, or `fingerprint: \"sha256:…\"` of its authority";
        reader.error(at, fault.hint(hint));
    })
}

fn server(text: &str) -> Result<Uri, Fault> {
    const LIKE: &str = "https://ca.hospital.example/.well-known/est";
    let uri = base(text, LIKE)?;
    if !is_https(&uri) {
        return Err(Fault::new("is not https, and EST is spoken over nothing else (RFC 7030)")
            .hint(format!("write it like {LIKE}")));
    }
    if is_bare(&uri) {
        let text = text.trim_end_matches('/');
        return Err(Fault::new("has no path, and EST servers answer below one").quoting(format!(
            "write {text}/.well-known/est, unless the CA's manual says otherwise"
        )));
    }
    Ok(uri)
}

/// A user name of HTTP Basic: no colon, which ends it, and no control character (RFC 7617, section 2).
fn username(text: &str) -> Result<String, Fault> {
    if text.contains(|c: char| c == ':' || c.is_control()) {
        return Err(Fault::new(
            "has a colon or a control character, which no user name may (RFC 7617)",
        ));
    }
    remark(text)
}
