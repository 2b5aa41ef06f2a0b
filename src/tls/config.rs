//! One generation's TLS configuration of a listener.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};

use super::asking::Asking;
use super::presented::Presented;
use super::provider;
use super::verify::Trust;
use super::watched::{presenting, watched_client};
use crate::certs::Material;
use crate::config::{Profile, TlsSettings};
use crate::identity::{CertificateError, Fingerprint, PeerCertificate, PeerIdentity};

/// HTTP versions by their ALPN names, HTTP/2 first.
pub const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Certificates and public keys that are believed without a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// SHA-256 of whole certificates.
    pub certificates: HashSet<Fingerprint>,
    /// SHA-256 of public keys.
    pub keys: HashSet<Fingerprint>,
}

impl Pins {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    pub(super) fn hold(&self, certificate: &PeerCertificate) -> bool {
        self.certificates.contains(&certificate.sha256)
            || self.keys.contains(&certificate.key_sha256)
    }
}

/// Says whether a server is one that we want, before our own certificate is shown to it; if not, why.
pub type Expected = Arc<dyn Fn(&PeerIdentity) -> Result<(), String> + Send + Sync>;

/// Key material or trust that TLS cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A certificate of the trust bundle is no trust anchor.
    #[error("a certificate of the trust bundle cannot be used: {0:?}")]
    Anchor(webpki::Error),
    /// A certificate of the trust bundle does not parse.
    #[error("a certificate of the trust bundle cannot be read")]
    AnchorFacts(#[source] CertificateError),
    /// A revocation list does not parse.
    #[error("a revocation list cannot be used: {0:?}")]
    Crl(webpki::Error),
    /// No cipher suite is left for a version.
    #[error("the TLS settings leave nothing to negotiate")]
    Nothing(#[source] rustls::Error),
}

/// What an inbound listener presents and demands. `alpn`: in the order of preference; may be empty.
///
/// # Errors
///
/// Says what in the material cannot be worked with.
pub fn server_config(
    material: &Material,
    settings: &TlsSettings,
    trust: &Arc<Trust>,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, ConfigError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(settings)))
        .with_protocol_versions(provider::versions(settings.profile))
        .map_err(ConfigError::Nothing)?
        .with_client_cert_verifier(Asking::of_clients(Arc::clone(trust)))
        .with_cert_resolver(Arc::new(Presented::of(material)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.require_ems = settings.profile != Profile::Compatible;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// An outbound listener's side of TLS, for each HTTP version that it may ask for.
#[derive(Clone)]
pub struct TlsClient {
    base: Arc<ClientConfig>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// The same, offering `alpn` in this order.
    pub fn with_alpn(&self, alpn: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.base);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self { base: Arc::new(config) }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.base)
    }
}

/// What an outbound listener presents, and whom it wants.
///
/// # Errors
///
/// Says what in the material cannot be worked with.
pub fn client_config(
    material: &Material,
    settings: &TlsSettings,
    trust: &Arc<Trust>,
    expected: Expected,
) -> Result<TlsClient, ConfigError> {
    let verifier = Asking::of_servers(Arc::clone(trust), expected);
    let config = watched_client(settings, verifier, presenting(material))?;
    Ok(TlsClient { base: Arc::new(config) })
}
