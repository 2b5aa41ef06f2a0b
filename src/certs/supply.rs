//! The key material that this sidecar needs: a source, and what its offers must be good for.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::check::{Needs, Offered, check};
use super::embedded::{self, AuthorityError};
use super::source::{Looked, Occasion, Source};
use super::spiffe as workload_api;
use super::{Material, MaterialError, Preflight, Trusted, est, files, vault};
use crate::clock;
use crate::config::{Config, IdentitySource};
use crate::identity::{SpiffeId, SpiffeIdError, TrustDomain};

/// A source that is late is waited for at a start.
const PATIENCE: Duration = Duration::from_secs(60);
/// From one attempt at a start to the next; doubled by every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Attempts at a start are never further apart.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A source of key material, and what its offers must be good for.
#[derive(Debug, Clone)]
pub struct Supply {
    source: Arc<dyn Source>,
    /// What the source was made from.
    identity: IdentitySource,
    spiffe: SpiffeId,
    needs: Needs,
    preflight: Option<Preflight>,
}

/// Key material that has been checked, and what deserves a look about it.
#[derive(Debug)]
pub struct Loaded {
    /// What was loaded.
    pub material: Material,
    /// What is allowed and yet deserves a look, one a text.
    pub warnings: Vec<String>,
}

/// What a look has shown: whom to trust, and our own certificate if there is one without issuing it.
#[derive(Debug)]
pub struct Seen {
    /// Whom to trust.
    pub trusted: Arc<Trusted>,
    /// What a start would begin with.
    pub material: Option<Material>,
    /// What is allowed and yet deserves a look, one a text.
    pub warnings: Vec<String>,
}

impl Supply {
    /// What `config` asks for.
    ///
    /// # Errors
    ///
    /// Never for a checked configuration: its service is one SPIFFE path segment.
    pub fn of(config: &Config) -> Result<Self, SpiffeIdError> {
        Self::new(&config.identity, &config.trust_domain, &config.service, Needs::of(config))
    }

