//! What is kept between starts: what is in use, and what is trusted with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::trust::Trust;
use crate::certs::blocking::Blocking;
use crate::certs::inspect;
use crate::certs::kept::{Keeper, Kept, KeptList, KeptPair};
use crate::certs::{Material, Trusted};
use crate::clock::{self, rfc3339};

/// The directory, and what is in memory of what is there.
pub(super) struct Shelf {
    keeper: Keeper,
    /// What is worth keeping, once it is in use: only then is it known that peers accept it.
    held: Mutex<Option<Held>>,
}

struct Held {
    kept: Kept,
    stored: bool,
}

/// What was kept and is still good.
pub(super) struct Found {
    pub(super) pairs: Vec<Arc<CertifiedKey>>,
    pub(super) issued: OffsetDateTime,
    /// The end of the first of the certificates.
    pub(super) end: OffsetDateTime,
    pub(super) trust: Trust,
}

impl Shelf {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self { keeper, held: Mutex::default() }
    }

    /// The file, for operators.
    pub(super) fn at(&self) -> String {
        self.keeper.at()
    }

    /// Remembers what was issued, to be kept once it is in use; whether what was remembered before it had
    /// come to that.
    pub(super) fn hold(&self, pairs: Vec<KeptPair>, issued: OffsetDateTime, trust: &Trust) -> bool {
        let (bundle, lists) = (trust.trusted.bundle.clone(), lists(trust));
        let kept = Kept { pairs, issued, bundle, lists };
        let before = self.held().replace(Held { kept, stored: false });
        before.is_none_or(|before| before.stored)
    }

    /// Keeps what is `in_use`, with what is trusted now.
    pub(super) async fn keep(&self, in_use: &Material, trust: &Trust, blocking: &Blocking) {
        let Some(kept) = self.changed(in_use, trust) else { return };
        let keeper = self.keeper.clone();
        let stored = blocking.run(move || Ok(keeper.store(&kept)?)).await;
        if let Err(error) = &stored {
            tracing::warn!("a restart while the server is away will fail: {error}");
        }
        if let Some(held) = self.held().as_mut() {
            held.stored = stored.is_ok();
        }
    }

    /// What was kept, if it can be used.
    pub(super) async fn find(&self, blocking: &Blocking) -> Option<Found> {
        let keeper = self.keeper.clone();
        let kept = match blocking.run(move || Ok(keeper.load()?)).await {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::warn!("what was kept is of no use: {error}");
                return None;
            }
        };
        let pairs: Vec<_> =
            kept.pairs.iter().filter_map(KeptPair::certified).map(Arc::new).collect();
        let leaves = pairs.iter().filter_map(|pair| pair.cert.first());
        let end = leaves.filter_map(|leaf| inspect::not_after(leaf)).min()?;
        if end <= clock::now() {
            let at = self.at();
            tracing::warn!("{at}: the certificate that was kept expired at {}", rfc3339(end));
            return None;
        }
        let crls = kept.lists.iter().map(|list| list.der.clone()).collect();
        let trusted = Trusted { bundle: kept.bundle.clone(), crls, ..Trusted::default() };
        let lists = kept.lists.iter().map(|list| list.url.clone()).collect();
        let issued = kept.issued;
        *self.held() = Some(Held { kept, stored: true });
        Some(Found { pairs, issued, end, trust: Trust { trusted, lists, warnings: Vec::new() } })
    }

    /// What is to be kept, if it is not kept like that already.
    fn changed(&self, in_use: &Material, trust: &Trust) -> Option<Kept> {
        let mut held = self.held();
        let Held { kept, stored } = held.as_mut()?;
        if kept.pairs.first()?.chain != in_use.presented.cert {
            return None;
        }
        let old = kept.lists.iter().map(|list| &list.der);
        if *stored && kept.bundle == trust.trusted.bundle && old.eq(&trust.trusted.crls) {
            return None;
        }
        kept.bundle.clone_from(&trust.trusted.bundle);
        kept.lists = lists(trust);
        Some(kept.clone())
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lists(trust: &Trust) -> Vec<KeptList> {
    let lists = trust.trusted.crls.iter().zip(&trust.lists);
    lists.map(|(der, url)| KeptList { url: url.clone(), der: der.clone() }).collect()
}
