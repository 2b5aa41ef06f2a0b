//! The way to the workload: connects, and tells when nobody is there any more, and when somebody is again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::life::Life;
use super::plain::Plain;
use crate::config::{Limits, Target};
use crate::identity::ListenerName;
use crate::outcome::Ending;

/// The workload behind a listener.
#[derive(Debug)]
pub struct Workload {
    listener: ListenerName,
    /// The last attempt came to nothing: told of once, not with each connection.
    is_away: AtomicBool,
}

impl Workload {
    /// That of `listener`, of which nothing is known yet.
    pub fn of(listener: ListenerName) -> Self {
        Self { listener, is_away: AtomicBool::new(false) }
    }

    /// Connects for a connection's `life`, which keeps why it failed.
    pub(super) async fn reach(
        &self,
        target: &Target,
        limits: &Limits,
        life: &mut Life,
    ) -> Result<Plain, Ending> {
        self.connect(target, limits.connect_timeout).await.map_err(|(ending, message)| {
            life.message = Some(format!("workload: {message}"));
            ending
        })
    }

    /// Connects within `limit`.
    pub(super) async fn connect(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<Plain, (Ending, String)> {
        let connected = Plain::connect(target, limit).await;
        let (is_away, was_away) = (connected.is_err(), self.is_away.load(Ordering::Relaxed));
        if is_away != was_away && self.is_away.swap(is_away, Ordering::Relaxed) != is_away {
            self.tell(&connected);
        } else if let Err((_, error)) = &connected {
            tracing::debug!(listener = %self.listener, %error, "workload not reached");
        }
        connected
    }

    fn tell(&self, connected: &Result<Plain, (Ending, String)>) {
        let listener = &self.listener;
        match connected {
            Ok(_) => tracing::info!(%listener, "the workload is reached again"),
            Err((_, error)) => tracing::warn!(
                %listener, %error,
                "the workload is not reached: peers are turned away until it listens where `forward` says"
            ),
        }
    }
}
