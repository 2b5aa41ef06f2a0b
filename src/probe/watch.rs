//! Looks on while rustls shakes hands: what the server presents, and what it asks for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::Question;
use super::judge::Judge;
use super::seen::{CertificateRequest, Judged};
use crate::identity::Subject;
use crate::tls::{ConfigError, provider};

/// Names of authorities that are kept.
const AUTHORITIES: usize = 50;

/// What was seen of a handshake while it went on.
#[derive(Default)]
pub(super) struct Look {
    /// The server's certificate, judged.
    pub(super) judged: Option<Judged>,
    /// What the server asked for.
    pub(super) asked: Option<CertificateRequest>,
    /// What we chose to present.
    pub(super) chosen: Option<Chosen>,
}

/// What we chose to present.
pub(super) struct Chosen {
    /// The certificate and its intermediates, leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The authorities that the server named, in DER.
    pub(super) authorities: Vec<Vec<u8>>,
    /// Whether the server verifies signatures by its key.
    pub(super) verifiable: bool,
}

/// A verifier and a resolver that share what they see.
pub(super) struct Watched {
    look: Arc<Mutex<Look>>,
    verifier: Arc<Verifier>,
    resolver: Arc<Resolver>,
}

impl Watched {
    /// Looks with the eyes of `question`.
    pub(super) fn new(question: &Question) -> Result<Self, ConfigError> {
        let look = Arc::new(Mutex::new(Look::default()));
        let verifier = Arc::new(Verifier {
            judge: Judge::new(question)?,
            anyway: question.anyway,
            algorithms: provider(&question.config.tls).signature_verification_algorithms,
            look: Arc::clone(&look),
        });
        let resolver =
            Arc::new(Resolver { inner: question.presents.clone(), look: Arc::clone(&look) });
        Ok(Self { look, verifier, resolver })
    }

    /// What rustls is to ask.
    pub(super) fn eyes(&self) -> (Arc<dyn ServerCertVerifier>, Arc<dyn ResolvesClientCert>) {
        (Arc::clone(&self.verifier) as _, Arc::clone(&self.resolver) as _)
    }

    /// Whether the server has shown its certificate.
    pub(super) fn has_judged(&self) -> bool {
        seen(&self.look).judged.is_some()
    }

    /// Whether we refuse the server's certificate.
    pub(super) fn has_refused(&self) -> bool {
        seen(&self.look).judged.as_ref().is_some_and(|judged| judged.refusal.is_some())
    }

    /// What the server asked for.
    pub(super) fn asked(&self) -> Option<CertificateRequest> {
        seen(&self.look).asked.clone()
    }

    /// All that was seen.
    pub(super) fn into_look(self) -> Look {
        std::mem::take(&mut *seen(&self.look))
    }
}

fn seen(look: &Mutex<Look>) -> MutexGuard<'_, Look> {
    look.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Verifier {
    judge: Judge,
    anyway: bool,
    algorithms: WebPkiSupportedAlgorithms,
    look: Arc<Mutex<Look>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("anyway", &self.anyway).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.judge.judge(end_entity, intermediates);
        let refused = judged.refusal.is_some();
        seen(&self.look).judged = Some(judged);
        if refused && !self.anyway {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[derive(Clone)]
struct Resolver {
    inner: Option<Arc<dyn ResolvesClientCert>>,
    look: Arc<Mutex<Look>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        verifies: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let pair = self.inner.as_ref().and_then(|inner| inner.resolve(authorities, verifies));
        let verifiable =
            pair.as_ref().is_some_and(|pair| pair.key.choose_scheme(verifies).is_some());
        let kept: Vec<Vec<u8>> =
            authorities.iter().take(AUTHORITIES).map(|name| name.to_vec()).collect();
        let mut look = seen(&self.look);
        look.asked = Some(CertificateRequest {
            authorities: kept.iter().map(|name| distinguished(name)).collect(),
            count: authorities.len(),
            verifies_our_key: verifiable,
        });
        look.chosen = pair.as_ref().map(|pair| Chosen {
            chain: pair.cert.clone(),
            authorities: authorities.iter().map(|name| name.to_vec()).collect(),
            verifiable,
        });
        pair
    }

    fn has_certs(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.has_certs())
    }
}

fn distinguished(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => Subject::of(&name).text,
        Err(_malformed) => "a name that cannot be read".to_owned(),
    }
}
