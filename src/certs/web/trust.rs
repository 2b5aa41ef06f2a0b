//! How a server is known.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as aws};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::identity::Fingerprint;

/// How a server is known, and what may be sent to it. With TLS, its certificate has to bear the URL's host.
#[derive(Debug, Clone)]
pub(in crate::certs) enum WebTrust {
    /// By a chain to one of these authorities.
    Bundle(Vec<CertificateDer<'static>>),
    /// By a chain to the authority of this fingerprint, which the server sends along; if it does not, to
    /// one of the others, which that authority has vouched for before.
    Fingerprint(Fingerprint, Vec<CertificateDer<'static>>),
    /// It is our own machine; no TLS.
    PlainLoopback,
    /// What it answers is signed and what we ask is no secret; no TLS.
    Signed,
}

/// The server's chain does not hold the authority that we are to trust.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the certificates that it sends has the fingerprint {0:?}: correct the fingerprint, or have the \
     server send its authority's certificate, too"
)]
pub(super) struct NotPresented(Fingerprint);

impl WebTrust {
    /// TLS 1.2 and 1.3 with this trust, or none; `client` is presented if the server asks.
    pub(super) fn client_config(
        &self,
        client: Option<Arc<CertifiedKey>>,
    ) -> Result<Option<Arc<ClientConfig>>, String> {
        let provider = Arc::new(aws::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Bundle(bundle) => chain_to(bundle, &provider).map_err(|error| {
                format!("no certificate of its trust bundle is an authority's ({error})")
            })?,
            Self::Fingerprint(fingerprint, others) => Pinned::new(*fingerprint, others, &provider),
            Self::PlainLoopback | Self::Signed => return Ok(None),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match client {
            Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
            None => builder.with_no_client_auth(),
        };
        // A resumed session would not be verified again.
        config.resumption = Resumption::disabled();
        Ok(Some(Arc::new(config)))
    }

    /// By what the server is known, for operators.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "the configured trust bundle",
            Self::Fingerprint(..) => "the authority of the configured fingerprint",
            Self::PlainLoopback | Self::Signed => "nothing",
        }
    }
}

fn chain_to(
    bundle: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    let _counts = roots.add_parsable_certificates(bundle.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()
}

/// Trusts the one authority of the given fingerprint; where that is not presented, others that it has
/// vouched for before.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    others: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(
        fingerprint: Fingerprint,
        others: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Arc<Self> {
        let others = chain_to(others, provider).ok();
        Arc::new(Self { fingerprint, others, provider: Arc::clone(provider) })
    }

    fn is_pinned(&self, der: &[u8]) -> bool {
        Fingerprint::of(der) == self.fingerprint
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut presented = std::iter::once(end_entity).chain(intermediates);
        let verifier = match (presented.find(|der| self.is_pinned(der)), &self.others) {
            (Some(authority), _) => chain_to(&[authority.clone().into_owned()], &self.provider)
                .map_err(|_no_anchor| Error::from(CertificateError::BadEncoding))?,
            (None, Some(others)) => Arc::clone(others),
            (None, None) => {
                let missing = OtherError(Arc::new(NotPresented(self.fingerprint)));
                return Err(CertificateError::Other(missing).into());
            }
        };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
