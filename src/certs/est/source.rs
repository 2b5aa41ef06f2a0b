//! EST as a source.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::authorities::{APART, Authorities};
use super::chain;
use super::client::{Client, Proof, Token};
use super::enrolment::{Enrolment, Subject, Waiting};
use super::held::Held;
use super::lists::{self, Lists};
use super::settings::Settings;
use crate::certs::blocking::Blocking;
use crate::certs::check::Offered;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::kept::{Keeper, Kept};
use crate::certs::source::{Looked, Occasion, Source};
use crate::certs::web::WebTrust;
use crate::certs::{Material, MaterialError, Trusted};
use crate::clock;
use crate::config;
use crate::identity::{DnsName, SpiffeId};

/// The wall clock is looked at so often: a timer does not know of a suspended machine.
const LOOK: Duration = Duration::from_secs(15);
/// After a certificate that was issued in vain. Nothing is due later than after this.
const PAUSE: time::Duration = time::Duration::minutes(5);

/// Has certificates from an EST server.
pub(in crate::certs) struct Est {
    settings: Settings,
    work: Mutex<Work>,
    /// When trust bundle and lists are to be had anew, in seconds since 1970.
    due: AtomicI64,
}

/// What an attempt leaves for the next.
struct Work {
    /// What was offered last.
    held: Option<Arc<Held>>,
    lists: Lists,
    waiting: Waiting,
    authorities: Authorities,
    /// A token that was refused is not sent again: accounts get locked for less.
    refused: Option<Arc<Token>>,
}

impl Est {
    /// Enrols as `service`; its name is a DNS name of the certificate, too, if it is one.
    pub(in crate::certs) fn new(config: config::Est, spiffe: SpiffeId, service: &str) -> Self {
        let owner = format!("{spiffe}, by {}", config.url);
        let work = Work {
            held: None,
            lists: Lists::new(&config.crl_urls),
            waiting: Waiting::default(),
            authorities: Authorities::default(),
            refused: None,
        };
        let dns = DnsName::parse(service).into_iter().collect();
        let settings = Settings {
            keeper: Keeper::new(config.dir.clone(), owner),
            config,
            subject: Subject { spiffe, dns, service: service.to_owned() },
            blocking: Blocking::default(),
        };
        Self { settings, work: Mutex::new(work), due: AtomicI64::new(i64::MAX) }
    }

    async fn on(&self, occasion: Occasion<'_>) -> Result<Offered, MaterialError> {
        let mut work = self.work.lock().await;
        match occasion {
            Occasion::Start => self.start(&mut work).await,
            Occasion::Refresh(in_use) => self.refresh(&mut work, in_use).await,
            Occasion::Renew(in_use) => match self.renew(&mut work, in_use).await {
                Err(MaterialError::Enrol(why)) => self.at_least_trust(&mut work, in_use, why).await,
                result => result,
            },
        }
    }

    async fn start(&self, work: &mut Work) -> Result<Offered, MaterialError> {
        let (held, remark) = self.settings.recall().await;
        let now = clock::now();
        let Some(held) = held.filter(|held| held.is_valid(now)) else {
            return self.first(work, remark).await;
        };
        let held = Arc::new(held);
        if held.tried && held.has_kinds(&self.settings.config.key_types) {
            return self.carry_on(work, held, now).await;
        }
        match self.replace(work, &held, held.proof()?).await {
            Ok(offered) => Ok(offered),
            Err(error) => {
                tracing::warn!("{}: used as it is: {error}", self.settings.keeper.at());
                self.carry_on(work, held, now).await
            }
        }
    }

    /// Offers what was kept. The server is not needed for it, unless a list was never had.
    async fn carry_on(
        &self,
        work: &mut Work,
        held: Arc<Held>,
        now: OffsetDateTime,
    ) -> Result<Offered, MaterialError> {
        let held = match self.settings.lacks_lists(&held.kept) {
            true => Arc::new(self.with_lists(&mut work.lists, &held, now).await?),
            false => held,
        };
        work.held = Some(Arc::clone(&held));
        self.due_at(now);
        tracing::info!(
            "{}: the certificate of before is good and goes on being used",
            self.settings.keeper.at()
        );
        Ok(held.offered(&self.settings.config, self.settings.keeper.at())?)
    }

    /// Has a certificate for a token.
    async fn first(&self, work: &mut Work, remark: String) -> Result<Offered, MaterialError> {
        let Some(token) = self.settings.token(work.refused.as_deref()).await? else {
            return Err(self.settings.no_token(&remark).into());
        };
        let trust = self.settings.trust(None).await?;
        let result = self.enrol(work, None, Proof::Token(Arc::clone(&token)), trust).await;
        if is_refusal(&result) {
            work.refused = Some(token);
        }
        let offered = result?;
        tracing::info!(
            token_file = ?self.settings.config.token_file,
            "{}: enrolled; certificate and key are kept in {}, and the token is no longer needed",
            self.settings.config.url,
            self.settings.keeper.at(),
        );
        Ok(offered)
    }

