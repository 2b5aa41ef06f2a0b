//! One look at all permits of a listener: whoever is due is judged by the rules of this moment.
//!
//! First the groups, which is quick; then what is a question of its own: what goes on for long on a connection
//! and, where there is policy in Rego, each connection. That may take a while, so it is done by slices, those
//! first who have waited longest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::group::Group;
use super::lasting::Lasting;
use super::lost::Lost;
use super::{LATEST, Member, Register, Rules};
use crate::clock;
use crate::live::{Generation, Snapshot};
use crate::outcome::Refusal;

/// Whoever has lost a permit waits no longer than this for others to be judged: a peer with many connections may
/// have made each of its chains slow to verify, and a question to Rego may take as long as its `timeout`.
const SLICE: Duration = Duration::from_millis(100);
/// Connections of which Rego is to be asked again are asked together, those of about the same time.
const TOGETHER: time::Duration = time::Duration::SECOND;

/// A connection that has lost its permit, and why.
pub(super) struct Loser {
    pub(super) member: Arc<Member>,
    pub(super) lost: Arc<Lost>,
}

/// What came of judging all permits.
pub(super) struct Swept {
    pub(super) generation: Generation,
    pub(super) losers: Vec<Loser>,
    pub(super) drain_timeout: Duration,
}

/// Judges whoever is due by the rules of this moment, and says when to look again.
pub(super) fn sweep<S: Rules>(register: &Register<S>) -> Swept {
    let now = register.live.snapshot();
    *register.look() = LATEST; // before the look at the groups: who joins meanwhile is not forgotten
    let mut sweep = Sweep { register, now, begun: Instant::now(), losers: Vec::new() };
    let groups = register.all();
    let is_done = sweep.judge(&groups) && sweep.ask(&groups);
    // The others in another sweep, at once; those that are judged are not due then.
    register.look_by(if is_done { sweep.next() } else { clock::onward() });
    let Sweep { now, losers, .. } = sweep;
    for loser in &losers {
        register.services.metrics.withdrawn(loser.lost.reason);
    }
    Swept { generation: now.generation, losers, drain_timeout: now.value.drain_timeout() }
}

/// A look at all permits, as far as it has come.
struct Sweep<'r, S: Rules> {
    register: &'r Register<S>,
    now: Arc<Snapshot<S>>,
    begun: Instant,
    losers: Vec<Loser>,
}

/// What is a question of its own, in the group of its connection.
enum Due {
    Connection(Arc<Member>),
    Lasting(Arc<Lasting>),
}

impl<S: Rules> Sweep<'_, S> {
    /// The groups, each of which has one answer for all. Whether it came to the end.
    fn judge(&mut self, groups: &[Arc<Group>]) -> bool {
        for group in groups {
            let at = clock::onward();
            if !group.is_due(&self.now, at) {
                continue;
            }
            if let Err(lost) = judged(|| group.judge(&self.now, at)) {
                let members = group.close();
                self.register.forget(group);
                let lost = Arc::new(lost);
                members.into_iter().for_each(|member| self.lose(member, &lost));
            }
            if !self.losers.is_empty() && self.begun.elapsed() >= SLICE {
                return false;
            }
        }
        true
    }

    /// The questions of their own. Whether it came to the end.
    fn ask(&mut self, groups: &[Arc<Group>]) -> bool {
        let (mut questions, at) = (Vec::new(), clock::onward());
        for group in groups {
            let lasting = group.lasting.due(&self.now, at).into_iter().map(Due::Lasting);
            questions.extend(lasting.map(|due| (group, due)));
            if self.asks_rego() {
                let members = group.due(&self.now, at).into_iter().map(Due::Connection);
                questions.extend(members.map(|due| (group, due)));
            }
        }
        questions.sort_by_key(|(_, due)| match due {
            Due::Connection(member) => member.asked_until(),
            Due::Lasting(lasting) => lasting.until(),
        });
        for (group, due) in questions {
            let (member, verdict) = self.question(group, &due);
            if let Err(lost) = verdict {
                self.lose(member, &Arc::new(lost));
            }
            if self.begun.elapsed() >= SLICE {
                return false;
            }
        }
        true
    }

    /// By the rules of this moment.
    fn question(&self, group: &Group, due: &Due) -> (Arc<Member>, Result<(), Lost>) {
        let (services, at) = (&self.register.services, clock::onward());
        match due {
            Due::Connection(member) => {
                let narrowed = judged(|| {
                    let permit = group.judge(&self.now, at)?;
                    member.narrowed(services, &self.now, permit, at)
                });
                (Arc::clone(member), narrowed.map(drop))
            }
            Due::Lasting(lasting) => {
                let granted = judged(|| group.judge_lasting(services, lasting, &self.now, at));
                (Arc::clone(&lasting.member), granted.map(drop))
            }
        }
    }

    fn lose(&mut self, member: Arc<Member>, lost: &Arc<Lost>) {
        if member.withdraw(lost.reason) {
            self.losers.push(Loser { member, lost: Arc::clone(lost) });
        }
    }

    fn asks_rego(&self) -> bool {
        self.now.value.policy().rego().is_some()
    }

    /// When to look again, if nothing is published before.
    fn next(&self) -> OffsetDateTime {
        let groups = self.register.all();
        let permits = groups.iter().map(|group| group.until().min(group.lasting.until())).min();
        let asked = groups.iter().map(|group| group.asked_until()).min();
        let asked = asked.filter(|_| self.asks_rego());
        let asked = asked.map(|until| until.max(clock::onward().saturating_add(TOGETHER)));
        permits.into_iter().chain(asked).min().unwrap_or(LATEST)
    }
}

/// A verdict that breaks off is a no: one chain that cannot be judged keeps no other from being judged.
fn judged<T>(judge: impl FnOnce() -> Result<T, Lost>) -> Result<T, Lost> {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_panic| {
        let message = "its permit could not be judged again, for a defect of Myelin that the log tells of; the peer may connect anew".to_owned();
        Err(Lost::refused((Refusal::BadCertificate, message)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_breaks_off_is_a_no() {
        assert!(judged(|| Ok(())).is_ok());

        let lost = judged::<()>(|| panic!("a defect")).unwrap_err();

        assert_eq!(lost.reason.label(), "bad_certificate");
    }
}
