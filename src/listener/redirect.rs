//! Connections of the workload that the kernel sends here although they were to go elsewhere: each is handed to the
//! outbound listener that leads there, and refused when none does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::accept::{Arrived, BindError, Bound, PAUSE, Passing, adopt, bind};
use super::goal::Goal;
use super::plain::Plain;
use super::seldom::Seldom;
use super::{Services, Sockets, record};
use crate::audit::{Connection, Record};
use crate::config::{Config, Destination, ListenAddr, Place};
use crate::live::{Live, Publisher, live};
use crate::outcome::{DenyReason, Direction, Ending};
use crate::upstream::{Candidate, Names};

/// Connections that wait for their names to be resolved; more wait in the kernel.
const DECIDING: usize = 1024;
/// Connections that wait for a listener which has as many as it may have.
const WAITING: usize = 1024;

/// A connection on its way to its listener.
#[derive(Debug)]
pub(super) struct Redirected {
    pub(super) stream: Unserved,
    pub(super) source: Option<SocketAddr>,
    /// Where it was to go, and where it goes.
    pub(super) goal: Goal,
}

/// A connection that nobody serves yet. Dropped, it is reset: the workload hears of it at once, and does not take it for an
/// answer.
#[derive(Debug)]
pub(super) struct Unserved(TcpStream);

impl Unserved {
    pub(super) fn new(stream: TcpStream) -> Self {
        linger(&stream, Some(Duration::ZERO));
        Self(stream)
    }

    /// From now on it ends as others do.
    pub(super) fn serve(self) -> TcpStream {
        linger(&self.0, None);
        self.0
    }
}

fn linger(stream: &TcpStream, time: Option<Duration>) {
    if let Err(error) = SockRef::from(stream).set_linger(time) {
        tracing::debug!(%error, "how a redirected connection closes is left as it is");
    }
}

/// How connections come to a listener that binds no address of its own.
#[derive(Debug, Clone)]
pub struct Door(pub(super) mpsc::Sender<Redirected>);

/// A door, and what comes through it.
pub(super) fn door() -> (Door, mpsc::Receiver<Redirected>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Door(sender), receiver)
}

/// What one listener takes.
#[derive(Debug)]
pub struct Way {
    /// Whatever was to go there.
    pub destinations: Vec<Destination>,
    /// Where the listener takes it.
    pub door: Door,
}

/// What all listeners take, in the order of the configuration.
pub type Ways = Vec<Way>;

/// The sockets to which the kernel sends what is redirected, bound.
#[derive(Debug)]
pub struct BoundRedirect(Vec<Bound>);

impl BoundRedirect {
    /// Where they are, and what passes them on while they listen.
    pub fn passing(&self) -> impl Iterator<Item = (ListenAddr, Passing)> {
        self.0.iter().map(|bound| (bound.address().clone(), bound.passing()))
    }
}

