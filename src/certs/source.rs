//! Loads key material from where the configuration says.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use time::OffsetDateTime;

use super::check::{Needs, Offered, Unfit, check};
use super::embedded::{Authority, AuthorityError, BACKDATED, Leaf};
use super::{Material, MaterialError, anchors, files};
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

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Embedded { dir: PathBuf, dns: Vec<DnsName>, ttl: Duration },
    Files(Files),
}

#[derive(Debug, Clone, PartialEq)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    trust_bundle: PathBuf,
    crls: Vec<PathBuf>,
}

impl Files {
    fn paths(&self) -> files::Paths<'_> {
        let Self { cert, key, trust_bundle, crls } = self;
        files::Paths { cert, key, trust_bundle, crls }
    }
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
                Place::Files(Files { cert, key, trust_bundle, crls })
            }
        };
        let spiffe = SpiffeId::of(trust_domain, service)?;
        Ok(Self { place, trust_domain: trust_domain.clone(), spiffe, needs })
    }

    /// Loads key material for a start, and checks it as a peer would. An embedded authority is made
    /// when there is none. Blocks: on files, and on a lock for seconds when another process uses the
    /// same authority.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub fn load(&self) -> Result<Loaded, MaterialError> {
        match &self.place {
            Place::Embedded { dir, dns, ttl } => {
                let authority = Authority::open_or_create(dir, &self.trust_domain)?;
                self.issued(&authority, dns, *ttl)
            }
            Place::Files(files) => self.read(files.paths()),
        }
    }

    /// Loads key material that is to take the place of `in_use`, which came from `old`. Blocks as
    /// [`Self::load`] does, and never makes an authority: one that was moved away for a moment would
    /// come back as a stranger to all peers.
    ///
    /// The answer is `in_use` itself while an embedded leaf is not due for renewal.
    ///
    /// # Errors
    ///
    /// Every problem that was found; and an embedded authority may not be exchanged for another.
    pub fn load_again(&self, old: &Self, in_use: &Material) -> Result<Loaded, MaterialError> {
        match &self.place {
            Place::Embedded { dir, dns, ttl } => {
                let authority = Authority::open(dir, &self.trust_domain)?;
                if let Some(lost) = anchors::lost(&in_use.trust_bundle, &[authority.root()]) {
                    return Err(MaterialError::OtherAuthority { dir: dir.clone(), lost });
                }
                if self.issues_as(old) && !self.is_due(in_use, clock::now()) {
                    return Ok(Loaded { material: in_use.clone(), warnings: Vec::new() });
                }
                self.issued(&authority, dns, *ttl)
            }
            Place::Files(files) => {
                let mut loaded = self.read(files.paths())?;
                let now_trusted: Vec<_> = loaded.material.trust_bundle.iter().collect();
                let lost = anchors::lost(&in_use.trust_bundle, &now_trusted);
                loaded.warnings.extend(lost.map(|lost| {
                    format!(
                        "{}: no longer holds {lost}: peers with certificates from there are refused \
                         from now on",
                        files.trust_bundle.display()
                    )
                }));
                Ok(loaded)
            }
        }
    }

    /// Loads key material and changes nothing: no authority is made, and what an embedded one issues
    /// is only looked at.
    ///
    /// # Errors
    ///
    /// Every problem that was found; [`AuthorityError::Missing`] where [`Self::load`] would make an
    /// authority.
    pub fn look(&self) -> Result<Loaded, MaterialError> {
        match &self.place {
            Place::Embedded { dir, dns, ttl } => {
                self.issued(&Authority::look(dir, &self.trust_domain)?, dns, *ttl)
            }
            Place::Files(files) => self.read(files.paths()),
        }
    }

    /// Looks whether [`Self::load`] would succeed, and changes nothing. The answer is what deserves a
    /// look.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub fn check(&self) -> Result<Vec<String>, MaterialError> {
        match self.look() {
            Ok(loaded) => Ok(loaded.warnings),
            Err(MaterialError::Authority(AuthorityError::Missing { dir })) => Ok(vec![format!(
                "{}: no authority here yet: a new one will be made",
                dir.display()
            )]),
            Err(error) => Err(error),
        }
    }

    fn issued(
        &self,
        authority: &Authority,
        dns: &[DnsName],
        ttl: Duration,
    ) -> Result<Loaded, MaterialError> {
        let now = clock::now();
        let offered = authority.offer(Leaf { spiffe: &self.spiffe, dns, ttl }, now)?;
        self.checked(offered, now)
    }

    fn read(&self, paths: files::Paths<'_>) -> Result<Loaded, MaterialError> {
        let mut reads = 1;
        loop {
            match self.checked(files::read(paths)?, clock::now()) {
                Err(MaterialError::Unfit(Unfit::KeyMismatch { .. })) if reads < READS => {
                    reads += 1;
                    sleep(BETWEEN_READS);
                }
                result => return result,
            }
        }
    }

    fn checked(&self, offered: Offered, now: OffsetDateTime) -> Result<Loaded, MaterialError> {
        let (material, warnings) = check(offered, self.needs, &self.spiffe, now)?;
        Ok(Loaded { material, warnings })
    }

    /// Whether both say the same in what they issue. Needs do not matter: an embedded leaf is good for
    /// everything.
    fn issues_as(&self, other: &Self) -> bool {
        self.place == other.place && self.spiffe == other.spiffe
    }

    /// Whether `material` should be replaced now.
    pub fn is_due(&self, material: &Material, now: OffsetDateTime) -> bool {
        // A clock that was set back makes our certificate one of the future.
        self.renew_at(material).is_some_and(|due| now >= due || now < material.facts.not_before)
    }

    /// When `material` should be replaced; `None` for files, whose owner replaces them.
    ///
    /// After two thirds of its life, and up to a twentieth earlier or later, so that sidecars that
    /// were started together do not renew together. Always the same for the same certificate.
    pub fn renew_at(&self, material: &Material) -> Option<OffsetDateTime> {
        match self.place {
            Place::Embedded { .. } => {}
            Place::Files(_) => return None,
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
