//! The end of listeners. Outbound ones come last: a workload that ends at the same time still has something to write to its
//! database, and reaches it through them.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::ReloadError;
use super::commands::Command;
use super::listeners::Listeners;
use super::supervisor::Supervisor;
use crate::audit::Reader;
use crate::config::{Config, ProbeCheck, Problems, Target};
use crate::shutdown::{Drained, Shutdown};
use crate::telemetry::metrics::ListenerMetrics;

/// Between two looks at the workload.
const LOOK: Duration = Duration::from_millis(250);
/// Outbound listeners that have had no connection for so long are not in use. One connection may have been closed for the next.
const QUIET: Duration = Duration::from_secs(1);
/// A workload that takes no connection within this is there, and busy.
const ANSWER: Duration = Duration::from_millis(250);
/// At the end of the grace outbound connections drain for half of it, at most this: idle ones of HTTP/1 take half of that.
const LAST: Duration = Duration::from_secs(2);
/// Key material that another configuration asks for is there within this, or what is open cannot be judged by it.
const JUDGING: Duration = Duration::from_secs(5);

/// What is asked for while a sidecar ends.
pub(super) struct Asked<'a> {
    inbox: &'a mut mpsc::Receiver<Command>,
    /// They want to know how it has ended.
    stops: Vec<oneshot::Sender<Drained>>,
}

/// Another configuration, and who waits for what becomes of it.
struct Configuration {
    loaded: Box<Result<Config, Problems>>,
    by: Option<Reader>,
    answer: oneshot::Sender<Result<(), ReloadError>>,
}

impl<'a> Asked<'a> {
    pub(super) fn over(
        inbox: &'a mut mpsc::Receiver<Command>,
        stop: Option<oneshot::Sender<Drained>>,
    ) -> Self {
        Self { inbox, stops: stop.into_iter().collect() }
    }

    /// Never comes back when nobody can ask.
    async fn configuration(&mut self) -> Configuration {
        loop {
            match self.inbox.recv().await {
                Some(Command::Reload { loaded, by, answer }) => {
                    return Configuration { loaded, by, answer };
                }
                Some(Command::Stop { answer, .. }) => self.stops.push(answer),
                Some(Command::HandOver { .. }) => {} // whoever drains has nothing to hand over
                None => pending().await,
            }
        }
    }

    /// It has ended.
    pub(super) fn tell(mut self, drained: Drained) {
        while let Ok(command) = self.inbox.try_recv() {
            if let Command::Stop { answer, .. } = command {
                self.stops.push(answer);
            }
        }
        for stop in self.stops {
            let _heard = stop.send(drained);
        }
    }
}

impl Listeners {
    /// What outbound listeners end with.
    pub(super) fn last(&self) -> &Shutdown {
        &self.last
    }

    fn uses(&self) -> Vec<Arc<ListenerMetrics>> {
        self.outbound.values().map(|running| Arc::clone(&running.metrics)).collect()
    }
}

impl Supervisor {
    /// Drains for at most `grace`, then cuts: inbound listeners at once, outbound ones when the workload is gone. When another
    /// process serves, the workload has that. Key material is renewed as long as connections are made with it, and what is
    /// open is judged by trust, revocation and configuration to its end.
    pub(super) async fn part(
        &mut self,
        grace: Duration,
        is_handed_over: bool,
        asked: &mut Asked<'_>,
    ) -> Drained {
        let last = self.listeners.last().clone();
        let workload = Workload::of(&self.config, self.listeners.uses());
        if is_handed_over {
            last.drain();
        }
        let parting = async {
            if !last.is_draining() {
                workload.leave(grace.saturating_sub(LAST.min(grace / 2))).await;
                last.drain();
            }
            pending::<()>().await;
        };
        let whole = self.shutdown.clone();
        let ending = whole.run(grace);
        tokio::pin!(ending, parting);
        let mut news = self.material.clone();
        let drained = loop {
            tokio::select! {
                drained = &mut ending => break drained,
                () = &mut parting => {}
                true = news.replaced_after(self.applied) => self.rotated(),
                Configuration { loaded, by, answer } = asked.configuration() => {
                    let judged = tokio::select! {
                        drained = &mut ending => break drained,
                        judged = timeout(JUDGING, self.judge(*loaded)) => judged,
                    };
                    let judged = judged.unwrap_or(Err(ReloadError::Slow));
                    if let (Ok(previous), false) = (&judged, is_handed_over) {
                        self.loaded(Some(previous), by).await;
                    }
                    let _heard = answer.send(judged.map(drop)); // whoever asked may have gone
                }
            }
        };
        last.cut(); // nothing is open any more; renewal ends by it
        drained
    }
}

/// What tells whether the workload is still there.
struct Workload {
    /// Where it listens.
    listens: BTreeSet<Target>,
    /// The listeners through which it goes out.
    uses: Vec<Arc<ListenerMetrics>>,
}

impl Workload {
    fn of(config: &Config, uses: Vec<Arc<ListenerMetrics>>) -> Self {
        let forwards = config.inbound.iter().map(|listener| listener.forward.clone());
        let probes = config.admin.probes.iter().map(|probe| match &probe.check {
            ProbeCheck::Http { address, .. } | ProbeCheck::Tcp(address) => Target::Tcp(*address),
        });
        Self { listens: forwards.chain(probes).collect(), uses }
    }

    /// Waits until it is gone, but not longer than `limit`.
    async fn leave(&self, limit: Duration) {
        if self.uses.is_empty() || limit.is_zero() {
            return;
        }
        tracing::info!(?limit, "outbound listeners stay open until the workload is gone");
        match timeout(limit, self.gone()).await {
            Ok(()) => tracing::info!("the workload is gone: outbound listeners drain"),
            Err(_still_there) => {
                tracing::warn!(
                    "the workload is still there: outbound listeners drain all the same"
                );
            }
        }
    }

    /// Resolves when nothing listens where it did, and nothing has gone out for a while. One that had ended before is not
    /// waited for.
    async fn gone(&self) {
        let (mut before, mut quiet) = (self.opened(), Instant::now());
        if self.is_idle() && !self.listens.is_empty() && !self.is_listening().await {
            return;
        }
        loop {
            sleep(LOOK).await;
            let opened = self.opened();
            if opened != before || !self.is_idle() {
                (before, quiet) = (opened, Instant::now());
            } else if quiet.elapsed() >= QUIET && !self.is_listening().await {
                return;
            }
        }
    }

    /// Connections that it has opened until now.
    fn opened(&self) -> u64 {
        self.uses.iter().map(|listener| listener.used().0).sum()
    }

    fn is_idle(&self) -> bool {
        self.uses.iter().map(|listener| listener.used()).all(|(opened, closed)| opened == closed)
    }

    async fn is_listening(&self) -> bool {
        for target in &self.listens {
            if is_there(target).await {
                return true;
            }
        }
        false
    }
}

async fn is_there(target: &Target) -> bool {
    let connecting = async {
        match target {
            Target::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Target::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    match timeout(ANSWER, connecting).await {
        Ok(Err(error)) => {
            let nobody = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
            !nobody.contains(&error.kind())
        }
        Ok(Ok(())) | Err(_) => true,
    }
}