    async fn renew(&self, work: &mut Work, in_use: &Material) -> Result<Offered, MaterialError> {
        let (held, remark) = match work.held.clone().filter(|held| held.is(in_use)) {
            Some(held) => (Some(held), String::new()),
            None => {
                let (held, remark) = self.settings.recall().await;
                (held.map(Arc::new), remark)
            }
        };
        let Some(held) = held else { return self.first(work, remark).await };
        let result = self.replace(work, &held, held.proof()?).await;
        if !is_refusal(&result)
            || !matches!(self.settings.token(work.refused.as_deref()).await, Ok(Some(_)))
        {
            return result;
        }
        tracing::warn!(
            "{}: the certificate is not renewed; trying the token",
            self.settings.config.url
        );
        self.first(work, remark).await
    }

    /// Has certificates in the place of `held`.
    async fn replace(
        &self,
        work: &mut Work,
        held: &Arc<Held>,
        proof: Proof,
    ) -> Result<Offered, MaterialError> {
        let trust = self.settings.trust(Some(&held.kept)).await?;
        self.enrol(work, Some(held), proof, trust).await
    }

    async fn enrol(
        &self,
        work: &mut Work,
        old: Option<&Arc<Held>>,
        mut proof: Proof,
        trust: WebTrust,
    ) -> Result<Offered, MaterialError> {
        let now = clock::now();
        let at = self.settings.config.url.to_string();
        if let Some(error) = work.waiting.too_early(&at, now) {
            return Err(error.into());
        }
        let keeper = self.settings.keeper.clone();
        self.settings.blocking.run(move || Ok(keeper.prepare()?)).await?; // before a token is used up
        let client = Client::new(&self.settings.config.url, trust.clone());
        let authorities = client.authorities().await?;
        work.authorities.had(&authorities, now);
        let known = old.map(|old| old.kept.lists.as_slice()).unwrap_or_default();
        let fetched = work.lists.fetch(known, &authorities, &trust, now).await?;
        let enrolment = Enrolment {
            client: &client,
            at,
            subject: &self.settings.subject,
            authorities: &authorities,
            old: old.and_then(|old| old.leaf().cloned()),
            blocking: &self.settings.blocking,
        };
        let mut kept = Kept {
            pairs: Vec::new(),
            issued: now,
            bundle: chain::anchors(&authorities),
            lists: fetched.lists,
        };
        for kind in &self.settings.config.key_types {
            kept.pairs.push(enrolment.pair(*kind, &proof, &mut work.waiting).await?);
            // A token is good for one certificate, and that for the others.
            if matches!(proof, Proof::Token(_)) {
                self.settings.store(&kept, false).await;
                proof = Held::new(kept.clone(), false).proof()?;
            }
        }
        let held = Arc::new(Held::new(kept, false));
        let mut offered =
            held.offered(&self.settings.config, self.settings.config.url.to_string())?;
        offered.warnings.extend(fetched.warnings);
        // To learn soon whether it is in use. One before it never was: then there is something amiss that
        // asking at once for yet another does not mend.
        let was_in_vain = work
            .held
            .as_ref()
            .is_some_and(|last| !last.tried && old.is_none_or(|old| !Arc::ptr_eq(old, last)));
        self.due_at(if was_in_vain { now + PAUSE } else { now });
        work.held = Some(held);
        Ok(offered)
    }

    /// Trust bundle and lists anew. The server may be away: then those of before stay.
    async fn refresh(&self, work: &mut Work, in_use: &Material) -> Result<Offered, MaterialError> {
        let now = clock::now();
        let Some(held) = work.held.clone().filter(|held| held.is(in_use)) else {
            return self.renew(work, in_use).await;
        };
        let fresh = self.refreshed(work, &held, now).await?;
        let mut offered = fresh.offered(&self.settings.config, self.settings.keeper.at())?;
        work.held = Some(fresh);
        offered.keep(in_use);
        Ok(offered)
    }

    /// There is no other certificate, for the reason `why`. That must not keep revocations, and what else
    /// is new of whom to trust, from taking effect.
    async fn at_least_trust(
        &self,
        work: &mut Work,
        in_use: &Material,
        why: EnrolError,
    ) -> Result<Offered, MaterialError> {
        let Some(held) = work.held.clone().filter(|held| held.is(in_use)) else {
            return Err(why.into());
        };
        let Ok(fresh) = self.refreshed(work, &held, clock::now()).await else {
            return Err(why.into());
        };
        let mut offered = fresh.offered(&self.settings.config, self.settings.keeper.at())?;
        work.held = Some(fresh);
        if offered.trusted == *in_use.trusted {
            return Err(why.into());
        }
        tracing::warn!("authorities and lists are new, our certificate is not: {why}");
        offered.keep(in_use);
        Ok(offered)
    }

