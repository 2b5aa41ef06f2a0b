//! From configuration and key material to what listeners work with.

use std::sync::Arc;

use crate::authz::ListenerPolicy;
use crate::certs::Material;
use crate::clock;
use crate::config::{Config, Inbound, Outbound, PeerMatcher, Protocol};
use crate::identity::{ListenerName, PeerName};
use crate::listener::{InboundState, OutboundState};
use crate::tls::{self, Expected, Pins};
use crate::upstream::Upstreams;

/// HTTP versions by their ALPN names, HTTP/2 first.
const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
/// HTTP/1.1 alone.
const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// A listener that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}` cannot be set up")]
pub struct BuildError {
    /// Its name.
    pub listener: ListenerName,
    /// What is in the way.
    #[source]
    pub source: tls::ConfigError,
}

pub(super) fn inbound(
    config: &Config,
    listener: &Inbound,
    material: &Material,
) -> Result<InboundState, BuildError> {
    let alpn = match listener.protocol {
        Protocol::Tcp => &[],
        Protocol::Http => HTTP,
    };
    let tls = tls::server_config(material, &config.tls, &pins(config, &listener.allow), alpn)
        .map_err(|source| BuildError { listener: listener.name.clone(), source })?;
    let policy = ListenerPolicy::inbound(config, listener);
    let own = material.facts.spiffe.clone();
    Ok(InboundState { config: listener.clone(), tls, policy, own })
}

pub(super) fn outbound(
    config: &Config,
    listener: &Outbound,
    material: &Material,
    upstreams: Arc<Upstreams>,
) -> Result<OutboundState, BuildError> {
    let policy = Arc::new(ListenerPolicy::outbound(config, listener));
    let asked = Arc::clone(&policy);
    let expected: Expected = Arc::new(move |server| {
        asked.authorize(server, clock::now()).map(|_permit| ()).map_err(|denied| denied.nearest)
    });
    let pins = pins(config, &listener.expect);
    let tls = tls::client_config(material, &config.tls, &pins, expected)
        .map_err(|source| BuildError { listener: listener.name.clone(), source })?;
    let (http1, http2) = (tls.with_alpn(HTTP1), tls.with_alpn(HTTP));
    Ok(OutboundState { config: listener.clone(), tls, http1, http2, policy, upstreams })
}

/// The pins of `peers`: what is believed without a chain is believed on their listeners alone.
pub fn pins(config: &Config, peers: &[PeerName]) -> Pins {
    let mut pins = Pins::default();
    for peer in peers.iter().filter_map(|name| config.peers.get(name)) {
        match &peer.matcher {
            PeerMatcher::CertificatePin(pin) => pins.certificates.insert(*pin),
            PeerMatcher::KeyPin(pin) => pins.keys.insert(*pin),
            PeerMatcher::Spiffe(_) | PeerMatcher::Dns(_) | PeerMatcher::Subject { .. } => continue,
        };
    }
    pins
}
