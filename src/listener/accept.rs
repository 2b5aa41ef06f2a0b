//! Binding, and the accept loop: a slot first, a pause on errors, an end at drain.

use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use super::goal::Goal;
use super::plain::{Plain, tune};
use super::redirect::{Door, Redirected, door};
use super::{Crossing, Services};
use crate::config::ListenAddr;
use crate::identity::ListenerName;

/// After a failed accept: out of file descriptors must not spin a core.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait in the kernel.
const BACKLOG: i32 = 4096;

/// A listener's socket, bound and listening.
#[derive(Debug)]
pub struct Bound {
    socket: Arc<Listening>,
    address: ListenAddr,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        file: Unlink,
    },
    /// What another socket has accepted.
    Redirected {
        door: Door,
        arrivals: Mutex<mpsc::Receiver<Redirected>>,
    },
}

/// A connection that was accepted.
pub(super) struct Arrived {
    pub(super) stream: Plain,
    pub(super) source: Option<SocketAddr>,
    /// Where the workload wants to go, if it did not come here by itself.
    pub(super) goal: Option<Goal>,
}

/// Takes the socket's file away with the listener, unless it is another process's by then.
#[derive(Debug)]
struct Unlink {
    path: PathBuf,
    stays: AtomicBool,
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if self.stays.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}

/// A listener's socket for as long as it listens, to be passed on to another process.
#[derive(Debug)]
pub struct Passing(Weak<Listening>);

impl Passing {
    /// The socket once more. `None` when it does not listen any more.
    pub fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        let listening = self.0.upgrade()?;
        Some(match &*listening {
            Listening::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Listening::Unix { socket, .. } => socket.as_fd().try_clone_to_owned(),
            Listening::Redirected { .. } => return None,
        })
    }

    /// The file of a unix socket is another process's from now on.
    pub fn file_stays(&self) {
        self.is_its_own(false);
    }

    /// The file of a unix socket is this process's from now on, and goes when it no longer listens.
    pub fn file_goes(&self) {
        self.is_its_own(true);
    }

    fn is_its_own(&self, own: bool) {
        if let Some(Listening::Unix { file, .. }) = self.0.upgrade().as_deref() {
            file.stays.store(!own, Ordering::Relaxed);
        }
    }
}

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{what}: cannot listen on {address}{}", hint(source))]
pub struct BindError {
    /// Whose address it is.
    pub what: String,
    /// The address, as configured.
    pub address: String,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl BindError {
    fn of(name: &ListenerName, address: &ListenAddr, source: io::Error) -> Self {
        Self { what: format!("listener `{name}`"), address: address.to_string(), source }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process listens there; stop it or choose another)",
        io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE, which a sidecar that runs has given up: to add one, hand \
             over to a new process with SIGUSR2, or restart)"
        }
        _ => "",
    }
}

/// Binds `address` and listens.
///
/// # Errors
///
/// Names the listener, the address, and what is in the way.
pub fn bind(name: &ListenerName, address: &ListenAddr) -> Result<Bound, BindError> {
    let failed = |source| BindError::of(name, address, source);
    match address {
        ListenAddr::Tcp(tcp) => bind_tcp(*tcp)
            .and_then(|socket| Ok((ListenAddr::Tcp(socket.local_addr()?), socket)))
            .map(|(address, socket)| Bound::new(Listening::Tcp(socket), address))
            .map_err(failed),
        ListenAddr::Unix(path) => {
            bind_unix(path).map(|socket| Bound::unix(socket, path)).map_err(failed)
        }
        ListenAddr::Redirected | ListenAddr::ForwardProxy => Ok(Bound::redirected(address.clone())),
    }
}

/// Takes over a socket that listens on `address` already.
///
/// # Errors
///
/// Names the listener, the address, and what is in the way.
pub fn adopt(
    name: &ListenerName,
    address: &ListenAddr,
    socket: OwnedFd,
) -> Result<Bound, BindError> {
    let failed = |source| BindError::of(name, address, source);
    match address {
        ListenAddr::Tcp(_) => adopt_tcp(socket).map_err(failed),
        ListenAddr::Unix(path) => {
            adopt_unix(socket).map(|socket| Bound::unix(socket, path)).map_err(failed)
        }
        // Its connections come by a socket that is not its own.
        ListenAddr::Redirected | ListenAddr::ForwardProxy => Ok(Bound::redirected(address.clone())),
    }
}