    /// `held`, which is in use, with trust bundle and lists as they are now.
    async fn refreshed(
        &self,
        work: &mut Work,
        held: &Held,
        now: OffsetDateTime,
    ) -> Result<Arc<Held>, MaterialError> {
        let trust = self.settings.trust(Some(&held.kept)).await?;
        let mut fresh = Held::new(held.kept.clone(), true);
        let client = Client::new(&self.settings.config.url, trust);
        match work.authorities.anchors(&client, now).await {
            Ok(bundle) => fresh.kept.bundle = bundle,
            Err(error) => tracing::warn!("the trust bundle of before is used: {error}"),
        }
        let fresh = self.with_lists(&mut work.lists, &fresh, now).await?;
        self.due_at(lists::due(&fresh.kept.lists, now));
        if fresh.differs_from(held) {
            self.settings.store(&fresh.kept, true).await;
        }
        Ok(Arc::new(fresh))
    }

    /// `held` with the lists as they are now.
    async fn with_lists(
        &self,
        lists: &mut Lists,
        held: &Held,
        now: OffsetDateTime,
    ) -> Result<Held, MaterialError> {
        let mut kept = held.kept.clone();
        let chain = kept.pairs.iter().flat_map(|pair| pair.chain.iter().skip(1));
        let signers: Vec<_> = kept.bundle.iter().chain(chain).cloned().collect();
        let trust = self.settings.trust(Some(&kept)).await?;
        let fetched = lists.fetch(&kept.lists, &signers, &trust, now).await?;
        for warning in fetched.warnings {
            tracing::warn!("{warning}");
        }
        kept.lists = fetched.lists;
        Ok(Held::new(kept, held.tried))
    }

    fn due_at(&self, at: OffsetDateTime) {
        self.due.store(at.unix_timestamp(), Ordering::Relaxed);
    }

    async fn looked(&self) -> Result<Looked, MaterialError> {
        let now = clock::now();
        let (held, remark) = self.settings.recall().await;
        let mut lists = Lists::new(&self.settings.config.crl_urls);
        if let Some(held) = held.filter(|held| held.is_valid(now)) {
            let lacks = self.settings.lacks_lists(&held.kept);
            let held = if lacks { self.with_lists(&mut lists, &held, now).await? } else { held };
            return Ok(Looked::Offered(Box::new(
                held.offered(&self.settings.config, self.settings.keeper.at())?,
            )));
        }
        if self.settings.token(None).await?.is_none() {
            return Err(self.settings.no_token(&remark).into());
        }
        let trust = self.settings.trust(None).await?;
        let authorities =
            Client::new(&self.settings.config.url, trust.clone()).authorities().await?;
        let fetched = lists.fetch(&[], &authorities, &trust, now).await?;
        let bundle: Vec<CertificateDer<'static>> = chain::anchors(&authorities);
        let crls = fetched.lists.into_iter().map(|list| list.der).collect();
        let trusted = Trusted { bundle, crls, ..Trusted::default() };
        Ok(Looked::Reachable { trusted, warnings: fetched.warnings })
    }
}

fn is_refusal<T>(result: &Result<T, MaterialError>) -> bool {
    matches!(result, Err(MaterialError::Enrol(error)) if error.kind == EnrolFailure::Refused)
}

impl Source for Est {
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        self.on(occasion).boxed()
    }

    /// Uses up no token: what is kept, or else whether the server is there.
    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        self.looked().boxed()
    }

    fn news(&self) -> BoxFuture<'_, ()> {
        async {
            loop {
                let due = self.due.load(Ordering::Relaxed);
                let left = due.saturating_sub(clock::now().unix_timestamp());
                // A clock that was set back would put it off for as long.
                if left <= 0 || (due != i64::MAX && left > PAUSE.whole_seconds()) {
                    // Told once: what comes of it sets the next moment, and if nothing does, this.
                    self.due_at(clock::now() + APART);
                    return;
                }
                sleep(Duration::from_secs(left.unsigned_abs()).min(LOOK)).await;
            }
        }
        .boxed()
    }

    fn renews(&self) -> bool {
        true
    }

    fn may_be_late(&self) -> bool {
        true
    }
}

/// Without token and keys.
impl fmt::Debug for Est {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Est").field("config", &self.settings.config).finish_non_exhaustive()
    }
}
