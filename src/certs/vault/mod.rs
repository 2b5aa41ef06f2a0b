//! The PKI of OpenBao or Vault as a source: it signs our requests, and says whom to trust and what is
//! revoked.
//!
//! Nothing is leased: a renewal is another certificate over another key. Authorities and lists are read
//! again every few minutes, without a token: everybody may.

mod client;
mod login;
mod refusal;
mod secret;
mod shelf;
mod sign;
mod timer;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, FutureExt};
use http::StatusCode;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::blocking::Blocking;
use super::check::{Offered, Origin};
use super::enrol::EnrolError;
use super::kept::Keeper;
use super::keys::Key;
use super::source::{Looked, Occasion, Source};
use super::{Material, MaterialError, anchors};
use crate::clock::{self, rfc3339};
use crate::config;
use crate::identity::{DnsName, SpiffeId};
use client::Client;
use login::{Session, may};
use shelf::Shelf;
use sign::{Issued, Wish, issued_at};
use timer::Timer;
use trust::Trust;

/// Asks a mount of OpenBao or Vault for certificates.
pub(in crate::certs) struct Vault {
    config: Arc<config::Vault>,
    /// Where the PKI is mounted, without slashes around it.
    mount: String,
    spiffe: SpiffeId,
    dns: Vec<DnsName>,
    session: Session,
    timer: Timer,
    blocking: Blocking,
    shelf: Option<Shelf>,
    /// The server did not answer the last time.
    away: AtomicBool,
}

/// Our own certificates: the preferred one first.
struct Own {
    pairs: Vec<Arc<CertifiedKey>>,
    issued: OffsetDateTime,
    /// Where they came from, for operators.
    at: String,
}

impl Own {
    /// What is in use.
    fn of(in_use: &Material) -> Self {
        let pairs = std::iter::once(&in_use.presented).chain(&in_use.others).cloned().collect();
        Self { pairs, issued: in_use.issued, at: "the certificate in use".to_owned() }
    }
}

impl Vault {
    /// Asks for `spiffe`, and for the service's name as a DNS name if it is one.
    pub(in crate::certs) fn new(config: config::Vault, spiffe: SpiffeId, service: &str) -> Self {
        let mount = config.mount.trim_matches('/').to_owned();
        let namespace = config.namespace.as_deref().unwrap_or_default();
        let (address, role) = (&config.address, &config.role);
        let owner = format!("{spiffe} by {address}{namespace} {mount}/sign/{role}");
        Self {
            mount,
            spiffe,
            dns: DnsName::parse(service).into_iter().collect(),
            session: Session::default(),
            timer: Timer::default(),
            blocking: Blocking::default(),
            shelf: config.dir.clone().map(|dir| Shelf::new(Keeper::new(dir, owner))),
            away: AtomicBool::default(),
            config: Arc::new(config),
        }
    }

    /// Begins with what was kept only if there is nothing new to be had: what is kept may have been issued
    /// under conditions that were corrected since.
    async fn start(&self) -> Result<Offered, MaterialError> {
        match self.anew(None).await {
            Err(MaterialError::Enrol(error)) => match self.kept(&error).await {
                Some(offered) => Ok(offered),
                None => Err(error.into()),
            },
            result => result,
        }
    }

    async fn anew(&self, in_use: Option<&Material>) -> Result<Offered, MaterialError> {
        let client = Client::of(&self.config, &self.blocking).await?;
        let trust = self.trust(&client, lists(in_use)).await?;
        self.issue_or_keep(&client, trust, in_use).await
    }

    async fn issue_or_keep(
        &self,
        client: &Client,
        trust: Trust,
        in_use: Option<&Material>,
    ) -> Result<Offered, MaterialError> {
        let new = in_use.filter(|material| *material.trusted != trust.trusted);
        match (self.issue(client, trust.clone(), in_use).await, new) {
            // That we get no certificate must not keep revocations from taking effect.
            (Err(MaterialError::Enrol(error)), Some(in_use)) => {
                tracing::warn!("authorities and lists are new, our certificate is not: {error}");
                self.offered(Own::of(in_use), trust, Some(in_use))
            }
            (result, _) => result,
        }
    }

