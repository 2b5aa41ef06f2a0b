//! What the parent process has this one do: reload, drain then cut, or cut at once.

use std::io;
use std::os::fd::OwnedFd;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{HandOver, Inheritance, Sidecar};
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

/// Runs until the parent ends the process, or another worker serves instead. `load` reads the configuration again.
pub async fn until_stopped(
    sidecar: Sidecar,
    orders: Orders,
    load: impl Fn() -> Result<Config, Problems>,
) -> Drained {
    if orders.reload {
        reload(&sidecar, load()).await;
    }
    let mut handing_over = None;
    loop {
        tokio::select! {
            (order, end) = orders.next() => match order {
                Order::Reload => reload(&sidecar, load()).await,
                Order::HandOver => handing_over = sidecar.hand_over(end).await,
                Order::Stop | Order::Cut => break,
                Order::Begin | Order::Unknown => {}
            },
            outcome = heard(&mut handing_over) => match outcome {
                HandOver::Done => {
                    orders.tell(&Told::HandedOver).await;
                    break;
                }
                HandOver::Off => orders.tell(&Told::Stays).await,
            },
        }
    }
    let cut = sidecar.cutter();
    let stopping = sidecar.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            drained = &mut stopping => return drained,
            (order, _) = orders.next() => if order == Order::Cut { cut() },
        }
    }
}

async fn reload(sidecar: &Sidecar, loaded: Result<Config, Problems>) {
    if let Err(error) = sidecar.reload(loaded).await {
        tracing::error!("reload refused, the old configuration stays: {}", Report(&error));
    }
}

/// What becomes of a hand-over, once. Never comes back while there is none.
async fn heard(handing_over: &mut Option<oneshot::Receiver<HandOver>>) -> HandOver {
    let Some(answer) = handing_over else { return std::future::pending().await };
    let outcome = answer.await.unwrap_or(HandOver::Off);
    *handing_over = None;
    outcome
}
