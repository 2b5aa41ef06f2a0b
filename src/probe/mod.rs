//! A handshake as this service, step by step, and what its outcome means.
//!
//! [`probe`] resolves, connects, shakes hands and looks at everything that the server shows. It sends
//! nothing but TLS, and no byte after the handshake. [`diagnose()`] turns what was seen into likely causes
//! and how to mend them; it does no I/O.

mod anatomy;
mod chain;
mod diagnose;
mod judge;
mod ours;
mod plain;
mod reach;
mod seen;
mod shake;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use tokio::time::Instant;

pub use diagnose::{Diagnosis, Level, alert_name, diagnose};
pub use plain::Spoken;
pub use seen::{
    Answer, Attempt, Certificate, CertificateRequest, Check, Judged, Named, Negotiated, Ours,
    Outcome, Recognition, Resolved, Seen, Shaken, Stage, Unreached, Verdict,
};

use crate::authz::ListenerPolicy;
use crate::certs::{Material, Trusted};
use crate::clock;
use crate::config::{Config, Endpoint};
use crate::identity::PeerName;
use crate::tls::{ConfigError, Pins, watched_client};

/// What is to be found out.
pub struct Question {
    /// Where the server is.
    pub to: Endpoint,
    /// Who asks.
    pub config: Arc<Config>,
    /// What the server is verified with.
    pub trusted: Arc<Trusted>,
    /// What we present; `None`: nothing.
    pub material: Option<Material>,
    /// The resolver that chooses what we present.
    pub presents: Option<Arc<dyn ResolvesClientCert>>,
    /// Certificates and keys that are believed without a chain.
    pub pins: Pins,
    /// Whom the server must prove to be, by name and as a rule; `None`: anybody whose chain is good.
    pub expected: Option<(Vec<PeerName>, Arc<ListenerPolicy>)>,
    /// The application protocols that are offered, the preferred first. May be empty.
    pub alpn: Vec<Vec<u8>>,
    /// Goes on although the server's certificate fails, to hear what the server says of ours; it learns
    /// who we are.
    pub anyway: bool,
    /// To resolve the name, and again to connect to an address.
    pub connect_timeout: Duration,
    /// From the first byte of the handshake to its end.
    pub handshake_timeout: Duration,
    /// For all three together, as an outbound listener has it.
    pub total_timeout: Option<Duration>,
}

/// A part of what was seen, as soon as it was.
#[derive(Debug, Clone, Copy)]
pub enum Part<'s> {
    /// The name was looked up.
    Resolved(&'s Resolved),
    /// An address was tried.
    Tried(&'s Attempt),
    /// The handshake came to its end; what the server answers is told later.
    Shaken(&'s Shaken),
    /// The server's certificate was looked at.
    Judged(&'s Judged),
    /// Our own certificate was looked at with the server's eyes.
    Ours(&'s Ours),
    /// The server has seen ours.
    Answered(&'s Answer),
}

/// Performs one handshake, and tells each part of it as soon as it is known.
///
/// # Errors
///
/// The trust bundle or the revocation lists cannot be worked with. All else is an answer.
pub async fn probe(
    question: &Question,
    mut tell: impl FnMut(Part<'_>),
) -> Result<Seen, ConfigError> {
    let (at, begun) = (clock::now(), Instant::now());
    let mut seen = Seen::of(&question.to, at);
    let resolved = reach::resolve(&question.to, question.connect_timeout).await;
    tell(Part::Resolved(&resolved));
    let mut socket = None;
    for address in &resolved.addresses {
        let (attempt, connected) = reach::connect(*address, question.connect_timeout).await;
        tell(Part::Tried(&attempt));
        seen.attempts.push(attempt);
        if connected.is_some() {
            socket = connected;
            break;
        }
    }
    seen.resolved = resolved;
    let Some(socket) = socket else { return Ok(seen) };

    let watched = watch::Watched::new(question)?;
    let (verifier, resolver) = watched.eyes();
    let mut config = watched_client(&question.config.tls, verifier, resolver)?;
    config.alpn_protocols.clone_from(&question.alpn);
    let left = question.total_timeout.map(|total| total.saturating_sub(begun.elapsed()));
    let limit = left.map_or(question.handshake_timeout, |l| l.min(question.handshake_timeout));
    let shaken = shake::shake(question, config, socket, &watched, limit).await;
    let look = watched.into_look();
    tell(Part::Shaken(&shaken));
    seen.handshake = Some(shaken);
    if let Some(judged) = look.judged {
        tell(Part::Judged(&judged));
        seen.server = Some(judged);
    }
    if let Some(ours) = ours::seen_by_server(question, seen.handshake.as_ref(), look.chosen) {
        tell(Part::Ours(&ours));
        seen.ours = Some(ours);
    }
    if let Some(answer) = seen.handshake.as_ref().and_then(|shaken| shaken.answer.as_ref()) {
        tell(Part::Answered(answer));
    }
    seen.clock = judge::clock_doubt(question, at);
    Ok(seen)
}
