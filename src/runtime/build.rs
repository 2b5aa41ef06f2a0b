//! From configuration and key material to what listeners work with.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::authz::{ListenerPolicy, RegoPolicy};
use crate::certs::Material;
use crate::clock;
use crate::config::{Config, Inbound, Outbound, PeerMatcher, Protocol};
use crate::identity::{ListenerName, PeerName};
use crate::listener::quota::Quotas;
use crate::listener::{InboundState, OutboundState};
use crate::tls::{self, Expected, HTTP, Pins, Trust};
use crate::traces::Tracer;
use crate::upstream::Upstreams;

/// HTTP/1.1 alone.
const HTTP1: &[&[u8]] = &[b"http/1.1"];
/// A connection that requests share is given none in the last of its certificate's life, at most this.
const MARGIN: time::Duration = time::Duration::MINUTE;

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

/// What the states of all listeners are made from.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    pub(super) material: &'a Material,
    /// What narrows the rules.
    pub(super) rego: Option<&'a Arc<RegoPolicy>>,
    /// What takes spans.
    pub(super) tracer: Option<&'a Arc<Tracer>>,
    /// Counts configurations.
    pub(super) configuration: u64,
}

/// The state of an inbound listener. `kept` is what its peers are verified with until now, `used` what they
/// have had of it.
pub(super) fn inbound(
    given: Given<'_>,
    listener: &Inbound,
    kept: Option<&Arc<Trust>>,
    used: Option<&Arc<Quotas>>,
) -> Result<InboundState, BuildError> {
    let Given { config, material, rego, tracer, configuration } = given;
    let failed = |source| BuildError { listener: listener.name.clone(), source };
    let alpn = match listener.protocol {
        Protocol::Tcp | Protocol::Mllp | Protocol::Dicom => &[],
        Protocol::Http => HTTP,
    };
    let (settings, trusted) = (&config.tls, &material.trusted);
    let pins = pins(config, &listener.allow);
    let trust = match kept {
        Some(kept) => kept.renewed(settings, trusted, pins),
        None => Trust::of_clients(settings, trusted, pins),
    };
    let trust = trust.map_err(failed)?;
    let policy = ListenerPolicy::inbound(config, listener).narrowed_by(rego.cloned());
    Ok(InboundState {
        config: listener.clone(),
        configuration,
        tls: tls::server_config(material, settings, &trust, alpn).map_err(failed)?,
        trust,
        quotas: Arc::new(Quotas::new(&policy, used.map(AsRef::as_ref))),
        policy,
        own: Arc::clone(&material.facts),
        tracer: tracer.cloned(),
    })
}

/// The state of an outbound listener. `kept` is what its peers are verified with until now.
pub(super) fn outbound(
    given: Given<'_>,
    listener: &Outbound,
    kept: Option<&Arc<Trust>>,
    upstreams: Arc<Upstreams>,
) -> Result<OutboundState, BuildError> {
    let Given { config, material, rego, tracer, configuration } = given;
    let failed = |source| BuildError { listener: listener.name.clone(), source };
    let policy = ListenerPolicy::outbound(config, listener).narrowed_by(rego.cloned());
    let policy = Arc::new(policy);
    let asked = Arc::clone(&policy);
    let expected: Expected = Arc::new(move |server| {
        asked.authorize(server, clock::onward()).map(|_permit| ()).map_err(|denied| denied.nearest)
    });
    let (settings, trusted) = (&config.tls, &material.trusted);
    let pins = pins(config, &listener.expect);
    let trust = match kept {
        Some(kept) => kept.renewed(settings, trusted, pins),
        None => Trust::of_servers(settings, trusted, pins),
    };
    let trust = trust.map_err(failed)?;
    let tls = tls::client_config(material, settings, &trust, expected).map_err(failed)?;
    let (http1, http2) = (tls.with_alpn(HTTP1), tls.with_alpn(HTTP));
    Ok(OutboundState {
        config: listener.clone(),
        configuration,
        tls,
        http1,
        http2,
        trust,
        policy,
        upstreams,
        used_until: used_until(material),
        tracer: tracer.cloned(),
    })
}

/// Until when a connection made with our certificate is given new requests: a minute before the peer
/// would end it because our certificate expires, or a tenth of its life if that is less.
fn used_until(material: &Material) -> OffsetDateTime {
    let end = material.not_after();
    let life = (end - material.issued).max(time::Duration::ZERO);
    end - MARGIN.min(life / 10)
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
