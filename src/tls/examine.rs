//! Judges a chain that somebody has in a file: what `explain` and `probe` ask.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::config::{ConfigError, Pins};
use super::error::{HandshakeFailed, Why};
use super::verify::{Trust, unix};
use crate::certs::Trusted;
use crate::config::TlsSettings;
use crate::identity::PeerIdentity;

/// Judges a client's chain, leaf first, as an inbound listener would.
///
/// # Errors
///
/// The material cannot be worked with. The inner error is the refusal.
pub fn examine(
    trusted: &Trusted,
    settings: &TlsSettings,
    pins: &Pins,
    chain: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Result<Result<PeerIdentity, HandshakeFailed>, ConfigError> {
    let trust = Trust::of_clients(settings, &Arc::new(trusted.clone()), pins.clone())?;
    Ok(examined(&trust, chain, now))
}

/// Judges a server's chain, leaf first, as an outbound listener would that expects anybody.
///
/// # Errors
///
/// The material cannot be worked with. The inner error is the refusal.
pub fn examine_server(
    trusted: &Trusted,
    settings: &TlsSettings,
    pins: &Pins,
    chain: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Result<Result<PeerIdentity, HandshakeFailed>, ConfigError> {
    let trust = Trust::of_servers(settings, &Arc::new(trusted.clone()), pins.clone())?;
    Ok(examined(&trust, chain, now))
}

fn examined(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Result<PeerIdentity, HandshakeFailed> {
    let mut presented = None;
    let judged = match chain.split_first() {
        Some((leaf, intermediates)) => trust.judge(leaf, intermediates, unix(now), &mut presented),
        None => Err(Why::nothing()),
    };
    match judged {
        Ok((identity, _grounds)) => Ok(identity),
        Err(Why { refusal, message, .. }) => Err(HandshakeFailed { refusal, message, presented }),
    }
}