    /// Key material from the source `identity` for the service `service`.
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
        let spiffe = SpiffeId::of(trust_domain, service)?;
        let source: Arc<dyn Source> = match identity.clone() {
            IdentitySource::Embedded(config) => Arc::new(embedded::Embedded::new(
                config,
                trust_domain.clone(),
                spiffe.clone(),
                service,
            )),
            IdentitySource::Files(config) => Arc::new(files::Files::new(config)),
            IdentitySource::Est(config) => Arc::new(est::Est::new(config, spiffe.clone(), service)),
            IdentitySource::Vault(config) => {
                Arc::new(vault::Vault::new(*config, spiffe.clone(), service))
            }
            IdentitySource::Spiffe(config) => {
                Arc::new(workload_api::Spiffe::new(config, spiffe.clone()))
            }
        };
        Ok(Self { source, identity: identity.clone(), spiffe, needs, preflight: None })
    }

    /// Lets `preflight` try out what the checks have found good.
    #[must_use]
    pub fn tried_out_by(self, preflight: Preflight) -> Self {
        Self { preflight: Some(preflight), ..self }
    }

    /// What kind of source it is, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self.identity {
            IdentitySource::Embedded(_) => "embedded",
            IdentitySource::Files(_) => "files",
            IdentitySource::Est(_) => "est",
            IdentitySource::Vault(_) => "vault",
            IdentitySource::Spiffe(_) => "spiffe",
        }
    }

    /// Loads key material for a start, and checks it as a peer would. Waits for a source that may be late.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub async fn load(&self) -> Result<Loaded, MaterialError> {
        let patience = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        let mut told = String::new();
        loop {
            let error = match self.source.offer(Occasion::Start).await {
                Ok(offered) => return self.checked(offered, None),
                Err(error) => error,
            };
            let next = Instant::now() + pause;
            if !self.source.may_be_late() || !error.is_transient() || next > patience {
                return Err(error);
            }
            let why = error.to_string();
            if why != told {
                tracing::warn!(source = self.kind(), "no key material yet, waiting for it: {why}");
                told = why;
            }
            sleep_until(next).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Loads key material that is to take the place of `in_use`, which came from `old`.
    ///
    /// A certificate that is good and not due is kept; what it is verified with is loaded anew.
    ///
    /// # Errors
    ///
    /// Every problem that was found; and an embedded authority may not be exchanged for another.
    pub async fn load_again(&self, old: &Self, in_use: &Material) -> Result<Loaded, MaterialError> {
        self.replaced(old, in_use, !self.is_due(in_use, clock::now())).await
    }

    /// The same, and a certificate that is due is kept as well: it is not needed for much longer.
    ///
    /// # Errors
    ///
    /// As [`Self::load_again`].
    pub async fn refresh(&self, old: &Self, in_use: &Material) -> Result<Loaded, MaterialError> {
        self.replaced(old, in_use, true).await
    }

    async fn replaced(
        &self,
        old: &Self,
        in_use: &Material,
        is_good: bool,
    ) -> Result<Loaded, MaterialError> {
        let keep = is_good && self.gives_the_same_as(old);
        let occasion = if keep { Occasion::Refresh(in_use) } else { Occasion::Renew(in_use) };
        let offered = self.source.offer(occasion).await?;
        self.checked(offered, Some(in_use))
    }

    /// Looks at the source and changes nothing anywhere.
    ///
    /// # Errors
    ///
    /// Every problem that was found; [`AuthorityError::Missing`] where [`Self::load`] would make an
    /// authority.
    pub async fn look(&self) -> Result<Seen, MaterialError> {
        match self.source.look().await? {
            Looked::Offered(offered) => {
                let Loaded { material, warnings } = self.checked(*offered, None)?;
                let trusted = Arc::clone(&material.trusted);
                Ok(Seen { trusted, material: Some(material), warnings })
            }
            Looked::Reachable { trusted, warnings } => {
                Ok(Seen { trusted: Arc::new(trusted), material: None, warnings })
            }
        }
    }

    /// Looks whether [`Self::load`] would succeed, and changes nothing. The answer is what deserves a
    /// look.
    ///
    /// # Errors
    ///
    /// Every problem that was found.
    pub async fn check(&self) -> Result<Vec<String>, MaterialError> {
        match self.look().await {
            Ok(seen) => Ok(seen.warnings),
            Err(MaterialError::Authority(AuthorityError::Missing { dir })) => Ok(vec![format!(
                "{}: no authority here yet: a new one will be made",
                dir.display()
            )]),
            Err(error) => Err(error),
        }
    }

    /// The same, from another source of the same kind.
    #[cfg(test)]
    pub(super) fn from(self, source: Arc<dyn Source>) -> Self {
        Self { source, ..self }
    }

    pub(super) fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source)
    }

    /// The same, but by the running source of `old` if that gives the same: what it has learnt and watches
    /// stays.
    pub(super) fn carrying_on(self, old: &Self) -> Self {
        if self.gives_the_same_as(old) { Self { source: old.source(), ..self } } else { self }
    }

    fn checked(
        &self,
        offered: Offered,
        in_use: Option<&Material>,
    ) -> Result<Loaded, MaterialError> {
        let at = offered.origin.certificate.clone();
        let (material, warnings) = check(offered, self.needs, &self.spiffe, in_use, clock::now())?;
        let tried = self.preflight.as_ref().map_or(Ok(()), |it| it.of(&material, self.needs));
        tried.map_err(|what| MaterialError::Preflight { at, what })?;
        Ok(Loaded { material, warnings })
    }

    /// Whether both say the same in what they give. Needs do not matter: they are checked.
    fn gives_the_same_as(&self, other: &Self) -> bool {
        self.identity == other.identity && self.spiffe == other.spiffe
    }

    /// Whether `material` should be replaced now.
    pub fn is_due(&self, material: &Material, now: OffsetDateTime) -> bool {
        // A clock that was set back makes our certificate one of the future.
        self.renew_at(material).is_some_and(|due| now >= due || now < material.facts.not_before)
    }

    /// When `material` should be replaced; `None` if somebody else replaces it.
    ///
    /// After two thirds of its life, and up to a twentieth earlier or later, so that sidecars that
    /// were started together do not renew together. Always the same for the same certificate.
    pub fn renew_at(&self, material: &Material) -> Option<OffsetDateTime> {
        if !self.source.renews() {
            return None;
        }
        let issued = material.issued;
        let life = (material.not_after() - issued).max(time::Duration::ZERO);
        let [first, ..] = material.facts.sha256.0;
        let jitter = (f64::from(first) / 255.0 - 0.5) / 10.0;
        Some(issued + life * (2.0 / 3.0 + jitter))
    }
}

#[cfg(test)]
mod tests;
