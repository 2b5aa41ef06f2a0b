//! What the server presents, and what it verifies clients with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use time::OffsetDateTime;

use super::ServeError;
use crate::certs::Material;
use crate::certs::embedded::Authority;
use crate::clock;
use crate::identity::{DnsName, SpiffeId};

/// Lifetime of the server's own certificate; renewed when half of it is over.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// The last part of the server's own SPIFFE ID.
const SERVICE: &str = "myelin-ca";

/// What TLS cannot be set up with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A root or a revocation list.
    #[error("what clients are verified with cannot be used")]
    Clients(#[from] VerifierBuilderError),
    /// A root.
    #[error("a root cannot be used")]
    Root(#[source] rustls::Error),
    /// The versions.
    #[error("the provider lacks what TLS 1.2 and 1.3 need")]
    Versions(#[source] rustls::Error),
}

/// What is presented now.
pub(super) struct Presented {
    config: ArcSwap<ServerConfig>,
    state: Mutex<Arc<State>>,
}

/// From what it was made.
pub(super) struct State {
    own: Material,
    /// The issuing authority and the root, as [`Authority::authorities`] has them.
    authorities: Vec<CertificateDer<'static>>,
    /// By which clients are verified. The issuing authorities, too, those of before included: EST hands out
    /// leaves alone, and not every client sends more along.
    anchors: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

/// What takes the place of what was presented.
pub(super) struct Renewed {
    config: ServerConfig,
    state: State,
}

impl Presented {
    pub(super) fn new(authority: &Authority, names: &[DnsName]) -> Result<Self, ServeError> {
        let state = State::of(authority, own(authority, names)?);
        let config = ArcSwap::from_pointee(state.config()?);
        Ok(Self { config, state: Mutex::new(Arc::new(state)) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, renewed: Renewed) {
        self.config.store(Arc::new(renewed.config));
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed.state);
    }
}

impl State {
    fn of(authority: &Authority, own: Material) -> Self {
        let authorities = authority.authorities().map(Clone::clone).to_vec();
        let trusted = authority.trusted();
        let anchors = trusted.bundle.into_iter().chain(authority.issuers().cloned()).collect();
        Self { own, authorities, anchors, lists: trusted.crls }
    }

    /// What should take the place of this, if anything should.
    pub(super) fn renewed(
        &self,
        authority: &Authority,
        names: &[DnsName],
    ) -> Result<Option<Renewed>, ServeError> {
        let is_same_authority = authority.authorities().iter().copied().eq(&self.authorities);
        let own = if is_same_authority && !self.is_due(clock::now()) {
            if authority.trusted().crls == self.lists {
                return Ok(None);
            }
            self.own.clone()
        } else {
            own(authority, names)?
        };
        let state = Self::of(authority, own);
        Ok(Some(Renewed { config: state.config()?, state }))
    }

    fn is_due(&self, now: OffsetDateTime) -> bool {
        let life = self.own.not_after() - self.own.issued;
        now >= self.own.issued + life / 2 || now < self.own.facts.not_before
    }

    fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for anchor in &self.anchors {
            roots.add(anchor.clone()).map_err(TlsError::Root)?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .with_crls(self.lists.iter().cloned())
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration()
                .allow_unauthenticated()
                .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.chain_with_root())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.require_ems = true;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// With the root: a client that knows nothing but its fingerprint verifies by it.
    fn chain_with_root(&self) -> CertifiedKey {
        let presented = &self.own.presented;
        let mut chain = presented.cert.clone();
        chain.extend(self.authorities.iter().filter(|der| !presented.cert.contains(der)).cloned());
        CertifiedKey::new(chain, Arc::clone(&presented.key))
    }
}

fn own(authority: &Authority, names: &[DnsName]) -> Result<Material, ServeError> {
    let spiffe = SpiffeId::of(authority.trust_domain(), SERVICE).map_err(ServeError::Name)?;
    authority.issue(&spiffe, names, LIFE).map_err(ServeError::Own)
}
