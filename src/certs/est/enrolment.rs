//! From a proof to certificates: one for each kind of key.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::chain::chain;
use super::client::{Client, LONGEST_WAIT, Proof, Reply};
use super::request::same_names;
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::kept::KeptPair;
use crate::certs::keys::{Key, KeyError, Names, request};
use crate::clock::{self, rfc3339};
use crate::config::KeyType;
use crate::identity::{DnsName, SpiffeId};

/// A decision that takes no longer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whom certificates are to name.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) spiffe: SpiffeId,
    pub(super) dns: Vec<DnsName>,
    pub(super) service: String,
}

/// A key and a request over it.
pub(super) struct KeyedRequest {
    kind: KeyType,
    key: Key,
    request: CertificateSigningRequestDer<'static>,
}

/// Requests without an answer, as when somebody has to decide: the same are to be made again (RFC 7030,
/// 4.2.3).
#[derive(Default)]
pub(super) struct Waiting {
    asked: Vec<Arc<KeyedRequest>>,
    /// Not before this.
    until: Option<OffsetDateTime>,
}

/// What is needed for an enrolment.
pub(super) struct Enrolment<'a> {
    pub(super) client: &'a Client,
    /// For messages.
    pub(super) at: String,
    pub(super) subject: &'a Subject,
    /// What the server's authorities are.
    pub(super) authorities: &'a [CertificateDer<'static>],
    /// The certificate to be replaced.
    pub(super) old: Option<CertificateDer<'static>>,
    pub(super) blocking: &'a Blocking,
}

impl Waiting {
    /// Why it is too early to ask again, if it is.
    pub(super) fn too_early(&self, at: &str, now: OffsetDateTime) -> Option<EnrolError> {
        // Beyond that it is the clock that was set back.
        let until = self.until.filter(|until| now < *until && *until <= now + LONGEST_WAIT)?;
        Some(undecided(at, until))
    }
}

impl Enrolment<'_> {
    /// A certificate over a new key of the kind `kind`.
    pub(super) async fn pair(
        &self,
        kind: KeyType,
        proof: &Proof,
        waiting: &mut Waiting,
    ) -> Result<KeptPair, MaterialError> {
        waiting.until = None;
        let asked = match waiting.asked.iter().find(|asked| asked.kind == kind) {
            Some(asked) => Arc::clone(asked),
            None => {
                let asked = Arc::new(self.ask(kind).await?);
                waiting.asked.push(Arc::clone(&asked));
                asked
            }
        };
        let result = self.decided(&asked, proof, waiting).await;
        // An answer that was lost on its way is asked for again with the same request.
        if !result.as_ref().is_err_and(EnrolError::is_transient) {
            waiting.asked.retain(|other| other.kind != kind);
        }
        Ok(result?)
    }

    /// Asks until there is a decision, as long as that is worth waiting for.
    async fn decided(
        &self,
        asked: &KeyedRequest,
        proof: &Proof,
        waiting: &mut Waiting,
    ) -> Result<KeptPair, EnrolError> {
        let mut waited = Duration::ZERO;
        loop {
            match self.client.enrol(proof, &asked.request).await? {
                Reply::Issued(issued) => return self.over(&asked.key, &issued),
                Reply::Later(wait) if waited + wait <= PATIENCE => {
                    sleep(wait).await;
                    waited += wait;
                }
                Reply::Later(wait) => {
                    let until = clock::now() + wait;
                    waiting.until = Some(until);
                    return Err(undecided(&self.at, until));
                }
            }
        }
    }

    async fn ask(&self, kind: KeyType) -> Result<KeyedRequest, MaterialError> {
        let (subject, old) = (self.subject.clone(), self.old.clone());
        let make = move || -> Result<KeyedRequest, KeyError> {
            let key = Key::make(kind)?;
            let request = match old.and_then(|old| same_names(&old, &key)) {
                Some(request) => request?,
                None => request(&key, subject.names())?,
            };
            Ok(KeyedRequest { kind, key, request })
        };
        self.blocking.run(move || Ok(make()?)).await
    }

    /// The certificate over `key` with its intermediates.
    fn over(&self, key: &Key, issued: &[CertificateDer<'static>]) -> Result<KeptPair, EnrolError> {
        let chain = chain(&key.public(), issued, self.authorities).ok_or_else(|| EnrolError {
            at: self.at.clone(),
            kind: EnrolFailure::BadAnswer,
            what: "issued no certificate over the key that it was asked for".to_owned(),
        })?;
        let key = Zeroizing::new(key.pair().serialized_der().to_vec());
        Ok(KeptPair { chain, key: Arc::new(key) })
    }
}

impl Subject {
    fn names(&self) -> Names<'_> {
        Names {
            spiffe: Some(&self.spiffe),
            dns: &self.dns,
            common_name: Some(self.service.as_str()),
        }
    }
}

fn undecided(at: &str, until: OffsetDateTime) -> EnrolError {
    EnrolError {
        at: at.to_owned(),
        kind: EnrolFailure::Unreachable,
        what: format!(
            "has taken our request, and somebody there has yet to approve it; asked again at {}",
            rfc3339(until)
        ),
    }
}
