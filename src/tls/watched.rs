//! A client's side of TLS, for outbound listeners and for whoever wants to look on.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};

use super::config::ConfigError;
use super::presented::Presented;
use super::provider::{provider, versions};
use crate::certs::Material;
use crate::config::{Profile, TlsSettings};

/// What an outbound listener negotiates; `verifier` and `resolver` are its own, or look on in their place.
///
/// # Errors
///
/// The settings leave nothing to negotiate.
pub fn watched_client(
    settings: &TlsSettings,
    verifier: Arc<dyn ServerCertVerifier>,
    resolver: Arc<dyn ResolvesClientCert>,
) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(settings)))
        .with_protocol_versions(versions(settings.profile))
        .map_err(ConfigError::Nothing)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(resolver);
    config.resumption = Resumption::disabled();
    config.require_ems = settings.profile != Profile::Compatible;
    Ok(config)
}

/// What an outbound listener presents.
pub fn presenting(material: &Material) -> Arc<dyn ResolvesClientCert> {
    Arc::new(Presented::of(material))
}
