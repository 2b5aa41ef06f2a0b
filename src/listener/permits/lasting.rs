//! What goes on for long on a group's connections, and was let through by a rule of its own: the rule may end
//! while the connection's permit holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::group::Group;
use super::lost::Lost;
use super::member::Member;
use super::{LATEST, Rules, Services};
use crate::authz::{Grant, ListenerPolicy, Permit};
use crate::listener::question::Question;
use crate::live::{Generation, Snapshot};

/// An association or a tunnel.
pub(super) struct Lasting {
    question: Question,
    /// The connection that it is all there is of.
    pub(super) member: Arc<Member>,
    standing: Mutex<Standing>,
}

/// The last verdict.
struct Standing {
    /// The generation of the rules that it is of.
    judged: Generation,
    /// When to ask again, even if nothing is published.
    until: OffsetDateTime,
}

/// Keeps something lasting on the register until it drops.
#[must_use = "what is not on the register is not judged again"]
pub(in crate::listener) struct Lasts {
    group: Arc<Group>,
    id: u64,
}

impl Drop for Lasts {
    fn drop(&mut self) {
        self.group.lasting.all().all.remove(&self.id);
    }
}

impl Lasting {
    /// Granted by the rules of `judged`.
    pub(super) fn new(
        question: Question,
        member: &Arc<Member>,
        judged: Generation,
        until: OffsetDateTime,
    ) -> Arc<Self> {
        let standing = Standing { judged, until };
        Arc::new(Self { question, member: Arc::clone(member), standing: Mutex::new(standing) })
    }

    /// Whether it has to be judged by these rules at this moment.
    pub(super) fn is_due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> bool {
        let standing = self.standing();
        standing.judged < now.generation || standing.until <= at
    }

    /// When to judge it again, if nothing is published before.
    pub(super) fn until(&self) -> OffsetDateTime {
        self.standing().until
    }

    /// Asks again, as the holder of the permit that there is by now, if there is one.
    pub(super) fn judge<S: Rules>(
        &self,
        services: &Services,
        permit: Result<Permit, Lost>,
        now: &Snapshot<S>,
        at: OffsetDateTime,
    ) -> Result<Grant, Lost> {
        let judged = permit.and_then(|permit| {
            let asking = (services, self.member.connection());
            let granted = self.question.ask(asking, now.value.policy(), &permit, at);
            granted.map_err(|denied| Lost::outlived(denied, self.question.what()))
        });
        let mut standing = self.standing();
        if standing.judged <= now.generation {
            // What is lost is lost, and not asked for again.
            let until = judged.as_ref().ok().map(|grant| until(grant, now.value.policy(), at));
            let until = until.unwrap_or(LATEST);
            *standing = Standing { judged: now.generation, until };
        }
        drop(standing);
        judged
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to ask again what was granted at `at`: its rule ends, or Rego may say something else.
pub(super) fn until(grant: &Grant, policy: &ListenerPolicy, at: OffsetDateTime) -> OffsetDateTime {
    grant.until().unwrap_or(LATEST).min(policy.asks_again(at))
}

/// All that goes on for long on the connections of a group.
#[derive(Default)]
pub(super) struct AllLasting(Mutex<Numbered>);

#[derive(Default)]
struct Numbered {
    next: u64,
    all: HashMap<u64, Arc<Lasting>>,
}

impl AllLasting {
    /// Takes one in, until what is returned drops.
    pub(super) fn join(group: &Arc<Group>, lasting: &Arc<Lasting>) -> Lasts {
        let mut numbered = group.lasting.all();
        let id = numbered.next;
        numbered.next += 1;
        numbered.all.insert(id, Arc::clone(lasting));
        Lasts { group: Arc::clone(group), id }
    }

    /// Those who have to be judged by these rules at this moment.
    pub(super) fn due<S>(&self, now: &Snapshot<S>, at: OffsetDateTime) -> Vec<Arc<Lasting>> {
        let all = self.all();
        let held = all.all.values().filter(|lasting| lasting.member.withdrawn().is_none());
        held.filter(|lasting| lasting.is_due(now, at)).map(Arc::clone).collect()
    }

    /// When the first of them is due, if nothing is published before.
    pub(super) fn until(&self) -> OffsetDateTime {
        let all = self.all();
        let held = all.all.values().filter(|lasting| lasting.member.withdrawn().is_none());
        held.map(|lasting| lasting.until()).min().unwrap_or(LATEST)
    }

    fn all(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
