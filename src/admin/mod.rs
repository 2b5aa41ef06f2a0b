//! The administrative listeners: `/live /ready /metrics /status /denials /observed /connections /history`, the
//! dashboard at `/` that shows all of them, and the control socket.
//!
//! They run on a thread of their own, so that a scrape never waits for traffic nor traffic for a scrape.

mod answer;
mod connections;
pub mod control;
mod history;
mod lenient;
mod page;
mod partners;
mod policy;
mod view;
mod workload;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub use history::History;
pub use lenient::LenientView;
pub use policy::{PeerView, PolicyView, RuleView};
pub use view::{ListenerView, View};
pub use workload::Probes;

use crate::audit::Audit;
use crate::live::Live;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// Connections at once; scrapers and probes need few.
const CONNECTIONS: usize = 64;
/// A connection's whole life: nobody streams from here.
const LIFETIME: Duration = Duration::from_secs(60);
/// At its end, for an answer that is under way.
const PARTING: Duration = Duration::from_millis(500);
/// A request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// What may be asked on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything; loopback only.
    Full,
    /// `/live /ready /metrics` and the workload's probes, for orchestrators and scrapers from outside.
    Probe,
}

/// Answers administrative requests.
#[derive(Clone)]
pub struct Admin {
    /// What the process is doing.
    pub view: Live<View>,
    /// The trail, for its state, the last denials and what would be one.
    pub audit: Audit,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether the workload answers.
    pub probes: Arc<Probes>,
    /// What every listener did of late.
    pub history: Arc<History>,
}

impl Admin {
    /// Keeps the history, until the cut.
    pub async fn remember(self, shutdown: Shutdown) {
        self.history.keep(&self.view, &self.metrics, &shutdown).await;
    }

    /// Serves `listener` until the cut: while a drain lasts, `/ready` says so.
    pub async fn serve(self, listener: TcpListener, scope: Scope, shutdown: Shutdown) {
        let admin = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next =
                async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
            let (slot, accepted) = tokio::select! {
                biased;
                () = shutdown.cutting() => return,
                next = next => next,
            };
            match accepted {
                Ok((socket, _source)) => {
                    let admin = Arc::clone(&admin);
                    let end = shutdown.clone();
                    shutdown.spawn(async move {
                        admin.connection(socket, scope, &end).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "administrative connection not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Answers until the peer has asked enough, its time is over or everything is cut: an open dashboard keeps
    /// no process from ending.
    async fn connection(self: Arc<Self>, socket: TcpStream, scope: Scope, end: &Shutdown) {
        let service = service_fn(|request| {
            let admin = Arc::clone(&self);
            async move {
                Ok::<_, std::convert::Infallible>(answer::answer(&admin, scope, &request).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Ok(ended),
            _over = timeout(LIFETIME, end.cutting()) => {
                connection.as_mut().graceful_shutdown();
                timeout(PARTING, connection).await
            }
        };
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "administrative connection broke off");
        }
    }
}

/// Takes over an administrative socket that listens already.
///
/// # Errors
///
/// It is none.
pub fn adopt(socket: OwnedFd) -> std::io::Result<TcpListener> {
    let socket = std::net::TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Binds an administrative address.
///
/// # Errors
///
/// What the kernel said.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
