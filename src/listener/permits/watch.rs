//! Judges all permits of a listener again when they may have been lost, and ends those that were.
//!
//! Judging is not done on the data threads, and wakes no connection that keeps its permit.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::sweep::{Loser, sweep};
use super::{Member, Register, Rules, Services};
use crate::clock;

/// At least so often the wall clock is looked at: a machine that was suspended, or whose clock was set,
/// wakes up late.
const LOOK: Duration = Duration::from_secs(30);
/// Ends wait for their records so long, all together: a trail that stalls holds up no withdrawal.
const RECORDING: Duration = Duration::from_millis(250);
/// From a sweep that broke off to the next.
const AGAIN: Duration = Duration::from_secs(1);

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
        let swept = match spawn_blocking(move || sweep(&swept)).await {
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
    fn wake_at(&self) -> Instant {
        let left = Duration::try_from(*self.look() - clock::onward()).unwrap_or_default();
        Instant::now() + left.min(LOOK)
    }
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
