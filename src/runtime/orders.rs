//! What the parent process has this one do: reload, drain then cut, or cut at once.

use std::io;
use std::os::fd::OwnedFd;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{HandOver, Inheritance, Sidecar};
use crate::admin::control::Act;
use crate::audit::Reader;
use crate::config::{Config, Problems};
use crate::handover::{Channel, ChannelError, Order, Told};
use crate::report::Report;
use crate::shutdown::Drained;

/// The parent's orders, which wait from when this is made.
pub struct Orders {
    channel: Channel,
    /// One came while nothing could be reloaded yet.
    reload: bool,
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
        Ok(Self { channel: Channel::over(channel)?, reload: false })
    }

    /// Waits until the parent has it begin, and for what comes with that.
    pub async fn begin(&self) -> Inheritance {
        loop {
            if let (Order::Begin, predecessor) = self.next().await {
                return Inheritance { predecessor };
            }
        }
    }

    /// Resolves when the process is to end.
    pub async fn ended(&mut self) {
        let mut reload = false;
        loop {
            match self.next().await.0 {
                Order::Stop | Order::Cut => return,
                Order::Reload => reload = true,
                Order::Begin | Order::HandOver | Order::Unknown => {}
            }
            self.reload = reload;
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
    mut sidecar: Sidecar,
    orders: Orders,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    if orders.reload {
        let _told_in_the_log = reload(&sidecar, None, load()).await;
    }
    let (_nobody, none) = mpsc::channel(1);
    let mut acts = std::mem::replace(&mut sidecar.acts, none);
    let mut handing_over = None;
    let by = loop {
        tokio::select! {
            (order, end) = orders.next() => match order {
                Order::Reload => {
                    let _told_in_the_log = reload(&sidecar, None, load()).await;
                }
                Order::HandOver => handing_over = sidecar.hand_over(end).await,
                Order::Stop | Order::Cut => break None,
                Order::Begin | Order::Unknown => {}
            },
            outcome = heard(&mut handing_over) => match outcome {
                HandOver::Done => {
                    orders.tell(&Told::HandedOver).await;
                    break None;
                }
                HandOver::Off => orders.tell(&Told::Stays).await,
            },
            Some(act) = acts.recv() => match act {
                Act::Reload { by, answer } => {
                    // Whoever asked may have gone; the outcome is on record all the same.
                    let _heard = answer.send(reload(&sidecar, Some(by), load()).await);
                }
                Act::Drain { by } => break Some(by),
            },
        }
    };
    drop(acts);
    let cut = sidecar.cutter();
    let stopping = sidecar.stop_for(by);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            drained = &mut stopping => return drained,
            (order, _) = orders.next() => if order == Order::Cut { cut() },
        }
    }
}

async fn reload(
    sidecar: &Sidecar,
    by: Option<Reader>,
    loaded: Result<Config, Problems>,
) -> Result<(), String> {
    sidecar.reload_for(by, loaded).await.map_err(|error| {
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
