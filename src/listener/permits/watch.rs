//! Judges all permits of a listener again when they may have been lost, and ends those that were.
//!
//! Judging is not done on the data threads, and wakes no connection that keeps its permit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::group::Group;
use super::lost::Lost;
use super::{LATEST, Member, Register, Rules, Services};
use crate::authz::Permit;
use crate::clock;
use crate::live::{Generation, Snapshot};
use crate::outcome::Refusal;

/// At least so often the wall clock is looked at: a machine that was suspended, or whose clock was set,
/// wakes up late.
const LOOK: Duration = Duration::from_secs(30);
/// Ends wait for their records so long, all together: a trail that stalls holds up no withdrawal.
const RECORDING: Duration = Duration::from_millis(250);
/// Who was found to have lost a permit waits no longer than this for others to be judged: a peer with many
/// connections may have made each of its chains slow to verify.
const SLICE: Duration = Duration::from_millis(100);
/// From a sweep that broke off to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// A connection that has lost its permit, and why.
struct Loser {
    member: Arc<Member>,
    lost: Arc<Lost>,
}

/// What came of judging all permits.
struct Swept {
    generation: Generation,
    losers: Vec<Loser>,
    drain_timeout: Duration,
}

/// Judges when something is published, and when something ends; until `gone`.
pub(super) async fn watch<S: Rules>(register: Arc<Register<S>>, gone: CancellationToken) {
    let mut live = register.live.clone();
    let mut seen = live.snapshot().generation;
    let mut is_published = true;
    let mut cuts = Cuts::default();
    loop {
        tokio::select! {
            () = gone.cancelled() => return,
            is_new = live.replaced_after(seen), if is_published => is_published = is_new,
            () = register.earlier.notified() => {}
            () = sleep_until(register.wake_at()) => {}
            () = cuts.due() => {
                cuts.carry_out();
                continue;
            }
        }
        if live.snapshot().generation == seen && clock::onward() < *register.look() {
            continue;
        }
        let swept = Arc::clone(&register);
        let swept = match spawn_blocking(move || swept.sweep()).await {
            Ok(swept) => swept,
            Err(failed) if failed.is_cancelled() => return, // the process is at its end
            Err(failed) => {
                tracing::error!(%failed, "permits could not be judged again; another attempt follows");
                sleep(AGAIN).await;
                continue;
            }
        };
        seen = swept.generation;
        if swept.losers.is_empty() {
            continue;
        }
        tracing::info!(count = swept.losers.len(), "permits withdrawn from open connections");
        cuts.plan(&swept.losers, swept.drain_timeout);
        register.services.shutdown.spawn(finish(register.services.clone(), swept.losers));
    }
}

impl<S: Rules> Register<S> {
    /// Judges whoever is due by the rules of this moment.
    fn sweep(&self) -> Swept {
        let now = self.live.snapshot();
        *self.look() = LATEST; // before the look at the groups: who joins meanwhile is not forgotten
        let groups: Vec<_> = self.groups().values().map(Arc::clone).collect();
        let mut losers = Vec::new();
        let mut next = LATEST;
        let begun = Instant::now();
        for group in &groups {
            let at = clock::onward();
            if !losers.is_empty() && begun.elapsed() >= SLICE {
                next = at; // the others in another sweep, at once; those that are judged are not due then
                break;
            }
            let verdict = group.is_due(&now, at).then(|| judged(|| group.judge(&now, at)));
            match verdict {
                Some(Err(lost)) => {
                    let members = group.close();
                    self.forget(&mut self.groups(), group);
                    let lost = Arc::new(lost);
                    let members = members.into_iter().filter(|member| member.withdraw(lost.reason));
                    losers.extend(members.map(|member| Loser { member, lost: Arc::clone(&lost) }));
                    continue;
                }
                Some(Ok(permit)) => losers.extend(self.objected(group, &now.value, &permit, at)),
                None => {}
            }
            losers.extend(self.outlived(group, &now, at));
            next = next.min(group.due());
        }
        for loser in &losers {
            self.services.metrics.withdrawn(loser.lost.reason);
        }
        self.look_by(next);
        let drain_timeout = now.value.drain_timeout();
        Swept { generation: now.generation, losers, drain_timeout }
    }

    /// Those of a group to whom Rego objects: each connection is a question of its own.
    fn objected(
        &self,
        group: &Group,
        rules: &S,
        permit: &Permit,
        at: OffsetDateTime,
    ) -> Vec<Loser> {
        if rules.policy().rego().is_none() {
            return Vec::new();
        }
        let objected = group.members().into_iter().filter_map(|member| {
            let narrow = || member.narrowed(&self.services, rules, permit.clone(), at);
            let lost = judged(narrow).err()?;
            member.withdraw(lost.reason).then(|| Loser { member, lost: Arc::new(lost) })
        });
        objected.collect()
    }

    /// Those of a group whose permits hold, while what goes on over their connections would not be let through.
    fn outlived(&self, group: &Group, now: &Snapshot<S>, at: OffsetDateTime) -> Vec<Loser> {
        let outlived = group.lasting.due(now, at).into_iter().filter_map(|lasting| {
            let judging = || group.judge_lasting(&self.services, &lasting, now, at);
            let (member, lost) = (Arc::clone(&lasting.member), judged(judging).err()?);
            member.withdraw(lost.reason).then(|| Loser { member, lost: Arc::new(lost) })
        });
        outlived.collect()
    }

    fn wake_at(&self) -> Instant {
        let left = Duration::try_from(*self.look() - clock::onward()).unwrap_or_default();
        Instant::now() + left.min(LOOK)
    }
}

/// A verdict that breaks off is a no: one chain that cannot be judged keeps no other from being judged.
fn judged<T>(judge: impl FnOnce() -> Result<T, Lost>) -> Result<T, Lost> {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_panic| {
        let message = "it could not be judged again: a defect, see the log".to_owned();
        Err(Lost::refused((Refusal::BadCertificate, message)))
    })
}

/// Puts each loss on record, then ends the connection: the trail tells why before it tells the end. Should
/// the records have to wait, the ends do not.
async fn finish(services: Services, losers: Vec<Loser>) {
    let deadline = Instant::now() + RECORDING;
    let mut rest = losers.iter();
    let mut is_late = false;
    while let Some(Loser { member, lost }) = rest.next() {
        let record = lost.record(member.connection());
        if services.shutdown.is_cutting() {
            services.audit.note_now(record); // no time left to wait
            continue;
        }
        let mut recording = std::pin::pin!(services.audit.note(record));
        tokio::select! {
            biased;
            () = recording.as_mut() => member.finish(),
            () = sleep_until(deadline), if !is_late => {
                member.finish();
                rest.clone().for_each(|loser| loser.member.finish());
                is_late = true;
                recording.await;
            }
        }
    }
}

/// Those who are to be gone by some time.
#[derive(Default)]
struct Cuts(Vec<(Instant, Vec<Weak<Member>>)>);

impl Cuts {
    fn plan(&mut self, losers: &[Loser], grace: Duration) {
        let members = losers.iter().map(|loser| Arc::downgrade(&loser.member)).collect();
        self.0.push((Instant::now() + grace, members));
    }

    /// Resolves when the next of them are due; never without any.
    async fn due(&self) {
        match self.0.iter().map(|(at, _)| *at).min() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn carry_out(&mut self) {
        let now = Instant::now();
        for (_, members) in self.0.extract_if(.., |(at, _)| *at <= now) {
            members.iter().filter_map(Weak::upgrade).for_each(|member| member.end().cut());
        }
    }
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
