//! Loads key material from where the configuration says.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use time::OffsetDateTime;

use super::check::{Needs, Offered, Unfit, check};
use super::embedded::{Authority, AuthorityError, BACKDATED, Leaf};
use super::{Material, MaterialError, files};
use crate::clock;
use crate::config::{Config, IdentitySource};
use crate::identity::{DnsName, SpiffeId, SpiffeIdError, TrustDomain};

/// Certificate and key may be caught in the middle of being replaced: so often they are read again.
const READS: u32 = 3;
/// Between two of these reads.
const BETWEEN_READS: Duration = Duration::from_millis(100);

/// Where key material comes from, and what it must be good for.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    trust_domain: TrustDomain,
    spiffe: SpiffeId,
    needs: Needs,
}

#[derive(Debug, Clone)]
enum Place {
    Embedded { dir: PathBuf, dns: Vec<DnsName>, ttl: Duration },
    Files { cert: PathBuf, key: PathBuf, trust_bundle: PathBuf, crls: Vec<PathBuf> },
}

/// Key material that has been checked, and what deserves a look about it.
#[derive(Debug)]
pub struct Loaded {
    /// What was loaded.
    pub material: Material,
    /// What is allowed and yet deserves a look, one a text.
    pub warnings: Vec<String>,
}

impl Source {
    /// The source that `config` names.
    ///
    /// # Errors
    ///
    /// Never for a checked configuration: its service is one SPIFFE path segment.
    pub fn of(config: &Config) -> Result<Self, SpiffeIdError> {
        Self::new(&config.identity, &config.trust_domain, &config.service, Needs::of(config))
    }

    /// The source `identity` of the service `service`. An embedded authority's leaves carry the
    /// service's name as a DNS name too, if it is one.
    ///
    /// # Errors
    ///
    /// The service's name cannot stand in a SPIFFE ID.
    pub fn new(
        identity: &IdentitySource,
        trust_domain: &TrustDomain,
        service: &str,
        needs: Needs,
    ) -> Result<Self, SpiffeIdError> {
        let place = match identity.clone() {
            IdentitySource::Embedded { dir, ttl } => {
                Place::Embedded { dir, ttl, dns: DnsName::parse(service).into_iter().collect() }
            }
            IdentitySource::Files { cert, key, trust_bundle, crls } => {
                Place::Files { cert, key, trust_bundle, crls }
            }
        };
        let spiffe = SpiffeId::of(trust_domain, service)?;
        Ok(Self { place, trust_domain: trust_domain.clone(), spiffe, needs })
    }

    /// Loads key material, and checks it as a peer would. Blocks: on files, and on a lock for seconds
    /// when another process uses the same authority.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub fn load(&self) -> Result<Loaded, MaterialError> {
        let mut reads = 1;
        loop {
            let now = clock::now();
            match check(self.offered(now)?, self.needs, &self.spiffe, now) {
                Ok((material, warnings)) => return Ok(Loaded { material, warnings }),
                Err(MaterialError::Unfit(Unfit::KeyMismatch { .. })) if reads < READS => {
                    reads += 1;
                    sleep(BETWEEN_READS);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks whether [`Self::load`] would succeed, and changes nothing: an authority that is not there
    /// is not made. The answer is what deserves a look.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub fn check(&self) -> Result<Vec<String>, MaterialError> {
        let Place::Embedded { dir, dns, ttl } = &self.place else {
            return self.load().map(|loaded| loaded.warnings);
        };
        let now = clock::now();
        let leaf = Leaf { spiffe: &self.spiffe, dns, ttl: *ttl };
        match Authority::look(dir, &self.trust_domain) {
            Ok(authority) => {
                let offered = authority.offer(leaf, now)?;
                check(offered, self.needs, &self.spiffe, now).map(|(_, warnings)| warnings)
            }
            Err(AuthorityError::Missing { dir }) => Ok(vec![format!(
                "{}: no authority here yet: a new one will be made",
                dir.display()
            )]),
            Err(error) => Err(error.into()),
        }
    }

    fn offered(&self, now: OffsetDateTime) -> Result<Offered, MaterialError> {
        match &self.place {
            Place::Embedded { dir, dns, ttl } => {
                let authority = Authority::open_or_create_at(dir, &self.trust_domain, now)?;
                let leaf = Leaf { spiffe: &self.spiffe, dns, ttl: *ttl };
                Ok(authority.offer(leaf, now)?)
            }
            Place::Files { cert, key, trust_bundle, crls } => {
                files::read(files::Paths { cert, key, trust_bundle, crls })
            }
        }
    }

    /// When `material` should be replaced; `None` for files, whose owner replaces them.
    ///
    /// After two thirds of its life, and up to a twentieth earlier or later, so that sidecars that
    /// were started together do not renew together. Always the same for the same certificate.
    pub fn renew_at(&self, material: &Material) -> Option<OffsetDateTime> {
        match self.place {
            Place::Embedded { .. } => {}
            Place::Files { .. } => return None,
        }
        let issued = material.facts.not_before + BACKDATED;
        let life = (material.facts.not_after - issued).max(time::Duration::ZERO);
        let [first, ..] = material.facts.sha256.0;
        let jitter = (f64::from(first) / 255.0 - 0.5) / 10.0;
        Some(issued + life * (2.0 / 3.0 + jitter))
    }
}

#[cfg(test)]
mod tests;