    /// Has a new certificate issued over a new key of each kind.
    async fn issue(
        &self,
        client: &Client,
        mut trust: Trust,
        in_use: Option<&Material>,
    ) -> Result<Offered, MaterialError> {
        let mut all = Vec::new();
        for kind in self.config.key_types.iter().copied() {
            let key = self.blocking.run(move || Ok(Key::make(kind)?)).await?;
            all.push(self.sign(client, &key).await?);
        }
        let now = clock::now();
        let leaf = all.first().and_then(|issued| issued.pair.cert.first());
        let issued = leaf.map_or(now, |leaf| issued_at(leaf, now));
        for one in &mut all {
            trust.add(&one.authorities, now);
            trust.warnings.append(&mut one.warnings);
        }
        let own = Own {
            pairs: all.iter().map(|issued| Arc::clone(&issued.pair)).collect(),
            issued,
            at: format!("{}{}/sign/{}", self.config.address, self.mount, self.config.role),
        };
        self.timer.set(&trust.trusted, self.session.due());
        if let Some(shelf) = &self.shelf {
            let kept = all.into_iter().map(|issued| issued.kept).collect();
            // One before it was never in use: another look at once would have a third issued.
            if shelf.hold(kept, issued, &trust) {
                self.timer.soon();
            }
        }
        self.offered(own, trust, in_use)
    }

    async fn sign(&self, client: &Client, key: &Key) -> Result<Issued, MaterialError> {
        let wish =
            Wish { config: &self.config, mount: &self.mount, spiffe: &self.spiffe, dns: &self.dns };
        let auth = &self.config.auth;
        let (mut token, is_new) = self.session.token(client, auth, &self.blocking).await?;
        let mut reply = wish.ask(client, &token.text, key).await?;
        if reply.status == StatusCode::FORBIDDEN && !is_new {
            // The server has forgotten the token, or its policies have changed since it was given.
            self.session.forget();
            (token, _) = self.session.token(client, auth, &self.blocking).await?;
            reply = wish.ask(client, &token.text, key).await?;
        }
        if reply.status == StatusCode::FORBIDDEN {
            self.session.forget();
            may(client, auth, &token.text, &wish.step()).await?; // the server does not say why
        }
        Ok(wish.take(reply, key)?)
    }

    /// Keeps our certificate, unless it was revoked: then whoever did so wants it replaced. A server that is
    /// away changes nothing.
    async fn refresh(&self, in_use: &Material) -> Result<Offered, MaterialError> {
        let client = Client::of(&self.config, &self.blocking).await?;
        let trust = match self.trust(&client, lists(Some(in_use))).await {
            Err(error) if error.is_transient() => self.as_it_was(in_use, &error),
            result => result?,
        };
        if let Some(shelf) = &self.shelf {
            shelf.keep(in_use, &trust, &self.blocking).await;
        }
        let mut ours = std::iter::once(&in_use.presented).chain(&in_use.others);
        if ours.any(|pair| pair.cert.first().is_some_and(|leaf| trust.revokes(leaf))) {
            tracing::warn!("our certificate was revoked: asking for another one");
            return self.issue_or_keep(&client, trust, Some(in_use)).await;
        }
        if !self.away.load(Ordering::Relaxed) {
            self.session.renew(&client, &self.config.auth).await;
            self.timer.set(&trust.trusted, self.session.due());
        }
        self.offered(Own::of(in_use), trust, Some(in_use))
    }

    async fn trust(
        &self,
        client: &Client,
        before: &[CertificateRevocationListDer<'static>],
    ) -> Result<Trust, EnrolError> {
        let trust = trust::read(client, &self.mount, before, clock::now()).await?;
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("{} is back", self.config.address);
        }
        Ok(trust)
    }

