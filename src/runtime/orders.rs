//! What the parent process has this one do: reload, drain then cut, or cut at once.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::commands::Commands;
use super::pulse::Pulse;
use super::{HandOver, Inheritance, ReloadError, Sidecar};
use crate::admin::control::Act;
use crate::audit::Reader;
use crate::config::{Config, Problems};
use crate::handover::{Channel, ChannelError, Order, Told};
use crate::report::Report;
use crate::shutdown::Drained;

/// The parent shows it in one line; the log has all of it.
const SHOWN: usize = 500;

/// The parent's orders, which wait from when this is made.
pub struct Orders {
    channel: Channel,
    /// One came while nothing could be reloaded yet.
    reload: Cell<bool>,
    /// So often it wants to hear that this process is alive.
    alive_every: Cell<Option<Duration>>,
}

impl Orders {
    /// Over `channel`, within a runtime.
    ///
    /// Signals are the parent's to hear. One that reaches this process as well, because somebody has sent it to all of a
    /// group, must neither end it nor count twice.
    ///
    /// # Errors
    ///
    /// It is no channel, or signals cannot be caught.
    pub fn over(channel: OwnedFd) -> io::Result<Self> {
        let heard_by_the_parent = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::user_defined2(),
        ];
        for kind in heard_by_the_parent {
            drop(signal(kind)?); // it stays caught
        }
        let (reload, alive_every) = (Cell::new(false), Cell::new(None));
        Ok(Self { channel: Channel::over(channel)?, reload, alive_every })
    }

    /// Waits until the parent has it begin, and for what comes with that.
    pub async fn begin(&self) -> Inheritance {
        let mut sockets = Vec::new();
        loop {
            match self.next().await {
                (Order::Socket { name }, Some(socket)) => sockets.push((name, socket)),
                (Order::Begin { alive_every }, predecessor) => {
                    self.alive_every.set(alive_every.map(Duration::from_millis));
                    return Inheritance { predecessor, sockets, ..Inheritance::default() };
                }
                _ => {}
            }
        }
    }

    /// Resolves when the process is to end.
    pub async fn ended(&self) {
        loop {
            match self.next().await.0 {
                Order::Stop | Order::Cut => return,
                Order::Reload => self.reload.set(true),
                _ => {}
            }
        }
    }

    /// Tells the parent again and again that this process is alive, as long as it is, if that wants to know.
    pub(super) async fn stay_alive(&self, pulse: &Pulse) -> Infallible {
        let Some(every) = self.alive_every.get().filter(|every| !every.is_zero()) else {
            return std::future::pending().await;
        };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.alive_every.get().is_none() {
                return std::future::pending().await;
            }
            if pulse.beat().await {
                self.tell(&Told::Alive).await;
            }
        }
    }

    /// Tells the parent that everything listens.
    pub async fn ready(&self) {
        self.tell(&Told::Ready).await;
    }

    async fn tell(&self, told: &Told) {
        match self.channel.send(told, None).await {
            // Without a parent this process is about to be gone, too.
            Ok(()) | Err(ChannelError::Gone) => {}
            Err(error) => tracing::error!("cannot tell the parent: {}", Report(&error)),
        }
    }

    async fn next(&self) -> (Order, Option<OwnedFd>) {
        match self.channel.receive().await {
            Ok(received) => received,
            // The kernel kills this process with its parent.
            Err(_gone) => std::future::pending().await,
        }
    }
}

/// Runs until the parent, or somebody over the control socket, ends the process, or another worker serves instead. `load`
/// reads the configuration again.
pub async fn until_stopped(
    sidecar: Sidecar,
    orders: Orders,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    let pulse = sidecar.threads.pulse().clone();
    tokio::select! {
        drained = serve(sidecar, &orders, load) => drained,
        never = orders.stay_alive(&pulse) => match never {},
    }
}

async fn serve(
    mut sidecar: Sidecar,
    orders: &Orders,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    if orders.reload.get() {
        obey(&sidecar.commands, orders, load()).await;
    }
    let (_nobody, none) = mpsc::channel(1);
    let mut acts = std::mem::replace(&mut sidecar.acts, none);
    let mut handing_over = None;
    let by = loop {
        tokio::select! {
            (order, end) = orders.next() => match order {
                Order::Reload => obey(&sidecar.commands, orders, load()).await,
                Order::HandOver => handing_over = sidecar.hand_over(end).await,
                Order::Stop | Order::Cut => break None,
                Order::Socket { .. } | Order::Begin { .. } | Order::Judge | Order::Unknown => {}
            },
            outcome = heard(&mut handing_over) => match outcome {
                HandOver::Done => {
                    orders.tell(&Told::HandedOver).await;
                    orders.alive_every.set(None); // the other one is what counts
                    break None;
                }
                HandOver::Off => orders.tell(&Told::Stays).await,
            },
            Some(act) = acts.recv() => match act {
                Act::Reload { by, answer } => {
                    let outcome = reload(&sidecar.commands, Some(by), load()).await;
                    orders.tell(&reloaded(false, &outcome)).await;
                    // Whoever asked may have gone; the outcome is on record all the same.
                    let _heard = answer.send(outcome);
                }
                Act::Drain { by } => {
                    orders.tell(&Told::Stopping).await;
                    break Some(by);
                }
            },
        }
    };
    drop(acts);
    let (cut, commands) = (sidecar.cutter(), sidecar.commands.clone());
    let stopping = sidecar.stop_for(by);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            drained = &mut stopping => return drained,
            (order, _) = orders.next() => match order {
                Order::Cut => cut(),
                Order::Reload => obey(&commands, orders, load()).await,
                Order::Judge => match commands.reload(None, load()).await {
                    Ok(()) | Err(ReloadError::Stopping) => {} // then nothing is open any more
                    Err(error) => {
                        tracing::error!(
                            process = std::process::id(),
                            "what is still open here cannot be judged by the configuration, and is cut: {}",
                            Report(&error)
                        );
                        cut();
                    }
                },
                _ => {}
            },
        }
    }
}

/// Reloads because the parent wants it, and tells that what became of it.
async fn obey(commands: &Commands, orders: &Orders, loaded: Result<Config, Problems>) {
    let outcome = reload(commands, None, loaded).await;
    orders.tell(&reloaded(true, &outcome)).await;
}

fn reloaded(ordered: bool, outcome: &Result<(), String>) -> Told {
    let refused = outcome.as_ref().err().map(|why| why.chars().take(SHOWN).collect());
    Told::Reloaded { ordered, refused }
}

async fn reload(
    commands: &Commands,
    by: Option<Reader>,
    loaded: Result<Config, Problems>,
) -> Result<(), String> {
    commands.reload(by, loaded).await.map_err(|error| {
        let why = Report(&error).to_string();
        tracing::error!("reload refused, the old configuration stays: {why}");
        why
    })
}

/// What becomes of a hand-over, once. Never comes back while there is none.
async fn heard(handing_over: &mut Option<oneshot::Receiver<HandOver>>) -> HandOver {
    let Some(answer) = handing_over else { return std::future::pending().await };
    let outcome = answer.await.unwrap_or(HandOver::Off);
    *handing_over = None;
    outcome
}
