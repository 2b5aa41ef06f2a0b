//! What the holders of permits and their watch share.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;

use super::group::{Chain, Group};
use super::member::Member;
use super::{LATEST, Rules, Services};
use crate::authz::Permit;
use crate::identity::PeerCertificate;
use crate::inventory::{Open, Roll};
use crate::live::{Live, Snapshot};
use crate::tls::Session;

/// All groups of a listener, and when to judge them.
pub(super) struct Register<S: Rules> {
    groups: Mutex<Groups>,
    pub(super) live: Live<S>,
    pub(super) services: Services,
    /// When the watch looks next, unless something is published before.
    look: Mutex<OffsetDateTime>,
    /// A permit is due before that.
    pub(super) earlier: Notify,
}

/// By what was presented. Almost always one each: more than one where rules took the same chain for one peer
/// and then for another.
type Groups = HashMap<Chain, Vec<Arc<Group>>>;

impl<S: Rules> Register<S> {
    /// Without anybody.
    pub(super) fn new(live: Live<S>, services: Services) -> Self {
        let look = Mutex::new(LATEST);
        Self { groups: Mutex::default(), live, services, look, earlier: Notify::new() }
    }

    /// What the certificate says that `chain` begins with, if somebody is here with the same.
    pub(super) fn certificate(&self, chain: Chain) -> Option<Arc<PeerCertificate>> {
        self.groups().get(&chain)?.iter().find_map(|group| group.certificate())
    }

    /// Takes somebody in; the number that they have in their group.
    pub(super) fn join(
        &self,
        seen: &Snapshot<S>,
        session: Option<&Session>,
        permit: &Permit,
        member: &Arc<Member>,
    ) -> (Arc<Group>, u64) {
        let (chain, peer) = (Chain::of(session), &member.connection().peer);
        let mut groups = self.groups();
        let like = groups.entry(chain).or_default();
        let joined = like.iter().filter(|group| group.peer == *peer);
        let joined = joined.map(|group| Some((Arc::clone(group), group.join(member)?)));
        if let Some(joined) = joined.flatten().next() {
            drop(groups);
            self.look_by(member.asked_until());
            return joined;
        }
        let group = Group::new((chain, peer.clone()), session, permit, seen);
        let id = group.join(member).unwrap_or_default(); // a new group takes everybody in
        like.push(Arc::clone(&group));
        drop(groups);
        self.look_by(group.until().min(member.asked_until()));
        (group, id)
    }

    /// Lets somebody go.
    pub(super) fn leave(&self, group: &Arc<Group>, id: u64) {
        let mut groups = self.groups();
        if group.leave(id) {
            forget(&mut groups, group);
        }
    }

    /// Takes a group off the register.
    pub(super) fn forget(&self, group: &Arc<Group>) {
        forget(&mut self.groups(), group);
    }

    /// Those who are on it.
    pub(super) fn all(&self) -> Vec<Arc<Group>> {
        self.groups().values().flatten().map(Arc::clone).collect()
    }

    /// Has the watch look no later than at `due`.
    pub(super) fn look_by(&self, due: OffsetDateTime) {
        let mut look = self.look();
        if due < *look {
            *look = due;
            drop(look);
            self.earlier.notify_one();
        }
    }

    /// When the watch looks next, unless something is published before.
    pub(super) fn look(&self) -> MutexGuard<'_, OffsetDateTime> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Rules> Roll for Register<S> {
    fn newest(&self, most: usize) -> (usize, Vec<Open>) {
        let mut members: Vec<_> = self.all().iter().flat_map(|group| group.members()).collect();
        let count = members.len();
        members.sort_unstable_by_key(|member| Reverse(member.since()));
        let newest = members.iter().take(most).map(|member| {
            let connection = member.connection();
            Open {
                id: hex::encode(connection.id.0),
                peer: connection.peer.clone(),
                source: connection.source,
                since: member.since(),
                plaintext: connection.plaintext,
            }
        });
        (count, newest.collect())
    }
}

fn forget(groups: &mut Groups, group: &Arc<Group>) {
    if let Some(like) = groups.get_mut(&group.chain) {
        like.retain(|known| !Arc::ptr_eq(known, group));
        if like.is_empty() {
            groups.remove(&group.chain);
        }
    }
}
