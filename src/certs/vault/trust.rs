//! Whom a mount tells us to trust: its authorities, and what they have revoked. Anybody may read both.

use std::collections::BTreeMap;

use http::StatusCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;
use time::OffsetDateTime;

use super::client::Client;
use super::refusal::{Step, quoted};
use crate::certs::Trusted;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::inspect;
use crate::clock::rfc3339;

/// More authorities than this in one mount are not read: each costs two requests a refresh.
const AUTHORITIES: usize = 64;

/// Whom a mount tells us to trust.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) trusted: Trusted,
    /// Where each of the lists came from.
    pub(super) lists: Vec<String>,
    /// What deserves a look.
    pub(super) warnings: Vec<String>,
}

/// One authority of a mount.
struct Authority {
    /// Its certificate, and those above it.
    chain: Vec<CertificateDer<'static>>,
    /// Where its revocation list is; `None` if the mount cannot sign one.
    list: Option<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Known {
    keys: Vec<String>,
    #[serde(default)]
    key_info: BTreeMap<String, KeyInfo>,
}

#[derive(Deserialize)]
struct KeyInfo {
    key_id: Option<String>,
}

#[derive(Deserialize)]
struct Issuer {
    certificate: String,
    #[serde(default)]
    ca_chain: Option<Vec<String>>,
}

/// Reads the authorities of `mount` and their lists. A list that cannot be read stays as it is in `before`.
///
/// # Errors
///
/// The server cannot be asked, there is no authority, or none of them has a list.
pub(super) async fn read(
    client: &Client,
    mount: &str,
    before: &[CertificateRevocationListDer<'static>],
    now: OffsetDateTime,
) -> Result<Trust, EnrolError> {
    let step = Step::Read { mount };
    let known = known(client, mount, &step).await?;
    let authorities = each(client, mount, &step, known).await?;
    let chains = authorities.iter().map(|authority| authority.chain.as_slice());
    let bundle = anchors(chains, now);
    let mut trust = Trust {
        trusted: Trusted { bundle, ..Trusted::default() },
        lists: Vec::new(),
        warnings: Vec::new(),
    };
    for authority in &authorities {
        trust.add_list(client, authority, before, &step).await?;
    }
    if trust.trusted.crls.is_empty() {
        let what = "none of its authorities has a revocation list, so nobody would be refused whose \
                    certificate was revoked: let one sign lists (`bao write \
                    MOUNT/issuer/NAME usage=…,crl-signing`)";
        let at = client.at(&format!("/v1/{mount}/issuers"));
        return Err(EnrolError { at, kind: EnrolFailure::BadAnswer, what: what.to_owned() });
    }
    trust.warnings.extend(trust.ending(mount, now));
    Ok(trust)
}

impl Trust {
    async fn add_list(
        &mut self,
        client: &Client,
        authority: &Authority,
        before: &[CertificateRevocationListDer<'static>],
        step: &Step<'_>,
    ) -> Result<(), EnrolError> {
        let Some(path) = &authority.list else { return Ok(()) };
        let reply = client.read_list(path).await?;
        let at = reply.at.clone();
        let missing = match reply.status {
            StatusCode::OK => None,
            // Of one authority, not of the server.
            StatusCode::INTERNAL_SERVER_ERROR => Some(quoted(&reply.errors())),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(reply.refused(step));
            }
            status => Some(status.to_string()),
        };
        let name = authority.chain.first().and_then(|der| inspect::subject(der));
        let name = name.unwrap_or_default();
        let list = match missing {
            None => CertificateRevocationListDer::from(reply.bytes(step)?.to_vec()),
            Some(why) => match before.iter().find(|list| is_of(list, authority)) {
                Some(old) => {
                    self.warnings
                        .push(format!("{at}: no revocation list now ({why}): the last one stays"));
                    old.clone()
                }
                None => {
                    self.warnings.push(format!(
                        "{at}: no revocation list ({why}): certificates of {name} are refused, because \
                         nobody says which of them are revoked"
                    ));
                    return Ok(());
                }
            },
        };
        // Authorities of one name and key share theirs.
        if !list.is_empty() && !self.trusted.crls.contains(&list) {
            self.trusted.crls.push(list);
            self.lists.push(at);
        }
        Ok(())
    }

    /// Lists that end soon: unless told so, a mount signs new ones only when something is revoked.
    fn ending(&self, mount: &str, now: OffsetDateTime) -> Vec<String> {
        let lists = self.trusted.crls.iter().zip(&self.lists);
        let soon = lists.filter_map(|(der, at)| {
            let list = inspect::revocation_list(der)?;
            let (begin, end) = (list.last_update().to_datetime(), list.next_update()?.to_datetime());
            (end > now && end - now < (end - begin) / 8).then(|| {
                format!(
                    "{at}: the revocation list is good until {}, and all peers with certificates from \
                     there are refused when it is over: `bao read {mount}/crl/rotate` makes a new one",
                    rfc3339(end)
                )
            })
        });
        soon.collect()
    }

    /// Adds the authorities that came with a certificate.
    pub(super) fn add(&mut self, chain: &[CertificateDer<'static>], now: OffsetDateTime) {
        for der in anchors(std::iter::once(chain), now) {
            if !self.trusted.bundle.contains(&der) && is_self_issued(&der) {
                self.trusted.bundle.push(der);
            }
        }
        in_order(&mut self.trusted.bundle);
    }

    /// What deserves a look about the lists, for who has the certificate `leaf`.
    pub(super) fn uncovered(&self, leaf: &[u8]) -> Option<String> {
        let x509 = inspect::certificate(leaf)?;
        let covers = |der: &CertificateRevocationListDer<'_>| {
            inspect::revocation_list(der)
                .is_some_and(|list| list.issuer().as_raw() == x509.issuer().as_raw())
        };
        (!self.trusted.crls.iter().any(covers)).then(|| {
            format!(
                "no revocation list of {}, who issued our certificate: peers with certificates from there \
                 are refused, because nobody says which of them are revoked",
                crate::identity::Subject::of(x509.issuer()).text
            )
        })
    }

    /// Whether `leaf` is on one of the lists.
    pub(super) fn revokes(&self, leaf: &[u8]) -> bool {
        let Some(x509) = inspect::certificate(leaf) else { return false };
        self.trusted.crls.iter().filter_map(|der| inspect::revocation_list(der)).any(|list| {
            list.issuer().as_raw() == x509.issuer().as_raw()
                && list
                    .iter_revoked_certificates()
                    .any(|entry| entry.raw_serial() == x509.raw_serial())
        })
    }
}

/// The authorities of the mount. A server before Vault 1.11, which has only one in a mount, does not tell.
async fn known(client: &Client, mount: &str, step: &Step<'_>) -> Result<Known, EnrolError> {
    let reply = client.read(&format!("/v1/{mount}/issuers?list=true")).await?;
    let at = reply.at.clone();
    let Answer { data: known } = reply.json::<Answer<Known>>(step)?;
    let strange = |what: String| EnrolError { at, kind: EnrolFailure::BadAnswer, what };
    if known.keys.len() > AUTHORITIES {
        let what = format!(
            "lists {} authorities; no more than {AUTHORITIES} are read: delete those that are over, or \
             use a mount of its own",
            known.keys.len()
        );
        return Err(strange(what));
    }
    let is_id = |id: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !known.keys.iter().all(|id| is_id(id)) {
        return Err(strange("names an authority in a way that is not understood".to_owned()));
    }
    Ok(known)
}

async fn each(
    client: &Client,
    mount: &str,
    step: &Step<'_>,
    known: Known,
) -> Result<Vec<Authority>, EnrolError> {
    let mut authorities = Vec::new();
    for id in &known.keys {
        let reply = client.read(&format!("/v1/{mount}/issuer/{id}/json")).await?;
        let at = reply.at.clone();
        let Answer { data: issuer } = reply.json::<Answer<Issuer>>(step)?;
        let above = issuer.ca_chain.unwrap_or_default();
        let texts = std::iter::once(issuer.certificate).chain(above);
        let mut chain: Vec<CertificateDer<'static>> = Vec::new();
        for der in certificates(texts.collect::<Vec<_>>().join("\n").as_bytes(), &at)? {
            if !chain.contains(&der) {
                chain.push(der);
            }
        }
        let info = known.key_info.get(id).and_then(|info| info.key_id.as_deref());
        let signs = info.is_none_or(|key| !key.is_empty());
        let list = signs.then(|| format!("/v1/{mount}/issuer/{id}/crl/der"));
        authorities.push(Authority { chain, list });
    }
    Ok(authorities)
}

/// The certificates of a text in PEM that came from `at`.
pub(super) fn certificates(
    pem: &[u8],
    at: &str,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let all: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem)
        .map(|der| der.ok().filter(|der| inspect::certificate(der).is_some()))
        .collect();
    all.ok_or_else(|| EnrolError {
        at: at.to_owned(),
        kind: EnrolFailure::BadAnswer,
        what: "sends a certificate that cannot be parsed".to_owned(),
    })
}

/// The roots that `chains` end in. Where one ends in none, its first certificate: trusting no more than the
/// mount itself vouches for. Those that are over are left out: mounts keep them for ever.
fn anchors<'a>(
    chains: impl Iterator<Item = &'a [CertificateDer<'static>]>,
    now: OffsetDateTime,
) -> Vec<CertificateDer<'static>> {
    let mut anchors: Vec<CertificateDer<'static>> = Vec::new();
    for chain in chains {
        let roots: Vec<_> = chain.iter().filter(|der| is_self_issued(der)).collect();
        let trusted = if roots.is_empty() { chain.first().into_iter().collect() } else { roots };
        for der in trusted {
            let is_over = inspect::not_after(der).is_none_or(|end| end < now);
            if !is_over && !anchors.contains(der) {
                anchors.push(der.clone());
            }
        }
    }
    // Always the same order: what did not change must not look as if it had.
    in_order(&mut anchors);
    anchors
}

/// Whether a certificate is a root's.
pub(super) fn is_self_issued(der: &[u8]) -> bool {
    inspect::certificate(der).is_some_and(|x509| x509.subject().as_raw() == x509.issuer().as_raw())
}

fn is_of(list: &[u8], authority: &Authority) -> bool {
    let subject = authority.chain.first().and_then(|der| inspect::certificate(der));
    let list = inspect::revocation_list(list);
    subject
        .zip(list)
        .is_some_and(|(authority, list)| authority.subject().as_raw() == list.issuer().as_raw())
}

fn in_order(bundle: &mut [CertificateDer<'static>]) {
    bundle.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
}

#[cfg(test)]
mod tests;
