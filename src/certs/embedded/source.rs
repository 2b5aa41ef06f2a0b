//! The authority in a directory as a source of our own leaf.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use time::OffsetDateTime;
use tokio::time::sleep;

use super::{Authority, Grant};
use crate::certs::blocking::Blocking;
use crate::certs::check::Offered;
use crate::certs::source::{Looked, Occasion, Source};
use crate::certs::{Material, MaterialError, anchors};
use crate::clock;
use crate::config;
use crate::identity::{DnsName, SpiffeId, TrustDomain};

/// So often the directory is looked at: a revocation takes effect within this.
const LOOK: Duration = Duration::from_secs(2);
/// What others may change: whom to trust, whom no longer, and who signs.
const WATCHED: [&str; 3] = ["ca.crl", "root.crt", "issuing.crt"];

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
    seen: Mutex<Option<Seen>>,
}

/// What the directory was like when we last read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    files: [Option<Stamp>; WATCHED.len()],
    /// When the revocation lists should be made anew.
    due: OffsetDateTime,
}

/// By what a file is told from the one that took its place.
type Stamp = (u64, u64, i64, i64);

impl Embedded {
    /// Issues for `service`; its name is a DNS name of the leaf, too, if it is one.
    pub(in crate::certs) fn new(
        config: config::Embedded,
        trust_domain: TrustDomain,
        spiffe: SpiffeId,
        service: &str,
    ) -> Self {
        let dns = DnsName::parse(service).into_iter().collect();
        let seen = Mutex::default();
        let settings = Arc::new(Settings { config, trust_domain, spiffe, dns, seen });
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

    /// The certificate that it looks at is issued for this look: it is not on record, and it and its key
    /// go nowhere.
    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        let settings = Arc::clone(&self.settings);
        self.blocking
            .run(move || {
                let authority = Authority::look(&settings.config.dir, &settings.trust_domain)?;
                settings.issue(&authority).map(|offered| Looked::Offered(Box::new(offered)))
            })
            .boxed()
    }

    /// Somebody revoked a certificate, changed the roots, or replaced the issuing authority; or it is
    /// time to make the revocation lists anew.
    fn news(&self) -> BoxFuture<'_, ()> {
        async move {
            loop {
                sleep(LOOK).await;
                let settings = Arc::clone(&self.settings);
                // A directory that cannot be looked at is told of by the next renewal.
                if let Ok(true) = self.blocking.run(move || Ok(settings.has_news())).await {
                    // Told once: whoever hears it sees to it, and tries again if that fails. Noted only
                    // now: a look that nobody waits for any more must not take the news along.
                    *self.settings.seen() = None;
                    return;
                }
            }
        }
        .boxed()
    }

    fn renews(&self) -> bool {
        true
    }
}

impl Settings {
    fn start(&self) -> Result<Offered, MaterialError> {
        self.opening(|| {
            let authority = Authority::open_or_create(&self.config.dir, &self.trust_domain)?;
            Ok((self.issue(&authority)?, authority))
        })
    }

    fn again(&self, in_use: &Material, keep: bool) -> Result<Offered, MaterialError> {
        self.opening(|| {
            let authority = Authority::open(&self.config.dir, &self.trust_domain)?;
            self.is_the_same(in_use, &authority)?;
            let keep = keep && self.are_good(in_use, &authority);
            let offered =
                if keep { authority.offer_again(in_use) } else { self.issue(&authority)? };
            Ok((offered, authority))
        })
    }

    /// The root that signs is one that we trust already. A root may go only when another has been trusted
    /// beside it.
    fn is_the_same(&self, in_use: &Material, authority: &Authority) -> Result<(), MaterialError> {
        let trusted: Vec<_> = in_use.trusted.bundle.iter().collect();
        if anchors::lost(std::slice::from_ref(authority.root()), &trusted).is_none() {
            return Ok(());
        }
        let lost = anchors::lost(&in_use.trusted.bundle, &authority.roots()).unwrap_or_default();
        Err(MaterialError::OtherAuthority { dir: self.config.dir.clone(), lost })
    }

    /// Whether peers would still take what we present. We, who may have another one for the asking, do
    /// not wait for its renewal.
    fn are_good(&self, in_use: &Material, authority: &Authority) -> bool {
        let all = std::iter::once(&in_use.presented).chain(&in_use.others);
        all.filter_map(|pair| pair.cert.first()).all(|leaf| authority.stands_by(leaf))
    }

    /// Remembers what the directory was like before it was read: what changes meanwhile is news, be it
    /// our own doing.
    fn opening(
        &self,
        open: impl FnOnce() -> Result<(Offered, Authority), MaterialError>,
    ) -> Result<Offered, MaterialError> {
        let files = stamps(&self.config.dir);
        let (offered, authority) = open()?;
        *self.seen() = Some(Seen { files, due: authority.crl_due() });
        Ok(offered)
    }

    fn issue(&self, authority: &Authority) -> Result<Offered, MaterialError> {
        let grant =
            Grant { spiffe: self.spiffe.clone(), dns: self.dns.clone(), ttl: self.config.ttl };
        Ok(authority.offer(&grant, &self.config.key_types, clock::now())?)
    }

    fn has_news(&self) -> bool {
        let files = stamps(&self.config.dir);
        self.seen().as_ref().is_some_and(|seen| seen.files != files || clock::now() >= seen.due)
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(dir: &Path) -> [Option<Stamp>; WATCHED.len()] {
    let stamp = |name: &str| -> io::Result<Stamp> {
        let it = fs::metadata(dir.join(name))?;
        Ok((it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
    };
    WATCHED.map(|name| stamp(name).ok())
}
