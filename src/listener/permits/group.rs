//! All who presented the same chain and are on record as the same peer, or came in plaintext: judged once,
//! however many they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::lasting::{AllLasting, Lasting};
use super::lost::{Lost, Without};
use super::member::Member;
use super::{LATEST, Rules, Services};
use crate::authz::{Grant, Permit};
use crate::identity::{Fingerprint, PeerCertificate, PeerIdentity, PeerName};
use crate::live::{Generation, Snapshot};
use crate::tls::{Grounds, Session, Trust};

/// What was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Chain {
    /// A presented chain: SHA-256 of the leaf, and of all that came with it.
    Certificates(Fingerprint, [u8; 32]),
    /// Nobody knows who they are.
    Plaintext,
}

impl Chain {
    pub(super) fn of(session: Option<&Session>) -> Self {
        let Some(session) = session else { return Self::Plaintext };
        let mut rest = Context::new(&SHA256);
        for der in session.presented().iter().skip(1) {
            rest.update(&der.len().to_be_bytes());
            rest.update(der);
        }
        let rest = rest.finish().as_ref().try_into().unwrap_or_default(); // always 32 bytes
        Self::Certificates(session.peer.certificate.sha256, rest)
    }
}

/// All who presented the same chain and are on record as the same peer, or came in plaintext.
pub(super) struct Group {
    pub(super) chain: Chain,
    /// As whom they are on record.
    pub(super) peer: Option<PeerName>,
    /// `None`: plaintext.
    proven: Option<Proven>,
    members: Mutex<Members>,
    pub(super) lasting: AllLasting,
}

/// A chain, and how it stands.
struct Proven {
    chain: Vec<CertificateDer<'static>>,
    standing: ArcSwap<Standing>,
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
    pub(super) fn new<S: Rules>(
        (chain, peer): (Chain, Option<PeerName>),
        session: Option<&Session>,
        permit: &Permit,
        seen: &Snapshot<S>,
    ) -> Arc<Self> {
        let proven = session.map(|session| Proven {
            chain: session.presented().to_vec(),
            standing: ArcSwap::from_pointee(Standing {
                peer: session.peer.clone(),
                grounds: session.grounds,
                trust: Arc::clone(seen.value.trust()),
            }),
        });
        Arc::new(Self {
            chain,
            peer,
            proven,
            members: Mutex::new(Members {
                judged: seen.generation,
                until: due(session.map(|session| session.grounds), permit),
                closed: false,
                next: 0,
                all: HashMap::new(),
            }),
            lasting: AllLasting::default(),
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

    /// Who is in it.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.lock().all.values().map(Arc::clone).collect()
    }

    /// Takes nobody in any more, and lets all go.
    pub(super) fn close(&self) -> Vec<Arc<Member>> {
        let mut members = self.lock();
        members.closed = true;
        std::mem::take(&mut members.all).into_values().collect()
    }

    /// What the certificate says, for all of the group to share.
    pub(super) fn certificate(&self) -> Option<Arc<PeerCertificate>> {
        self.proven.as_ref().map(|proven| Arc::clone(&proven.standing.load().peer.certificate))
    }

    /// When the permits are to be judged again, if nothing is published before.
    pub(super) fn until(&self) -> OffsetDateTime {
        self.lock().until
    }

    /// Those of whom Rego is to be asked by these rules at this moment.
    pub(super) fn due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> Vec<Arc<Member>> {
        let members = self.lock();
        let held = members.all.values().filter(|member| member.withdrawn().is_none());
        held.filter(|member| member.is_due(now, at)).map(Arc::clone).collect()
    }

    /// When Rego is to be asked of the first of them, if nothing is published before.
    pub(super) fn asked_until(&self) -> OffsetDateTime {
        let members = self.lock();
        let held = members.all.values().filter(|member| member.withdrawn().is_none());
        held.map(|member| member.asked_until()).min().unwrap_or(LATEST)
    }

    /// Whether the permits have to be judged by these rules at this moment.
    pub(super) fn is_due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> bool {
        let members = self.lock();
        members.judged < now.generation || members.until <= at
    }

    /// The permit that these rules give at this moment, and what else it rests on.
    pub(super) fn permit<S: Rules>(
        &self,
        rules: &S,
        at: OffsetDateTime,
    ) -> Result<(Permit, Option<Grounds>), Without> {
        let Some(proven) = &self.proven else {
            let permit = rules.policy().plaintext(at).ok_or_else(Without::tls)?;
            return Ok((permit, None));
        };
        let (peer, grounds) = proven.peer(rules.trust(), at)?;
        let then = self.peer.as_ref();
        let permit = rules.policy().authorize_again(&peer, then, at).map_err(Without::Denied)?;
        Ok((permit, Some(grounds)))
    }

    /// Judges the permits by these rules at this moment.
    pub(super) fn judge<S: Rules>(
        &self,
        now: &Snapshot<S>,
        at: OffsetDateTime,
    ) -> Result<Permit, Lost> {
        let (permit, grounds) = self.permit(&now.value, at).map_err(Without::lost)?;
        let mut members = self.lock();
        if members.judged <= now.generation {
            members.judged = now.generation;
            members.until = due(grounds, &permit);
        }
        Ok(permit)
    }

    /// Judges what goes on over a member's connection, by these rules at this moment.
    pub(super) fn judge_lasting<S: Rules>(
        &self,
        services: &Services,
        lasting: &Lasting,
        now: &Snapshot<S>,
        at: OffsetDateTime,
    ) -> Result<Grant, Lost> {
        let permit = self.permit(&now.value, at).map(|(permit, _grounds)| permit);
        lasting.judge(services, permit.map_err(Without::lost), now, at)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proven {
    /// Who presented the chain, by `trust` at this moment. The last verdict counts where it still holds.
    fn peer(
        &self,
        trust: &Arc<Trust>,
        at: OffsetDateTime,
    ) -> Result<(PeerIdentity, Grounds), Without> {
        let standing = self.standing.load();
        if Arc::ptr_eq(&standing.trust, trust) && at < standing.grounds.until {
            return Ok((standing.peer.clone(), standing.grounds));
        }
        let judged = trust.judge_again(&self.chain, &standing.peer.certificate, at);
        let (peer, grounds) =
            judged.map_err(|(refusal, message)| Without::Refused(refusal, message))?;
        let trust = Arc::clone(trust);
        self.standing.store(Arc::new(Standing { peer: peer.clone(), grounds, trust }));
        Ok((peer, grounds))
    }
}

/// What ends first: something that the identity rests on, or what the permit was given for.
fn due(grounds: Option<Grounds>, permit: &Permit) -> OffsetDateTime {
    let ends = [grounds.map(|grounds| grounds.until), permit.until()];
    ends.into_iter().flatten().min().unwrap_or(LATEST)
}