/// Binds `port` of both loopback addresses: the kernel sends IPv4 to one, and IPv6 to the other. What is among `open` listens
/// already.
///
/// # Errors
///
/// Names the address, and what is in the way. A machine without IPv6 redirects none of it.
pub fn bind_redirect(port: u16, open: &mut Sockets) -> Result<BoundRedirect, BindError> {
    let name = Config::redirect_name();
    let mut bind = |ip: IpAddr| {
        let address = ListenAddr::Tcp(SocketAddr::new(ip, port));
        match open.take(name.as_str(), &address) {
            Some(socket) => adopt(&name, &address, socket),
            None => bind(&name, &address),
        }
    };
    let mut sockets = vec![bind(Ipv4Addr::LOCALHOST.into())?];
    match bind(Ipv6Addr::LOCALHOST.into()) {
        Ok(socket) => sockets.push(socket),
        Err(error) if has_no_ipv6(&error.source) => {
            tracing::info!("this machine has no IPv6: none of it is redirected");
        }
        Err(error) => return Err(error),
    }
    Ok(BoundRedirect(sockets))
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let missing = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    missing.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// Hands redirected connections to their listeners.
pub struct Redirector {
    ways: Live<Ways>,
    names: Names,
    services: Services,
    /// The log's words about those that are lost.
    told: Seldom,
}

/// Nothing leads anywhere yet.
pub fn redirector(services: Services) -> (Publisher<Ways>, Arc<Redirector>) {
    let (publisher, ways) = live(Ways::new());
    let (names, told) = (Names::default(), Seldom::default());
    (publisher, Arc::new(Redirector { ways, names, services, told }))
}

impl Redirector {
    /// Accepts until the drain.
    pub async fn run(self: Arc<Self>, bound: BoundRedirect) {
        let deciding = Arc::new(Semaphore::new(DECIDING));
        let accepting = bound.0.into_iter().map(|bound| self.accept(bound, &deciding));
        futures_util::future::join_all(accepting).await;
    }

    async fn accept(self: &Arc<Self>, bound: Bound, deciding: &Arc<Semaphore>) {
        let _accepting = self.services.crossing.begin();
        loop {
            let next = async {
                let slot = Arc::clone(deciding).acquire_owned().await;
                (slot, bound.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                biased;
                () = self.services.shutdown.draining() => return,
                next = next => next,
            };
            let Ok(slot) = slot else { return };
            match accepted {
                Ok(Arrived { stream: Plain::Tcp(stream), source: Some(source), .. }) => {
                    let (this, stream) = (Arc::clone(self), Unserved::new(stream));
                    let Services { shutdown, crossing, .. } = &self.services;
                    let bounds = (slot, crossing.begin());
                    shutdown.spawn(async move { this.decide(stream, source, bounds).await });
                }
                Ok(_not_tcp) => {}
                Err(error) => {
                    self.services.metrics.accept_error();
                    tracing::warn!(%error, "redirected connection not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Finds the listener for one connection. One that nobody takes is counted and recorded here, once.
    async fn decide(
        &self,
        stream: Unserved,
        source: SocketAddr,
        (slot, _crossing): (OwnedSemaphorePermit, TaskTrackerToken),
    ) {
        let Some(asked) = asked_for(&stream.0) else {
            let text =
                "it came straight to `redirect.port`, and the rules of the kernel sent it nowhere";
            return self.refuse(stream, source, None, text).await;
        };
        let Some((wanted, door)) = self.way_to(asked).await else {
            let text = "no listener's `destinations` lead there";
            return self.refuse(stream, source, Some(asked), text).await;
        };
        drop(slot);
        let (source, goal) = (Some(source), Goal::redirected(wanted));
        match door.0.try_send(Redirected { stream, source, goal }) {
            Ok(()) => {}
            Err(TrySendError::Full(_reset)) => {
                self.lost(asked, "its listener has as many as it may have");
            }
            Err(TrySendError::Closed(_reset)) => self.lost(asked, "its listener ends"),
        }
    }

    /// Each is counted, and the log has a word about it once a second.
    fn lost(&self, asked: SocketAddr, why: &str) {
        self.services.metrics.accept_error();
        if self.told.is_due() {
            tracing::warn!(%asked, "redirected connection reset: {why}");
        }
    }

    /// The first listener that leads to `asked`.
    async fn way_to(&self, asked: SocketAddr) -> Option<(Candidate, Door)> {
        let ways = self.ways.snapshot();
        for way in &ways.value {
            for destination in way.destinations.iter().filter(|to| to.has_port(asked.port())) {
                let port = destination.port.unwrap_or_else(|| asked.port());
                let host: Arc<str> = match &destination.place {
                    Place::Within(network) if network.contains(asked.ip()) => {
                        asked.ip().to_string().into()
                    }
                    Place::Named(name) if self.names.has(name, asked.ip()).await => {
                        Arc::clone(name)
                    }
                    Place::Within(_) | Place::Named(_) => continue,
                };
                return Some((Candidate::redirected(host, asked, port), way.door.clone()));
            }
        }
        None
    }

    /// Nothing of it leaves this machine.
    async fn refuse(
        &self,
        stream: Unserved,
        source: SocketAddr,
        asked: Option<SocketAddr>,
        message: &str,
    ) {
        let _open = self.services.metrics.opened();
        drop(stream);
        let name = Config::redirect_name();
        let reason = DenyReason::UnknownDestination;
        let at = Connection::at((&name, Direction::Outbound, "tcp"), false);
        let connection =
            Connection { id: record::random_id(), source: Some(source), destination: asked, ..at };
        let denied = Record {
            message: Some(message.to_owned()),
            ..Record::denied(Arc::new(connection), reason, None)
        };
        self.services.metrics.denied(reason);
        self.services.metrics.closed(Ending::Denied);
        self.services.audit.note(denied).await;
    }
}

/// Where `stream` was to go before the kernel sent it here; `None` when it was to come here.
fn asked_for(stream: &TcpStream) -> Option<SocketAddr> {
    let here = stream.local_addr().ok()?;
    let socket = SockRef::from(stream);
    let asked = if here.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let asked = asked.ok()?.as_socket()?;
    (asked != here).then_some(asked)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Unserved) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept());
        (client.unwrap(), Unserved::new(accepted.unwrap().0))
    }

    #[tokio::test]
    async fn a_connection_is_reset_unless_somebody_serves_it() {
        let (mut lost, unserved) = pair().await;
        let (mut served, serving) = pair().await;

        drop(unserved);
        drop(serving.serve());

        assert_eq!(lost.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(served.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