    /// The server does not answer: authorities and lists stay.
    fn as_it_was(&self, in_use: &Material, error: &EnrolError) -> Trust {
        let warning =
            format!("{error}; authorities and revocation lists stay as they are until it is back");
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!("{warning}");
        }
        self.timer.retry();
        let trusted = in_use.trusted.as_ref().clone();
        let lists = trusted.crls.iter().map(|_| self.at()).collect();
        Trust { trusted, lists, warnings: vec![warning] }
    }

    /// Where authorities and lists come from, for operators.
    fn at(&self) -> String {
        format!("{}{}", self.config.address, self.mount)
    }

    fn offered(
        &self,
        own: Own,
        mut trust: Trust,
        in_use: Option<&Material>,
    ) -> Result<Offered, MaterialError> {
        let mut pairs = own.pairs.into_iter();
        let first = pairs.next().ok_or(MaterialError::BrokenOff)?;
        let leaf = first.cert.first();
        trust.warnings.extend(leaf.and_then(|leaf| trust.uncovered(leaf)));
        let bundle = self.at();
        let now_trusted: Vec<_> = trust.trusted.bundle.iter().collect();
        let before = in_use.map_or(&[][..], |material| &material.trusted.bundle);
        trust.warnings.extend(anchors::lost(before, &now_trusted).map(|lost| {
            format!(
                "{bundle}: no longer holds {lost}: peers with certificates from there are refused from \
                 now on"
            )
        }));
        Ok(Offered {
            chain: first.cert.clone(),
            key: Arc::clone(&first.key),
            others: pairs.collect(),
            issued: Some(own.issued),
            renewed: true,
            origin: Origin {
                certificate: own.at.clone(),
                key: own.at,
                trust_bundle: bundle,
                crls: trust.lists,
                others: Vec::new(),
            },
            trusted: trust.trusted,
            warnings: trust.warnings,
        })
    }

    /// What was kept, if it can be used: the server gave nothing, for the reason `why`.
    async fn kept(&self, why: &EnrolError) -> Option<Offered> {
        let shelf = self.shelf.as_ref()?;
        let found = shelf.find(&self.blocking).await?;
        let mut trust = self.fresh(why).await.unwrap_or(found.trust);
        let mut leaves = found.pairs.iter().filter_map(|pair| pair.cert.first());
        if leaves.any(|leaf| trust.revokes(leaf)) {
            tracing::warn!("{}: the certificate that was kept is revoked", shelf.at());
            return None;
        }
        trust.warnings.push(format!(
            "{why}; going on with the certificate that was kept, which is good until {}",
            rfc3339(found.end)
        ));
        self.timer.retry();
        let own = Own { pairs: found.pairs, issued: found.issued, at: shelf.at() };
        self.offered(own, trust, None).ok()
    }

    /// What the server says of trust, if it is there and refused only to issue.
    async fn fresh(&self, why: &EnrolError) -> Option<Trust> {
        if why.is_transient() {
            return None;
        }
        let client = Client::of(&self.config, &self.blocking).await.ok()?;
        self.trust(&client, &[]).await.ok()
    }

    /// Looks whether a certificate would be had, without having one, and without using up what may be good
    /// for one time only.
    async fn looked(&self) -> Result<Looked, MaterialError> {
        let client = Client::of(&self.config, &self.blocking).await?;
        let Trust { trusted, mut warnings, .. } = self.trust(&client, &[]).await?;
        let step = refusal::Step::Sign {
            mount: &self.mount,
            role: &self.config.role,
            spiffe: &self.spiffe,
        };
        warnings
            .extend(self.session.look(&client, &self.config.auth, &step, &self.blocking).await?);
        Ok(Looked::Reachable { trusted, warnings })
    }
}

impl Source for Vault {
    fn offer<'a>(
        &'a self,
        occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        async move {
            match occasion {
                Occasion::Start => self.start().await,
                Occasion::Refresh(in_use) => self.refresh(in_use).await,
                Occasion::Renew(in_use) => self.anew(Some(in_use)).await,
            }
        }
        .boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        self.looked().boxed()
    }

    fn news(&self) -> BoxFuture<'_, ()> {
        self.timer.due().boxed()
    }

    fn renews(&self) -> bool {
        true
    }

    fn may_be_late(&self) -> bool {
        true
    }
}

/// Without anything secret.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("config", &self.config).finish_non_exhaustive()
    }
}

fn lists(in_use: Option<&Material>) -> &[CertificateRevocationListDer<'static>] {
    in_use.map_or(&[], |material| &material.trusted.crls)
}

#[cfg(test)]
mod tests;