fn adopt_tcp(socket: OwnedFd) -> io::Result<Bound> {
    let socket = std::net::TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    let address = ListenAddr::Tcp(socket.local_addr()?);
    Ok(Bound::new(Listening::Tcp(TcpListener::from_std(socket)?), address))
}

fn adopt_unix(socket: OwnedFd) -> io::Result<UnixListener> {
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(listen(address)?)
}

/// A socket that listens on `address`, for no runtime yet.
///
/// # Errors
///
/// What the kernel said.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    // A socket left behind by a process that was killed answers nobody; one that answers is in use.
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket has this name; move it away or choose another",
            ));
        }
        match StdUnixStream::connect(path) {
            Ok(_answered) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            Err(error) => return Err(error),
        }
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(socket)
}

impl Bound {
    fn new(socket: Listening, address: ListenAddr) -> Self {
        Self { socket: Arc::new(socket), address }
    }

    fn unix(socket: UnixListener, path: &Path) -> Self {
        let file = Unlink { path: path.to_owned(), stays: AtomicBool::new(false) };
        Self::new(Listening::Unix { socket, file }, ListenAddr::Unix(path.to_owned()))
    }

    fn redirected(address: ListenAddr) -> Self {
        let (door, arrivals) = door();
        let socket = Listening::Redirected { door, arrivals: Mutex::new(arrivals) };
        Self::new(socket, address)
    }

    /// What passes the socket on while it listens.
    pub fn passing(&self) -> Passing {
        Passing(Arc::downgrade(&self.socket))
    }

    /// Where it really listens: with port 0 the kernel has chosen.
    pub fn address(&self) -> &ListenAddr {
        &self.address
    }

    /// Where it takes what is redirected, if that is how its connections come.
    pub fn door(&self) -> Option<Door> {
        match &*self.socket {
            Listening::Redirected { door, .. } => Some(door.clone()),
            Listening::Tcp(_) | Listening::Unix { .. } => None,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Arrived> {
        match &*self.socket {
            Listening::Tcp(socket) => {
                let (stream, source) = socket.accept().await?;
                tune(&stream);
                Ok(Arrived { stream: Plain::Tcp(stream), source: Some(source), goal: None })
            }
            Listening::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok(Arrived { stream: Plain::Unix(stream), source: None, goal: None })
            }
            Listening::Redirected { arrivals, .. } => {
                let next = arrivals.lock().await.recv().await;
                Ok(Arrived::redirected(next.ok_or(io::ErrorKind::BrokenPipe)?))
            }
        }
    }

    /// What another socket has accepted for this one, for as long as something may still be handed on, and none that comes later.
    /// Of its own a socket has none: what waits in the kernel goes with it.
    async fn accepted(&self, crossing: &Crossing) -> Option<Redirected> {
        let Listening::Redirected { arrivals, .. } = &*self.socket else { return None };
        let mut arrivals = arrivals.lock().await;
        tokio::select! {
            biased;
            next = arrivals.recv() => return next,
            () = crossing.settled() => arrivals.close(),
        }
        arrivals.recv().await
    }
}

impl Arrived {
    fn redirected(Redirected { stream, source, goal }: Redirected) -> Self {
        Self { stream: Plain::Tcp(stream.serve()), source, goal: Some(goal) }
    }
}

/// Accepts until the drain, and spawns the life of each connection.
///
/// `slot` comes first: without one, peers wait in the kernel's backlog, not in our memory.
pub(super) async fn accept_loop<T, S, F>(
    bound: Bound,
    services: &Services,
    slot: impl Fn() -> S,
    life: impl Fn(Arrived, T) -> F,
) where
    S: Future<Output = T>,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let next = async { (slot().await, bound.accept().await) };
        let (slot, accepted) = tokio::select! {
            biased;
            () = services.shutdown.draining() => break,
            next = next => next,
        };
        match accepted {
            Ok(arrived) => services.shutdown.spawn(life(arrived, slot)),
            Err(error) => {
                services.metrics.accept_error();
                tracing::warn!(%error, "connection not accepted");
                sleep(PAUSE).await;
            }
        }
    }
    // Bounded by the cut: what has not crossed by then is cut as well.
    let rest = async {
        while let Some(arrived) = bound.accepted(&services.crossing).await {
            let slot = slot().await;
            services.shutdown.spawn(life(Arrived::redirected(arrived), slot));
        }
    };
    services.shutdown.until_cut(rest).await.unwrap_or_default();
}
