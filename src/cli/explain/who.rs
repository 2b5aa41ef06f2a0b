//! Whom a question is about.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::super::{chain, wait};
use super::Unanswered;
use super::listeners::known;
use crate::certs::{Supply, Trusted};
use crate::config::{Config, Listener};
use crate::identity::{DnsName, PeerCertificate, PeerIdentity, PeerName, Proof, SpiffeId};
use crate::report::Report;
use crate::tls;

/// Whom it is about, as arguments have it.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Who {
    /// An entry of `peers`
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// A SPIFFE ID, proven by a chain
    #[arg(long, value_name = "URI", value_parser = spiffe)]
    spiffe: Option<SpiffeId>,
    /// A DNS name, proven by a chain
    #[arg(long, value_name = "NAME", value_parser = DnsName::parse)]
    dns: Option<DnsName>,
    /// A certificate with its intermediates in PEM; verified as a listener would
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Somebody who connects without TLS
    #[arg(long)]
    plaintext: bool,
}

fn spiffe(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|error| Report(&error).to_string())
}

/// Who connects.
pub(super) enum Peers {
    /// Somebody with these names, believed.
    Named(PeerIdentity),
    /// Somebody with this chain, which is to be verified against the key material.
    Presenting(Vec<CertificateDer<'static>>, Arc<Trusted>),
    /// Somebody who proves nothing.
    Plaintext,
}

/// Whom a listener takes somebody for.
pub(super) enum Seen {
    /// This peer.
    Peer(PeerIdentity),
    /// Nobody: the handshake comes to nothing, and why.
    Refused(String),
    /// Somebody in plaintext.
    Plaintext,
}

impl Peers {
    pub(super) fn of(config: &Config, who: &Who, now: OffsetDateTime) -> Result<Self, Unanswered> {
        if who.plaintext {
            return Ok(Self::Plaintext);
        }
        if let Some(path) = &who.cert {
            let chain = chain::read(path).map_err(Unanswered::argument)?;
            return Ok(Self::Presenting(chain, trusted(config)?));
        }
        if let Some(name) = &who.peer {
            let peer = config.peers.get(&PeerName::new(name));
            let peer = peer.ok_or_else(|| Unanswered::argument(no_entry(config, name)))?;
            return Ok(Self::Named(peer.stand_in(now)));
        }
        let certificate = PeerCertificate {
            spiffe: who.spiffe.clone(),
            dns: who.dns.iter().cloned().collect(),
            ..PeerCertificate::nameless(now)
        };
        let (certificate, proof) = (Arc::new(certificate), Proof::Chain);
        Ok(Self::Named(PeerIdentity { certificate, proof }))
    }

    /// Whom `listener` takes the peer for.
    pub(super) fn seen_by(
        &self,
        config: &Config,
        listener: Listener<'_>,
        now: OffsetDateTime,
    ) -> Result<Seen, Unanswered> {
        let (chain, trusted) = match self {
            Self::Named(identity) => return Ok(Seen::Peer(identity.clone())),
            Self::Plaintext => return Ok(Seen::Plaintext),
            Self::Presenting(chain, trusted) => (chain, trusted),
        };
        let pins = crate::runtime::pins(config, listener.peers());
        let examined = match listener {
            Listener::Inbound(_) => tls::examine(trusted, &config.tls, &pins, chain, now),
            Listener::Outbound(_) => tls::examine_server(trusted, &config.tls, &pins, chain, now),
        };
        let examined =
            examined.map_err(|error| Unanswered::material(vec![Report(&error).to_string()]))?;
        Ok(match examined {
            Ok(identity) => Seen::Peer(identity),
            Err(failed) => Seen::Refused(format!("{}: {}", failed.refusal.label(), failed.message)),
        })
    }
}

fn no_entry(config: &Config, name: &str) -> String {
    if let Some(members) = config.groups.get(&PeerName::new(name)) {
        let members: Vec<_> = members.iter().map(PeerName::as_str).collect();
        return format!("`{name}` is a group; ask for one of its members: {}", members.join(", "));
    }
    let names: Vec<_> = config.peers.keys().map(PeerName::as_str).collect();
    format!("no entry `{}` in peers{}", name.escape_debug(), known(name, &names))
}

/// What the key material trusts. Looks, and makes none.
fn trusted(config: &Config) -> Result<Arc<Trusted>, Unanswered> {
    let supply = Supply::of(config)
        .map_err(|error| Unanswered::material(vec![Report(&error).to_string()]))?;
    let seen = wait(supply.look())
        .map_err(|error| Unanswered::material(vec![Report(&*error).to_string()]))?;
    let seen = seen.map_err(|error| Unanswered::material(error.problems()))?;
    Ok(seen.trusted)
}
