//! The authority in a directory as a source of our own leaf.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Authority, Leaf};
use crate::certs::blocking::Blocking;
use crate::certs::check::Offered;
use crate::certs::source::{Looked, Occasion, Source};
use crate::certs::{Material, MaterialError, anchors};
use crate::clock;
use crate::config;
use crate::identity::{DnsName, SpiffeId, TrustDomain};

/// Issues our own leaf from the authority in a directory.
#[derive(Debug)]
pub(in crate::certs) struct Embedded {
    settings: Arc<Settings>,
    blocking: Blocking,
}

#[derive(Debug)]
struct Settings {
    config: config::Embedded,
    trust_domain: TrustDomain,
    spiffe: SpiffeId,
    dns: Vec<DnsName>,
}

impl Embedded {
    /// Issues for `service`; its name is a DNS name of the leaf, too, if it is one.
    pub(in crate::certs) fn new(
        config: config::Embedded,
        trust_domain: TrustDomain,
        spiffe: SpiffeId,
        service: &str,
    ) -> Self {
        let dns = DnsName::parse(service).into_iter().collect();
        let settings = Arc::new(Settings { config, trust_domain, spiffe, dns });
        Self { settings, blocking: Blocking::default() }
    }
}

impl Source for Embedded {
    /// Makes an authority for a start only: one that was moved away for a moment would come back as a
    /// stranger to all peers.
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        let settings = Arc::clone(&self.settings);
        let in_use = occasion.in_use().cloned();
        let keep = matches!(occasion, Occasion::Refresh(_));
        self.blocking
            .run(move || match in_use {
                None => settings.start(),
                Some(in_use) => settings.again(&in_use, keep),
            })
            .boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        let settings = Arc::clone(&self.settings);
        self.blocking
            .run(move || {
                let authority = Authority::look(&settings.config.dir, &settings.trust_domain)?;
                settings.issue(&authority).map(|offered| Looked::Offered(Box::new(offered)))
            })
            .boxed()
    }

    fn renews(&self) -> bool {
        true
    }
}

impl Settings {
    fn start(&self) -> Result<Offered, MaterialError> {
        let authority = Authority::open_or_create(&self.config.dir, &self.trust_domain)?;
        self.issue(&authority)
    }

    fn again(&self, in_use: &Material, keep: bool) -> Result<Offered, MaterialError> {
        let authority = Authority::open(&self.config.dir, &self.trust_domain)?;
        if let Some(lost) = anchors::lost(&in_use.trusted.bundle, &[authority.root()]) {
            return Err(MaterialError::OtherAuthority { dir: self.config.dir.clone(), lost });
        }
        let mut offered = self.issue(&authority)?;
        if keep {
            offered.keep(in_use);
        }
        Ok(offered)
    }

    fn issue(&self, authority: &Authority) -> Result<Offered, MaterialError> {
        let leaf = Leaf { spiffe: &self.spiffe, dns: &self.dns, ttl: self.ttl() };
        Ok(authority.offer(leaf, clock::now())?)
    }

    fn ttl(&self) -> Duration {
        self.config.ttl
    }
}
