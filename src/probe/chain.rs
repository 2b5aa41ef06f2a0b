//! Whether a chain leads to the trust bundle, and where it breaks off.

use std::fmt;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{Question, anatomy};
use crate::identity::Subject;
use crate::tls::provider;

/// Where a chain breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoChain {
    /// The leaf has signed itself.
    SelfSigned,
    /// It leads to another root than ours.
    OtherRoot {
        /// The root that the server sent along.
        root: String,
    },
    /// Its authority bears the name of one of ours, and has another key.
    OtherKey {
        /// The name.
        authority: String,
    },
    /// The server left out an intermediate that we happen to have ourselves.
    LeftOut {
        /// The intermediate.
        intermediate: String,
    },
    /// Whoever signed the last certificate is neither sent along nor in our trust bundle.
    Unknown {
        /// Who signed.
        issuer: String,
        /// The server sent the leaf alone.
        alone: bool,
    },
    /// The chain leads somewhere and breaks a rule on the way.
    Unusable(String),
}

impl fmt::Display for NoChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfSigned => f.write_str("none: the certificate has signed itself"),
            Self::OtherRoot { root } => {
                write!(f, "leads to {root}, which is not in our trust bundle")
            }
            Self::OtherKey { authority } => {
                write!(f, "leads to {authority}, whose key in our trust bundle is another")
            }
            Self::LeftOut { intermediate } => write!(f, "{intermediate} was not sent along"),
            Self::Unknown { issuer, .. } => {
                write!(f, "breaks off at {issuer}: neither sent along nor in our trust bundle")
            }
            Self::Unusable(what) => write!(f, "breaks a rule: {what}"),
        }
    }
}

/// The authorities that chains may lead to.
pub(super) struct Chains {
    /// Each with its name.
    anchors: Vec<(TrustAnchor<'static>, String, Vec<u8>)>,
    /// Intermediates that we present ourselves.
    own: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Names of a certificate, as they stand and for people.
struct Link {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    issuer_text: String,
    subject_text: String,
}

impl Chains {
    pub(super) fn new(question: &Question) -> Self {
        let trusted = &question.trusted;
        let bundle = trusted.bundle.iter().chain(trusted.federated.values().flatten());
        let anchors = bundle.filter_map(|der| {
            let anchor = webpki::anchor_from_trusted_cert(der).ok()?.to_owned();
            let link = link(der)?;
            Some((anchor, link.subject_text, link.subject))
        });
        let material = question.material.iter();
        let pairs = material.flat_map(|m| std::iter::once(&m.presented).chain(&m.others));
        Self {
            anchors: anchors.collect(),
            own: pairs.flat_map(|pair| pair.cert.iter().skip(1).cloned()).collect(),
            algorithms: provider(&question.config.tls).signature_verification_algorithms,
        }
    }

    /// The authority of ours that `chain` leads to, leaving aside dates and purposes.
    pub(super) fn find(
        &self,
        chain: &[CertificateDer<'static>],
        now: OffsetDateTime,
    ) -> Result<String, NoChain> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(NoChain::Unusable("there is no certificate".to_owned()));
        };
        let error = match self.leads(leaf, intermediates, now) {
            Ok(anchor) => return Ok(anchor),
            Err(error) => error,
        };
        let links: Vec<Link> = chain.iter().filter_map(|der| link(der)).collect();
        let Some(first) = links.first() else {
            return Err(NoChain::Unusable(format!("{error:?}")));
        };
        if !is_stranger(&error) {
            return Err(NoChain::Unusable(format!("{error:?}")));
        }
        if first.subject == first.issuer {
            return Err(NoChain::SelfSigned);
        }
        let last = top(first, &links);
        let with_own: Vec<_> = intermediates.iter().chain(&self.own).cloned().collect();
        if !self.own.is_empty() && self.leads(leaf, &with_own, now).is_ok() {
            return Err(NoChain::LeftOut { intermediate: last.issuer_text.clone() });
        }
        if let Some((_, name, _)) = self.anchors.iter().find(|(_, _, der)| *der == last.issuer) {
            return Err(NoChain::OtherKey { authority: name.clone() });
        }
        if last.subject == last.issuer {
            return Err(NoChain::OtherRoot { root: last.subject_text.clone() });
        }
        Err(NoChain::Unknown { issuer: last.issuer_text.clone(), alone: intermediates.is_empty() })
    }

    fn leads(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<String, webpki::Error> {
        let end = EndEntityCert::try_from(leaf)?;
        let anchors: Vec<_> = self.anchors.iter().map(|(anchor, ..)| anchor.clone()).collect();
        let (mut told, mut aside) = (None, None);
        // What has expired was valid once, and what is not valid yet will be.
        for at in moments(leaf, now) {
            for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
                let path = end.verify_for_usage(
                    self.algorithms.all,
                    &anchors,
                    intermediates,
                    at,
                    usage,
                    None,
                    None,
                );
                match path {
                    Ok(path) => return Ok(self.name_of(path.anchor())),
                    Err(error) if is_aside(&error) => aside = Some(error),
                    Err(error) => told = Some(error),
                }
            }
        }
        Err(told.or(aside).unwrap_or(webpki::Error::UnknownIssuer))
    }

    fn name_of(&self, anchor: &TrustAnchor<'_>) -> String {
        let found = self.anchors.iter().find(|(known, ..)| known == anchor);
        found.map_or_else(|| "an authority".to_owned(), |(_, name, _)| name.clone())
    }
}

/// Dates and purposes have checks of their own.
fn is_aside(error: &webpki::Error) -> bool {
    use webpki::Error;
    matches!(
        error,
        Error::CertExpired { .. }
            | Error::CertNotValidYet { .. }
            | Error::RequiredEkuNotFoundContext(_)
    )
}

/// No authority of ours has signed it.
fn is_stranger(error: &webpki::Error) -> bool {
    use webpki::Error;
    matches!(error, Error::UnknownIssuer | Error::InvalidSignatureForPublicKey)
}

fn moments(leaf: &CertificateDer<'_>, now: OffsetDateTime) -> Vec<UnixTime> {
    let second = time::Duration::SECOND;
    let mut moments = vec![now];
    if let Some((certificate, _)) = anatomy::read(leaf) {
        moments.extend([certificate.not_after - second, certificate.not_before + second]);
    }
    let seconds = moments.into_iter().map(|at| u64::try_from(at.unix_timestamp()).unwrap_or(0));
    seconds.map(|at| UnixTime::since_unix_epoch(Duration::from_secs(at))).collect()
}

/// The last certificate that can be reached from `first` over the names of issuers.
fn top<'l>(first: &'l Link, links: &'l [Link]) -> &'l Link {
    let mut last = first;
    // No longer than there are certificates: names may go round in a circle.
    for _ in links {
        let next = links.iter().find(|link| link.subject == last.issuer);
        match next {
            Some(next) if last.subject != last.issuer => last = next,
            _ => break,
        }
    }
    last
}

fn link(der: &CertificateDer<'_>) -> Option<Link> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    Some(Link {
        subject: x509.subject().as_raw().to_vec(),
        issuer: x509.issuer().as_raw().to_vec(),
        issuer_text: Subject::of(x509.issuer()).text,
        subject_text: Subject::of(x509.subject()).text,
    })
}
