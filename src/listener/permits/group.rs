//! All who presented the same chain: judged once, however many they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::Terms;
use super::lost::Lost;
use super::member::Member;
use crate::authz::Permit;
use crate::identity::{Fingerprint, PeerCertificate, PeerIdentity};
use crate::live::{Generation, Snapshot};
use crate::outcome::Refusal;
use crate::tls::{Grounds, Session, Trust};

/// Tells one presented chain from another: SHA-256 of the leaf, and of all that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChainKey(Fingerprint, [u8; 32]);

impl ChainKey {
    pub(super) fn of(session: &Session) -> Self {
        let mut rest = Context::new(&SHA256);
        for der in session.presented().iter().skip(1) {
            rest.update(&der.len().to_be_bytes());
            rest.update(der);
        }
        let rest = rest.finish().as_ref().try_into().unwrap_or_default(); // always 32 bytes
        Self(session.peer.certificate.sha256, rest)
    }
}

/// All who presented the same chain.
pub(super) struct Group {
    pub(super) key: ChainKey,
    chain: Vec<CertificateDer<'static>>,
    standing: ArcSwap<Standing>,
    members: Mutex<Members>,
}

/// The last verdict on a chain.
#[derive(Debug)]
struct Standing {
    peer: PeerIdentity,
    grounds: Grounds,
    /// What it was judged by.
    trust: Arc<Trust>,
}

struct Members {
    /// The generation of the rules by which the permits stand.
    judged: Generation,
    /// When they are to be judged again, even if nothing is published.
    until: OffsetDateTime,
    /// The permits were withdrawn: whoever comes with this chain now belongs to another group.
    closed: bool,
    next: u64,
    all: HashMap<u64, Arc<Member>>,
}

impl Group {
    /// A group without members, of a peer that has just been let in.
    pub(super) fn new<S: Terms>(
        key: ChainKey,
        session: &Session,
        permit: &Permit,
        seen: &Snapshot<S>,
    ) -> Arc<Self> {
        let grounds = session.grounds;
        let trust = Arc::clone(seen.value.trust());
        Arc::new(Self {
            key,
            chain: session.presented().to_vec(),
            standing: ArcSwap::from_pointee(Standing {
                peer: session.peer.clone(),
                grounds,
                trust,
            }),
            members: Mutex::new(Members {
                judged: seen.generation,
                until: due(grounds, permit),
                closed: false,
                next: 0,
                all: HashMap::new(),
            }),
        })
    }

    /// Takes a member in, unless the group is closed.
    pub(super) fn join(&self, member: &Arc<Member>) -> Option<u64> {
        let mut members = self.lock();
        if members.closed {
            return None;
        }
        let id = members.next;
        members.next += 1;
        members.all.insert(id, Arc::clone(member));
        Some(id)
    }

    /// Lets a member go; whether it was the last.
    pub(super) fn leave(&self, id: u64) -> bool {
        let mut members = self.lock();
        members.all.remove(&id);
        members.all.is_empty()
    }

    /// Takes nobody in any more, and lets all go.
    pub(super) fn close(&self) -> Vec<Arc<Member>> {
        let mut members = self.lock();
        members.closed = true;
        std::mem::take(&mut members.all).into_values().collect()
    }

    /// What the certificate says, for all of the group to share.
    pub(super) fn certificate(&self) -> Arc<PeerCertificate> {
        Arc::clone(&self.standing.load().peer.certificate)
    }

    /// When to judge again, if nothing is published before.
    pub(super) fn due(&self) -> OffsetDateTime {
        self.lock().until
    }

    /// Whether the permits have to be judged by these rules at this moment.
    pub(super) fn is_due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> bool {
        let members = self.lock();
        members.judged < now.generation || members.until <= at
    }

    /// Who presented the chain, by `trust` at this moment. The last verdict counts where it still holds.
    pub(super) fn peer(
        &self,
        trust: &Arc<Trust>,
        at: OffsetDateTime,
    ) -> Result<(PeerIdentity, Grounds), (Refusal, String)> {
        let standing = self.standing.load();
        if Arc::ptr_eq(&standing.trust, trust) && at < standing.grounds.until {
            return Ok((standing.peer.clone(), standing.grounds));
        }
        let (peer, grounds) = trust.judge_again(&self.chain, &standing.peer.certificate, at)?;
        let trust = Arc::clone(trust);
        self.standing.store(Arc::new(Standing { peer: peer.clone(), grounds, trust }));
        Ok((peer, grounds))
    }

    /// Judges the permits by these rules at this moment.
    pub(super) fn judge<S: Terms>(
        &self,
        now: &Snapshot<S>,
        at: OffsetDateTime,
    ) -> Result<(), Lost> {
        let rules = &now.value;
        let (peer, grounds) = self.peer(rules.trust(), at).map_err(Lost::refused)?;
        let permit = rules.policy().authorize(&peer, at);
        let permit = permit.map_err(|denied| Lost::denied(denied, rules.policy().version()))?;
        let mut members = self.lock();
        if members.judged <= now.generation {
            members.judged = now.generation;
            members.until = due(grounds, &permit);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends first: something that the identity rests on, or the entry that the permit was given for.
fn due(grounds: Grounds, permit: &Permit) -> OffsetDateTime {
    permit.until().map_or(grounds.until, |until| until.min(grounds.until))
}
