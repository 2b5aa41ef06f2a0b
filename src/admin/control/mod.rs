//! The control socket: every page of the administrative listener, and what changes the running process.
//!
//! It asks the kernel who is at the other end, which a TCP listener cannot: so only here something can be changed.

mod acts;
mod answer;
mod draining;
mod level;
mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

pub use acts::{Act, acts};
pub use socket::{Bound, bind, replace};

use super::{Admin, HEAD_LIMIT, PAUSE};
use crate::audit::Reader;
use crate::shutdown::Shutdown;

/// Connections at once of those who may speak.
const CONNECTIONS: usize = 8;
/// Connections at once of those who may not, and are told so.
const STRANGERS: usize = 2;
/// So long a stranger has for its one question.
const STRANGER: Duration = Duration::from_secs(2);
/// Strangers are told of in the log so often at most.
const TOLD: Duration = Duration::from_secs(10);
/// When everything else has ended, answers that are under way get so long.
const LAST_WORDS: Duration = Duration::from_millis(500);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Answers on the control socket.
#[derive(Clone)]
pub struct Control {
    /// What is answered elsewhere, too.
    pub admin: Admin,
    /// Does what is asked of the process.
    pub acts: mpsc::Sender<Act>,
    /// What drains when the process does.
    pub whole: Shutdown,
}

impl Control {
    /// Serves `bound` until the cut, while a drain lasts, too.
    pub async fn serve(self, bound: Bound, shutdown: Shutdown) {
        let control = Arc::new(self);
        let (slots, strangers) =
            (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(STRANGERS)));
        let mut refused = Refused::default();
        loop {
            let next =
                async { (Arc::clone(&slots).acquire_owned().await, bound.socket.accept().await) };
            let (slot, accepted) = tokio::select! {
                biased;
                () = shutdown.cutting() => return,
                next = next => next,
            };
            let known = accepted.and_then(|(stream, _)| Ok((socket::who(&stream)?, stream)));
            let (who, stream) = match known {
                Ok(known) => known,
                Err(error) => {
                    tracing::warn!(%error, "connection to the control socket not accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if socket::is_welcome(&who) {
                let (control, end) = (Arc::clone(&control), shutdown.clone());
                shutdown.spawn(async move {
                    control.connection(stream, who, &end).await;
                    drop(slot);
                });
                continue;
            }
            refused.tell(&who);
            // Without a place they are closed unheard.
            if let Ok(place) = Arc::clone(&strangers).try_acquire_owned() {
                shutdown.spawn(async move {
                    turn_away(stream).await;
                    drop(place);
                });
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream, who: Reader, shutdown: &Shutdown) {
        let service = service_fn(|request| {
            let (control, who) = (Arc::clone(&self), who.clone());
            async move { Ok::<_, Infallible>(control.answer(request, who, shutdown).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        let ended = async {
            shutdown.cutting().await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            served = connection => {
                if let Err(error) = served {
                    tracing::debug!(%error, "connection to the control socket broke off");
                }
            }
            () = ended => {}
        }
    }
}

/// Tells a stranger that it is one, whatever it asks.
async fn turn_away(stream: UnixStream) {
    let service = service_fn(|_request| async { Ok::<_, Infallible>(answer::refused()) });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(STRANGER)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(STRANGER, connection).await {
        tracing::debug!(%error, "a stranger to the control socket did not hear us out");
    }
}

/// Those who may not speak, told of now and then.
#[derive(Default)]
struct Refused {
    told: Option<Instant>,
    untold: u64,
}

impl Refused {
    fn tell(&mut self, who: &Reader) {
        if self.told.is_some_and(|told| told.elapsed() < TOLD) {
            self.untold += 1;
            return;
        }
        self.told = Some(Instant::now());
        let untold = std::mem::take(&mut self.untold);
        tracing::warn!(%who, process = who.process, untold, "control socket: only this sidecar's user and root may speak there");
    }
}
