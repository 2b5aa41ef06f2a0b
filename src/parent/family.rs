//! The workers: the one that serves, the one that is to, and those that drain.

use std::os::fd::AsFd as _;

use tracing::{debug, info, warn};

use super::program::Program;
use super::signals::{Heard, Signals};
use super::worker::{self, Ended, Worker};
use crate::handover::{Channel, Order, Told};

/// Workers that may drain at once, before there is another hand-over.
const DRAINING: usize = 8;

pub(super) struct Parent<'a> {
    program: &'a Program,
    /// It serves.
    worker: Worker,
    /// It is to serve.
    successor: Option<Worker>,
    /// They have handed over.
    draining: Vec<Worker>,
    stopping: bool,
    /// The configuration is to be read again, once the hand-over is over.
    reload: bool,
    /// How the worker that served has ended, while others still drain.
    ended: Option<u8>,
}

impl<'a> Parent<'a> {
    pub(super) fn new(program: &'a Program, worker: Worker) -> Self {
        let draining = Vec::new();
        let (stopping, reload, ended) = (false, false, None);
        Self { program, worker, successor: None, draining, stopping, reload, ended }
    }

    /// The exit code, when all is over.
    pub(super) async fn run(mut self, mut signals: Signals) -> u8 {
        loop {
            tokio::select! {
                heard = signals.next() => match heard {
                    Heard::Stop => self.stop().await,
                    Heard::Reload => self.reload().await,
                    Heard::HandOver => self.hand_over().await,
                    Heard::Child => self.reap().await,
                },
                told = self.worker.told() => self.hear(told).await,
                told = said(self.successor.as_ref()) => debug!(?told, "of the new worker"),
            }
            match self.ended {
                Some(code) if !self.stopping || self.draining.is_empty() => {
                    self.kill_the_rest();
                    return code;
                }
                _ => {}
            }
        }
    }

    /// A worker would die with this process; another program that was started as one would not.
    fn kill_the_rest(&self) {
        self.successor.iter().chain(&self.draining).for_each(Worker::kill);
    }

    /// The first time all drain, after that all cut.
    async fn stop(&mut self) {
        let again = std::mem::replace(&mut self.stopping, true);
        let order = if again { Order::Cut } else { Order::Stop };
        self.worker.tell(&order, None).await;
        if let Some(successor) = &self.successor {
            successor.tell(&order, None).await;
        }
        if again {
            for worker in &self.draining {
                worker.tell(&Order::Cut, None).await;
            }
        }
    }

    async fn reload(&mut self) {
        if self.successor.is_some() {
            self.reload = true;
        } else {
            self.worker.tell(&Order::Reload, None).await;
        }
    }

    /// Starts a new worker, and has the one that serves hand over to it.
    async fn hand_over(&mut self) {
        if self.stopping {
            return warn!("no hand-over: this sidecar is being stopped");
        }
        if self.successor.is_some() {
            return warn!("no second hand-over: one is under way");
        }
        if self.draining.len() >= DRAINING {
            return warn!(
                draining = self.draining.len(),
                "no hand-over: too many processes still drain; limits.drain_timeout ends them"
            );
        }
        let (ours, theirs) = match Channel::ends() {
            Ok(ends) => ends,
            Err(error) => return warn!(%error, "no hand-over: the system gives no descriptors"),
        };
        let program = self.program.path().display();
        match self.program.start() {
            Ok(successor) => {
                info!(%program, to = successor.pid, process = self.worker.pid, "handing over");
                successor.tell(&Order::Begin, Some(theirs.as_fd())).await;
                self.successor = Some(successor);
            }
            // The worker finds nobody at the other end, and puts that on record.
            Err(error) => warn!(%program, %error, "the new worker cannot be started"),
        }
        self.worker.tell(&Order::HandOver, Some(ours.as_fd())).await;
    }

    /// What the worker that serves says.
    async fn hear(&mut self, told: Told) {
        match told {
            Told::HandedOver => match self.successor.take() {
                Some(successor) => {
                    let before = std::mem::replace(&mut self.worker, successor);
                    self.draining.push(before);
                }
                // It has ended meanwhile: nobody serves any more.
                None => self.ended = Some(1),
            },
            Told::Stays => {
                if let Some(successor) = &self.successor {
                    successor.kill();
                }
            }
            Told::Ready | Told::Unknown => return,
        }
        self.is_over().await;
    }

    /// Whatever has waited for the end of a hand-over.
    async fn is_over(&mut self) {
        if std::mem::take(&mut self.reload) {
            self.worker.tell(&Order::Reload, None).await;
        }
    }

    /// Takes leave of children that have ended, as process 1 of those of others, too.
    async fn reap(&mut self) {
        while let Some((pid, ended)) = worker::ended() {
            if self.worker.pid == pid {
                self.has_ended(ended).await;
            } else if self.successor.as_ref().is_some_and(|successor| successor.pid == pid) {
                self.successor = None;
                warn!(
                    code = ended.code(),
                    process = pid,
                    "the new worker has ended before it served"
                );
                self.is_over().await;
            } else {
                self.draining.retain(|worker| worker.pid != pid);
            }
        }
    }

    /// The worker that serves has ended; or it has handed over before, and what it said of that has not been heard yet.
    async fn has_ended(&mut self, ended: Ended) {
        let process = self.worker.pid;
        while let Some(told) = self.worker.last_told().await {
            if told == Told::HandedOver {
                self.hear(told).await;
                self.draining.retain(|worker| worker.pid != process);
                return;
            }
        }
        self.ended = Some(ended.code());
    }
}

async fn said(worker: Option<&Worker>) -> Told {
    match worker {
        Some(worker) => worker.told().await,
        None => std::future::pending().await,
    }
}
