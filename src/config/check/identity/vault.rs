//! The PKI of OpenBao or Vault.

use std::path::PathBuf;

use http::Uri;

use super::url::{base, is_bare, is_https, is_loopback};
use crate::config::check::only::only;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::remark;
use crate::config::yaml::Node;
use crate::config::{Vault, VaultAuth, keys};

/// Longest mount, role or namespace, in bytes.
const MAX_NAME: usize = 255;
/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// `identity.vault`
pub(super) fn vault(reader: &Reader<'_>, node: &Node) -> Option<Vault> {
    let mut fields = Fields::open(reader, node, &keys::VAULT)?;
    let address = fields.required("address", one(address));
    let namespace = fields.optional("namespace", one(mount));
    let mount = fields.or("mount", "pki".into(), one(mount));
    let role = fields.required("role", one(role));
    let trust_bundle = trust_bundle(&mut fields, address.as_ref());
    let auth = fields.required("auth", auth);
    let ttl = fields.optional("ttl", super::ttl);
    let common_name = fields.optional("common_name", one(plain));
    let key_types = super::key_types(&mut fields);
    let dir = fields.optional("dir", Reader::path);
    fields.finish();
    Some(Vault {
        address: address?,
        namespace: namespace?,
        mount: mount?,
        role: role?,
        trust_bundle: trust_bundle?,
        auth: auth?,
        ttl: ttl?,
        common_name: common_name?,
        key_types: key_types?,
        dir: dir?,
    })
}

/// `trust_bundle`, which must be there for `https`: there is no other way to know the server.
fn trust_bundle(fields: &mut Fields<'_, '_>, address: Option<&Uri>) -> Option<Option<PathBuf>> {
    if address.is_some_and(is_https) {
        fields.must("trust_bundle", Some("ca.crt"), Reader::path).map(Some)
    } else {
        fields.optional("trust_bundle", Reader::path)
    }
}

fn address(text: &str) -> Result<Uri, Fault> {
    let uri = base(text, "https://bao.hospital.example:8200")?;
    if !is_bare(&uri) {
        return Err(Fault::new("has a path").hint("leave it out; `mount` says where the PKI is"));
    }
    if !is_https(&uri) && !is_loopback(&uri) {
        return Err(Fault::new("is http, and the token would go in the clear").hint(
            "use https with `trust_bundle`; http is for 127.0.0.1 and [::1] alone, not for names",
        ));
    }
    Ok(uri)
}

/// `auth`: exactly one method.
fn auth(reader: &Reader<'_>, node: &Node) -> Option<VaultAuth> {
    let mut fields = Fields::open(reader, node, &keys::VAULT_AUTH)?;
    let methods = keys::VAULT_AUTH.keys;
    let one_way = ("one way to authenticate is used", "keep one of them");
    let auth = only(reader, &mut fields, methods, one_way, |reader, key, node| match key {
        "token_file" => reader.path(node).map(VaultAuth::TokenFile),
        "approle" => approle(reader, node),
        "kubernetes" => kubernetes(reader, node),
        _ => cert(reader, node),
    });
    let at = fields.at();
    let unknown = fields.finish();
    auth.or(|| {
        if unknown == 0 {
            let fault = Fault::new("identity.vault.auth names no way to authenticate");
            reader.error(at, fault.hint(format!("add one of {}", methods.join(", "))));
        }
    })
}

fn approle(reader: &Reader<'_>, node: &Node) -> Option<VaultAuth> {
    let mut fields = Fields::open(reader, node, &keys::APPROLE)?;
    let mount = fields.or("mount", "approle".into(), one(mount));
    let role_id = fields.required("role_id", one(plain));
    let secret_id_file = fields.required("secret_id_file", Reader::path);
    fields.finish();
    Some(VaultAuth::AppRole { mount: mount?, role_id: role_id?, secret_id_file: secret_id_file? })
}

fn kubernetes(reader: &Reader<'_>, node: &Node) -> Option<VaultAuth> {
    let mut fields = Fields::open(reader, node, &keys::KUBERNETES)?;
    let mount = fields.or("mount", "kubernetes".into(), one(mount));
    let role = fields.required("role", one(role));
    let token_file = fields.or("token_file", SERVICE_ACCOUNT.into(), Reader::path);
    fields.finish();
    Some(VaultAuth::Kubernetes { mount: mount?, role: role?, token_file: token_file? })
}

fn cert(reader: &Reader<'_>, node: &Node) -> Option<VaultAuth> {
    let mut fields = Fields::open(reader, node, &keys::CERT_AUTH)?;
    let mount = fields.or("mount", "cert".into(), one(mount));
    let role = fields.optional("role", one(role));
    let cert = fields.required("cert", Reader::path);
    let key = fields.required("key", Reader::path);
    fields.finish();
    Some(VaultAuth::Cert { mount: mount?, role: role?, cert: cert?, key: key? })
}

/// Segments joined by slashes, of characters that stand in a URL as they are.
fn mount(text: &str) -> Result<String, Fault> {
    let text = text.trim_end_matches('/');
    if !text.split('/').all(is_segment) || text.len() > MAX_NAME {
        return Err(Fault::new("is not a path in the server").hint(
            "letters, digits, '-', '_' and '.' in segments joined by '/', like pki or pki/wards",
        ));
    }
    Ok(text.to_owned())
}

fn role(text: &str) -> Result<String, Fault> {
    if !is_segment(text) || text.len() > MAX_NAME {
        return Err(
            Fault::new("is not the name of a role").hint("letters, digits, '-', '_' and '.'")
        );
    }
    Ok(text.to_owned())
}

fn is_segment(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !matches!(text, "" | "." | "..") && text.bytes().all(fits)
}

/// A text without control characters.
fn plain(text: &str) -> Result<String, Fault> {
    if text.contains(char::is_control) {
        return Err(Fault::new("has a control character in it").hint("keep it on one line"));
    }
    remark(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_stays_in_its_place() {
        assert_eq!(mount("pki/int/").unwrap(), "pki/int");
        for wrong in ["", "/", "/pki", "pki//int", "../sys", "pki?x", "pki int", "p%6bi", "é"] {
            assert!(mount(wrong).is_err(), "{wrong}");
        }
        assert!(role("side-car_1.x").is_ok());
        assert!(role("a/b").is_err() && role("").is_err() && role(&"a".repeat(256)).is_err());
    }

    #[test]
    fn plaintext_is_for_loopback_addresses_alone() {
        for good in
            ["http://127.0.0.1:8200", "http://[::1]:8200/", "https://bao:8200", "http://127.9.9.9"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://localhost:8200",
            "http://10.0.0.7",
            "http://[::]:1",
            "https://bao/v1",
            "bao:8200",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
