//! The workers: the one that serves, the one that is to, and those that drain.

use std::os::fd::{AsFd as _, BorrowedFd};

use tracing::{debug, info, warn};

use super::activation::Activation;
use super::manager::Manager;
use super::program::Program;
use super::signals::{Heard, Signals};
use super::worker::{self, Ended, Worker};
use crate::handover::{Channel, Order, Told};

/// Workers that may drain at once, before there is another hand-over.
const DRAINING: usize = 8;

pub(super) struct Parent<'a> {
    program: &'a Program,
    manager: &'a Manager,
    sockets: &'a Activation,
    /// It serves.
    worker: Worker,
    /// It is to serve.
    successor: Option<Worker>,
    /// They have handed over.
    draining: Vec<Worker>,
    /// The first of them has begun to serve.
    ready: bool,
    stopping: bool,
    /// Whoever it was that has begun with the end.
    ending: bool,
    /// The configuration is to be read again, once that can be.
    reload: bool,
    /// It is being read: the worker owes an answer.
    reloading: bool,
    /// How the worker that served has ended, while others still drain.
    ended: Option<u8>,
}

impl<'a> Parent<'a> {
    pub(super) fn new(
        program: &'a Program,
        (manager, sockets): (&'a Manager, &'a Activation),
        worker: Worker,
    ) -> Self {
        Self {
            program,
            manager,
            sockets,
            worker,
            successor: None,
            draining: Vec::new(),
            ready: false,
            stopping: false,
            ending: false,
            reload: false,
            reloading: false,
            ended: None,
        }
    }

    /// The exit code, when all is over.
    pub(super) async fn run(mut self, mut signals: Signals) -> u8 {
        self.manager.status("starting");
        self.begin(&self.worker, None).await;
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
                Some(code) if !self.ending || self.draining.is_empty() => {
                    self.kill_the_rest();
                    return code;
                }
                _ => {}
            }
        }
    }

    /// Has `worker` begin, with all that it begins with.
    async fn begin(&self, worker: &Worker, predecessor: Option<BorrowedFd<'_>>) {
        for (name, socket) in &self.sockets.0 {
            let order = Order::Socket { name: name.clone() };
            worker.tell(&order, Some(socket.as_fd())).await;
        }
        let alive_every = self.manager.alive_every();
        let alive_every = alive_every.and_then(|every| u64::try_from(every.as_millis()).ok());
        worker.tell(&Order::Begin { alive_every }, predecessor).await;
    }

    /// A worker would die with this process; another program that was started as one would not.
    fn kill_the_rest(&self) {
        self.successor.iter().chain(&self.draining).for_each(Worker::kill);
    }

    /// The first time all drain, after that all cut.
    async fn stop(&mut self) {
        let again = std::mem::replace(&mut self.stopping, true);
        let order = if again { Order::Cut } else { Order::Stop };
        self.ends();
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

    /// Somebody has begun with the end.
    fn ends(&mut self) {
        if !std::mem::replace(&mut self.ending, true) {
            self.manager.stopping();
        }
    }

    async fn reload(&mut self) {
        self.reload = true;
        if self.ready && !self.ending {
            self.manager.reloading();
        }
        self.order_reload().await;
    }

    /// One at a time, and none during a hand-over: each is answered by the worker that was ordered.
    async fn order_reload(&mut self) {
        if self.reload && !self.reloading && self.successor.is_none() {
            (self.reload, self.reloading) = (false, true);
            self.worker.tell(&Order::Reload, None).await;
        }
    }

    async fn reloaded(&mut self, ordered: bool, refused: Option<String>) {
        if refused.is_none() {
            self.judge().await;
        }
        if ordered {
            self.reloading = false;
            self.order_reload().await;
        }
        if self.ending || self.reload || self.reloading {
            return;
        }
        match refused {
            None => self.manager.ready("serving"),
            Some(why) => {
                self.manager.ready(&format!("serving; the last reload was refused: {why}"))
            }
        }
    }

    /// Another configuration is in effect: what the workers before have let in is judged by it, too.
    async fn judge(&self) {
        for worker in &self.draining {
            worker.tell(&Order::Judge, None).await;
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
                self.manager.status(&format!("serving; handing over to process {}", successor.pid));
                self.begin(&successor, Some(theirs.as_fd())).await;
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
                    self.judge().await;
                    // The two do not beat in time.
                    self.manager.alive();
                    self.manager.status("serving");
                }
                // It has ended meanwhile: nobody serves any more.
                None => self.ended = Some(1),
            },
            Told::Stays => {
                if let Some(successor) = &self.successor {
                    successor.kill();
                }
                self.manager
                    .status("serving; the last hand-over came to nothing, the log says why");
            }
            Told::Ready => {
                if !std::mem::replace(&mut self.ready, true) {
                    self.manager.ready("serving");
                }
                return;
            }
            Told::Alive => return self.is_alive(),
            Told::Reloaded { ordered, refused } => return self.reloaded(ordered, refused).await,
            Told::Stopping => return self.ends(),
            Told::Unknown => return,
        }
        self.order_reload().await;
    }

    /// The worker is. A start that waits for key material, a reload and a drain have bounds of their own: the manager
    /// goes by those as long as it is.
    fn is_alive(&self) {
        if self.ready && !self.ending && !self.reloading {
            self.manager.alive();
        } else {
            self.manager.goes_on();
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
                self.order_reload().await;
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
