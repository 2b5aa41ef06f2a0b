//! The enrolment server: EST (RFC 7030, RFC 8951) in front of the authority in a directory.
//!
//! Sidecars on other hosts get short-lived certificates here; their keys never leave those hosts. A
//! stranger needs a join token, which decides what the certificate says; a sidecar renews with the
//! certificate that it has. Reading order: [`Server::run`] accepts, `connection` has the life of a
//! connection, `est` that of a request, `answer` what is said.

mod answer;
mod connection;
mod door;
mod est;
mod presented;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use self::connection::{Scope, converse};
use self::door::Door;
use self::presented::Presented;
use crate::certs::MaterialError;
use crate::certs::embedded::{Authority, AuthorityError};
use crate::identity::{DnsName, Fingerprint, SpiffeIdError};
use crate::shutdown::Shutdown;

/// Connections at once to each listener: whoever crowds the one for lists keeps nobody from enrolling.
const CONNECTIONS: usize = 256;
/// So often the server looks whether its certificate or a revocation list is to be replaced.
const LOOK: Duration = Duration::from_secs(5);
/// After a failed accept: out of file descriptors must not spin a core.
const PAUSE: Duration = Duration::from_millis(100);

/// How an enrolment server is to be set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's directory.
    pub dir: PathBuf,
    /// Where EST is served.
    pub listen: SocketAddr,
    /// Where revocation lists are served over plain HTTP: they are signed, and some fetch them only so.
    pub crl_listen: Option<SocketAddr>,
    /// The names by which clients know the server. Not empty.
    pub names: Vec<DnsName>,
}

/// An enrolment server, bound and not yet serving.
pub struct Server {
    office: Arc<Office>,
    est: TcpListener,
    crl: Option<TcpListener>,
    fingerprint: Fingerprint,
}

/// What all connections share.
struct Office {
    dir: PathBuf,
    names: Vec<DnsName>,
    presented: Presented,
    door: Door,
    /// The authority's directory is locked while it is used: one at a time, and others wait here.
    desk: Arc<Semaphore>,
}

/// Why the enrolment server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It cannot issue the server's own certificate.
    #[error("the authority cannot issue the server's own certificate")]
    Own(#[source] MaterialError),
    /// The server has no name in the authority's trust domain.
    #[error("the server's own name cannot stand in a SPIFFE ID")]
    Name(#[source] SpiffeIdError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] presented::TlsError),
    /// An address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Server {
    /// Opens the authority, makes the server's own certificate and binds all addresses.
    ///
    /// # Errors
    ///
    /// Says what is in the way.
    pub async fn bind(settings: Settings) -> Result<Self, ServeError> {
        let Settings { dir, listen, crl_listen, names } = settings;
        let authority = Authority::open_any(&dir)?;
        let fingerprint = authority.fingerprint();
        let presented = Presented::new(&authority, &names)?;
        let est = bind(listen).await?;
        let crl = match crl_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let desk = Arc::new(Semaphore::new(1));
        let office = Office { dir, names, presented, door: Door::default(), desk };
        Ok(Self { office: Arc::new(office), est, crl, fingerprint })
    }

    /// Where EST is served: with port 0 the kernel has chosen.
    ///
    /// # Errors
    ///
    /// The socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.est.local_addr()
    }

    /// Where revocation lists are served over plain HTTP.
    pub fn crl_address(&self) -> Option<SocketAddr> {
        self.crl.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    /// SHA-256 of the root's certificate: by it clients know the server before they have anything else.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Serves until `shutdown` drains; whoever is being served then is finished with.
    pub async fn run(self, shutdown: &Shutdown) {
        let Self { office, est, crl, .. } = self;
        let plain = async {
            match crl {
                Some(crl) => accept(&crl, Scope::Lists, &office, shutdown).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            () = accept(&est, Scope::Est, &office, shutdown) => {}
            () = plain => {}
            () = office.keep_up() => {}
        }
    }
}

impl Office {
    /// Does `work` with the authority as it is now, off the threads that serve connections.
    async fn with_authority<T: Send + 'static>(
        &self,
        work: impl FnOnce(Authority) -> T + Send + 'static,
    ) -> Result<T, AuthorityError> {
        let alone = Arc::clone(&self.desk).acquire_owned().await;
        let dir = self.dir.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _alone = alone; // to the end of the work, be its client still there or not
            Authority::open_any(&dir).map(work)
        });
        let done = done.await;
        done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    /// Replaces what is presented, and what clients are verified with, when it is time.
    async fn keep_up(&self) {
        loop {
            sleep(LOOK).await;
            let names = self.names.clone();
            let state = self.presented.state();
            let looked = self.with_authority(move |authority| state.renewed(&authority, &names));
            match looked.await {
                Ok(Ok(Some(renewed))) => self.presented.replace(renewed),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the server's own certificate cannot be renewed");
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the authority cannot be used at the moment");
                }
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// Accepts for ever. A slot comes first: without one, clients wait in the kernel's backlog.
async fn accept(listener: &TcpListener, scope: Scope, office: &Arc<Office>, shutdown: &Shutdown) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        match listener.accept().await {
            Ok((socket, source)) => {
                let (office, end) = (Arc::clone(office), shutdown.clone());
                shutdown.spawn(async move {
                    end.until_cut(converse(&office, scope, socket, source, &end)).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}
