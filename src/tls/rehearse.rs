//! A handshake with itself: what peers will meet, before they do.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SupportedProtocolVersion};

use super::asking::take_findings;
use super::config::{ConfigError, Pins, client_config, server_config};
use super::provider::{self, provider};
use super::verify::Trust;
use crate::certs::{Material, Needs};
use crate::clock;
use crate::config::TlsSettings;
use crate::identity::{CertificateError, PeerCertificate};

/// Flights of a handshake are fewer than this, many times over.
const FLIGHTS: usize = 16;

/// Key material with which no handshake would succeed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A certificate does not parse.
    #[error("cannot be read")]
    Facts(#[source] CertificateError),
    /// Nothing can be set up with it.
    #[error("cannot be used in TLS")]
    Config(#[from] ConfigError),
    /// One side of the handshake refused the other.
    #[error("a handshake with itself over TLS {version} came to nothing: {side} found {what}")]
    Handshake {
        /// The version of TLS.
        version: &'static str,
        /// Who found fault.
        side: &'static str,
        /// With what.
        what: String,
    },
}

/// Performs handshakes in memory with what listeners would present, over every TLS version that
/// `settings` leave: once for each of our certificates, in each role that `needs` names.
///
/// Revocation is left out: the lists that we have are for our peers, and need not cover ourselves. So is a
/// certificate that has expired: nobody takes it, and what is new of whom to trust must not wait for another.
///
/// # Errors
///
/// Says which handshake came to nothing, and why.
pub fn rehearse(
    material: &Material,
    settings: &TlsSettings,
    needs: Needs,
) -> Result<(), RehearsalError> {
    for pair in std::iter::once(&material.presented).chain(&material.others) {
        let leaf = pair.cert.first().map(|leaf| PeerCertificate::parse(leaf)).transpose();
        let leaf = leaf.map_err(RehearsalError::Facts)?;
        if leaf.as_ref().is_some_and(|leaf| leaf.not_after < clock::now()) {
            continue;
        }
        let alone = alone(material, pair);
        let pins = own(leaf);
        for version in provider::versions(settings.profile) {
            let Some(settings) = narrowed(settings, version) else { continue };
            perform(&alone, &settings, needs, &pins, version)?;
        }
    }
    Ok(())
}

/// The material with one certificate to present, and nothing to revoke it.
fn alone(material: &Material, pair: &Arc<CertifiedKey>) -> Material {
    let mut alone = material.clone();
    alone.presented = Arc::clone(pair);
    alone.others = Vec::new();
    let trusted = Arc::make_mut(&mut alone.trusted);
    trusted.crls = Vec::new();
    alone
}

/// Believes the certificate without a chain: for the role in which nobody will ever meet it.
fn own(leaf: Option<PeerCertificate>) -> Pins {
    let certificates = leaf.map(|leaf| leaf.sha256).into_iter().collect();
    Pins { certificates, keys: HashSet::new() }
}

/// The settings with the suites of one version only; `None` when there are none.
fn narrowed(settings: &TlsSettings, version: &SupportedProtocolVersion) -> Option<TlsSettings> {
    let suites = provider(settings).cipher_suites;
    let cipher_suites: Vec<_> = suites
        .iter()
        .filter(|suite| suite.version().version == version.version)
        .map(|suite| format!("{:?}", suite.suite()))
        .collect();
    (!cipher_suites.is_empty()).then(|| TlsSettings { cipher_suites, ..settings.clone() })
}

fn perform(
    material: &Material,
    settings: &TlsSettings,
    needs: Needs,
    own: &Pins,
    version: &SupportedProtocolVersion,
) -> Result<(), RehearsalError> {
    // Where we are never a client, no server of the rehearsal finds fault with that; and the reverse.
    let pins = |needed| if needed { Pins::default() } else { own.clone() };
    let trusted = &material.trusted;
    let clients = Trust::of_clients(settings, trusted, pins(needs.client))?;
    let server = server_config(material, settings, &clients, &[])?;
    let servers = Trust::of_servers(settings, trusted, pins(needs.server))?;
    let expected = Arc::new(|_anybody: &_| Ok(()));
    let client = client_config(material, settings, &servers, expected)?;
    let version = match version.version {
        rustls::ProtocolVersion::TLSv1_2 => "1.2",
        _ => "1.3",
    };
    let failed = |side, what| RehearsalError::Handshake { version, side, what };
    // The name decides nothing: who the server must be is for `expect` to say.
    let name = ServerName::from(std::net::Ipv4Addr::LOCALHOST);
    let mut client = ClientConnection::new(client.config(), name)
        .map_err(|error| failed("the client", error.to_string()))?;
    let mut server =
        ServerConnection::new(server).map_err(|error| failed("the server", error.to_string()))?;
    for _ in 0..FLIGHTS {
        hand_over(&mut client, &mut server).map_err(|what| failed("the server", what))?;
        hand_over(&mut server, &mut client).map_err(|what| failed("the client", what))?;
        let done = !client.is_handshaking() && !server.is_handshaking();
        if done && !client.wants_write() && !server.wants_write() {
            return Ok(());
        }
    }
    Err(failed("each side", "the other one silent".to_owned()))
}

/// Gives `to` everything that `from` has to say; the error is what `to` finds wrong with it.
fn hand_over<F, T>(
    from: &mut ConnectionCommon<F>,
    to: &mut ConnectionCommon<T>,
) -> Result<(), String> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).map_err(|error| error.to_string())?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).map_err(|error| error.to_string())?;
        let processed = to.process_new_packets();
        // Taken in any case: another handshake on this thread must not find them.
        let refused = take_findings().and_then(|findings| findings.refused);
        processed.map_err(|error| refused.map_or_else(|| error.to_string(), |(_, why)| why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
