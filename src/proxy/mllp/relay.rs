//! Both ways of a connection, from its first byte to its end.

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::exchanges::Exchanges;
use super::host::{Flow, Host};
use super::way::{Clock, Nacks, Shared, Stop, Way};
use crate::authz::Permit;
use crate::outcome::Ending;
use crate::proxy::l4::Moved;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// Rejections that wait for their way to come to the end of a frame.
const NACKS: usize = 4;
/// How long a side may take to hear of the end.
const PARTING: Duration = Duration::from_secs(1);

/// How long a connection may stay.
#[derive(Debug, Clone, Copy)]
pub struct Stay<'a> {
    /// Nothing moves for so long: it ends.
    pub idle: Duration,
    /// So long acknowledgements are waited for, of messages that came before one that is not let through.
    pub drain: Duration,
    /// Its end: drained, it ends when no message is in flight; cut, at once.
    pub end: &'a Shutdown,
}

/// How a connection came to its end.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// The error of the stream that broke, if one did.
    pub cause: Option<io::Error>,
    /// It was we who ended it, and the downstream may still be talking.
    pub is_ours: bool,
}

/// Carries messages from `downstream` to `upstream` and their acknowledgements back, and whatever the other
/// side has to say by itself.
///
/// Half-close is kept for as long as an answer may come. The permit is proof that the peer may connect;
/// whether a message may pass is for `host` to say.
pub async fn relay<H, D, U>(
    _permit: &Permit,
    host: &H,
    (downstream, upstream): (&mut D, U),
    stay: Stay<'_>,
    moved: &mut Moved,
    metrics: &ListenerMetrics,
) -> Ended
where
    H: Host,
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let own = stay.end.child(); // ends as well when the answering side has ended
    let exchanges = Exchanges::new(host);
    let shared = Shared { host, exchanges, end: &own, clock: Clock::start() };
    let (from_down, to_down) = split(downstream);
    let (from_up, to_up) = split(upstream);
    let (nacks, rejected) = mpsc::channel(NACKS);
    let (nacks, rejected) = (Nacks::To(nacks), Nacks::From(rejected));
    let mut up = Way::new(&shared, Flow::Up, (from_down, to_up), nacks, &metrics.bytes_up);
    let mut down = Way::new(&shared, Flow::Down, (from_up, to_down), rejected, &metrics.bytes_down);
    let ended = until_end(&shared, stay, up.run(), down.run()).await;
    if ended.cause.is_none() && !stay.end.is_cutting() {
        let parting = async { tokio::join!(up.end(), down.end()) };
        let _too_slow = timeout(PARTING, parting).await;
    }
    *moved = Moved { up: up.moved, down: down.moved };
    let left = match ended.ending {
        Ending::Finished if stay.end.is_draining() => Ending::Cut,
        Ending::Finished if own.is_draining() => Ending::UpstreamLost, // it ended without an answer
        Ending::Finished => Ending::DownstreamLost, // it left without waiting for one
        other => other,
    };
    up.give_up(left);
    down.give_up(left);
    shared.exchanges.close(left);
    ended
}

/// Runs both ways until the connection is over.
async fn until_end<H: Host>(
    shared: &Shared<'_, H>,
    stay: Stay<'_>,
    up: impl Future<Output = Stop>,
    down: impl Future<Output = Stop>,
) -> Ended {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let mut idle = pin!(is_idle(shared, stay.idle));
    let mut open = (true, true);
    loop {
        tokio::select! {
            stop = up.as_mut(), if open.0 => match stop {
                Stop::Ended => open.0 = false,
                stop => return last_answers(shared, stay, stop, down.as_mut(), open.1).await,
            },
            stop = down.as_mut(), if open.1 => match stop {
                Stop::Ended => {
                    // No answer can come any more: what has begun may end, and nothing else begins.
                    open.1 = false;
                    shared.end.drain();
                }
                stop => return ended(stop, Flow::Down),
            },
            () = idle.as_mut() => return ours(Ending::Idle),
            () = stay.end.cutting() => return ours(Ending::Cut),
        }
        if open == (false, false) {
            return Ended { ending: Ending::Finished, cause: None, is_ours: false };
        }
    }
}

/// Nothing more goes up. Messages that went before get their acknowledgements, if they come in time.
async fn last_answers<H: Host>(
    shared: &Shared<'_, H>,
    stay: Stay<'_>,
    stop: Stop,
    mut down: Pin<&mut impl Future<Output = Stop>>,
    is_open: bool,
) -> Ended {
    let is_waited_for = matches!(stop, Stop::Drained | Stop::Denied | Stop::Malformed);
    if is_open && is_waited_for {
        tokio::select! {
            () = shared.exchanges.settled(Flow::Up) => {}
            stop = down.as_mut() => {
                if !matches!(stop, Stop::Ended) {
                    return ended(stop, Flow::Down);
                }
            }
            () = sleep_until(Instant::now() + stay.drain) => {}
            () = stay.end.cutting() => return ours(Ending::Cut),
        }
    }
    ended(stop, Flow::Up)
}

/// Resolves when nothing has moved for a whole period.
async fn is_idle<H: Host>(shared: &Shared<'_, H>, period: Duration) {
    loop {
        let due = shared.clock.last() + period;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

fn ours(ending: Ending) -> Ended {
    Ended { ending, cause: None, is_ours: true }
}

/// The end of a connection one of whose ways has stopped.
fn ended(stop: Stop, flow: Flow) -> Ended {
    match stop {
        Stop::Ended | Stop::Drained => ours(Ending::Finished),
        Stop::Denied => ours(Ending::Denied),
        Stop::Malformed => ours(Ending::ProtocolError),
        Stop::Broken(broken) => {
            let (ending, cause) = broken.ending(flow == Flow::Up);
            Ended { ending, cause: Some(cause), is_ours: false }
        }
    }
}
