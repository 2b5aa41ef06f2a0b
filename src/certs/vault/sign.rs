//! Has certificates issued over keys that never leave the process.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::client::{Client, Reply};
use super::refusal::{Step, is_about_dns};
use super::secret::Secret;
use super::trust::{certificates, is_self_issued};
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::inspect;
use crate::certs::kept::KeptPair;
use crate::certs::keys::{Key, Names, request};
use crate::config;
use crate::identity::{DnsName, SpiffeId};

/// What a certificate is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) config: &'a config::Vault,
    pub(super) mount: &'a str,
    pub(super) spiffe: &'a SpiffeId,
    pub(super) dns: &'a [DnsName],
}

/// A certificate with its key.
pub(super) struct Issued {
    pub(super) pair: Arc<CertifiedKey>,
    /// The same, to be kept.
    pub(super) kept: KeptPair,
    /// The authorities that came with it.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// What the server remarked.
    pub(super) warnings: Vec<String>,
}

#[derive(Serialize)]
struct SigningRequest<'a> {
    csr: &'a str,
    /// For roles that do not take names from requests.
    uri_sans: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_names: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Signed,
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Signed {
    certificate: String,
    issuing_ca: Option<String>,
    ca_chain: Option<Vec<String>>,
}

impl<'a> Wish<'a> {
    pub(super) fn step(self) -> Step<'a> {
        Step::Sign { mount: self.mount, role: &self.config.role, spiffe: self.spiffe }
    }

    /// Asks for a certificate over `key`. Roles for SPIFFE IDs seldom allow a DNS name, too: where one does
    /// not, it is asked without.
    ///
    /// # Errors
    ///
    /// The server cannot be asked, refuses, or answers with another key's certificate.
    pub(super) async fn ask(
        self,
        client: &Client,
        token: &Secret,
        key: &Key,
    ) -> Result<Reply, EnrolError> {
        let first = self.send(client, token, key).await?;
        if !self.dns.is_empty() && is_about_dns(first.status, &first.errors()) {
            tracing::debug!("the role does not allow our DNS name, going without");
            return Wish { dns: &[], ..self }.send(client, token, key).await;
        }
        Ok(first)
    }

    async fn send(self, client: &Client, token: &Secret, key: &Key) -> Result<Reply, EnrolError> {
        let path = format!("/v1/{}/sign/{}", self.mount, self.config.role);
        let common_name = self.config.common_name.as_deref();
        let names = Names { spiffe: Some(self.spiffe), dns: self.dns, common_name };
        let unprepared =
            |what: String| EnrolError { at: path.clone(), kind: EnrolFailure::Unprepared, what };
        let csr = request(key, names)
            .map_err(|error| unprepared(crate::report::Report(&error).to_string()))?;
        let dns: Vec<&str> = self.dns.iter().map(DnsName::as_str).collect();
        let asked = SigningRequest {
            csr: &pem(&csr),
            uri_sans: self.spiffe.as_str(),
            alt_names: (!dns.is_empty()).then(|| dns.join(",")),
            common_name,
            ttl: self.config.ttl.map(|ttl| format!("{}s", ttl.as_secs())),
            format: "pem",
        };
        let body = serde_json::to_vec(&asked).map_err(|error| unprepared(error.to_string()))?;
        client.write(&path, Some(token), Zeroizing::new(body)).await
    }

    /// Takes the certificate over `key` from the answer.
    ///
    /// # Errors
    ///
    /// It is a refusal, or no certificate over `key`.
    pub(super) fn take(self, reply: Reply, key: &Key) -> Result<Issued, EnrolError> {
        let at = reply.at.clone();
        let Answer { data, warnings } = reply.json(&self.step())?;
        let above = data.ca_chain.filter(|chain| !chain.is_empty());
        let above = above.unwrap_or_else(|| data.issuing_ca.into_iter().collect()).join("\n");
        let authorities = certificates(above.as_bytes(), &at)?;
        let mut chain = certificates(data.certificate.as_bytes(), &at)?;
        chain.truncate(1); // a bundle repeats what is above it
        let fits = |der: &CertificateDer<'_>| {
            inspect::certificate(der).is_some_and(|x509| x509.public_key().raw == key.public())
        };
        if !chain.first().is_some_and(fits) {
            let what = "answers with a certificate that is not over our key".to_owned();
            return Err(EnrolError { at, kind: EnrolFailure::BadAnswer, what });
        }
        chain.extend(authorities.iter().filter(|der| !is_self_issued(der)).cloned());
        let pkcs8 = Zeroizing::new(key.pair().serialized_der().to_vec());
        // That a longer life was asked for than the role allows is news only if it was asked for.
        let asked_for = self.config.ttl.is_some();
        let warnings = warnings
            .unwrap_or_default()
            .into_iter()
            .filter(|text| asked_for && text.starts_with("TTL"));
        Ok(Issued {
            pair: Arc::new(CertifiedKey::new(chain.clone(), key.signing())),
            kept: KeptPair { chain, key: Arc::new(pkcs8) },
            authorities,
            warnings: warnings.map(|text| format!("{at}: {text}")).collect(),
        })
    }
}

/// When a certificate counts as issued: authorities make theirs valid from a little earlier.
pub(super) fn issued_at(leaf: &[u8], now: OffsetDateTime) -> OffsetDateTime {
    let from = inspect::certificate(leaf).map(|x509| x509.validity().not_before.to_datetime());
    from.map_or(now, |from| from.max(now))
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        lines.join("\n")
    )
}
