//! The enrolment server: EST (RFC 7030, RFC 8951) in front of the authority in a directory.
//!
//! Sidecars on other hosts get short-lived certificates here; their keys never leave those hosts. A
//! stranger needs a join token, which decides what the certificate says; a sidecar renews with the
//! certificate that it has. Reading order: [`Server::run`] accepts, `connection` has the life of a
//! connection, `est` that of a request, `answer` what is said.

mod answer;
mod buckets;
mod connection;
mod desk;
mod door;
mod est;
mod places;
mod presented;
mod published;
mod quota;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::time::sleep;

use self::buckets::Buckets;
use self::connection::{Scope, converse};
use self::desk::Desk;
use self::door::Door;
use self::places::Places;
use self::presented::Presented;
use self::published::Published;
use self::quota::Quota;
use crate::certs::MaterialError;
use crate::certs::embedded::{Authority, AuthorityError};
use crate::identity::{DnsName, Fingerprint, SpiffeIdError};
use crate::network::network;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// So often the server looks whether its certificate or what it publishes is to be replaced.
const LOOK: Duration = Duration::from_secs(5);
/// Lines in the log about refusals of one source at once, for each of them …
const LINES: u32 = 20;
/// … and one more after this.
const LINE: Duration = Duration::from_secs(3);
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
    desk: Desk,
    names: Vec<DnsName>,
    presented: Presented,
    published: ArcSwap<Published>,
    door: Door,
    lines: Buckets<IpAddr>,
    quota: Arc<Quota>,
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
        let office = Office {
            presented: Presented::new(&authority, &names)?,
            published: ArcSwap::from_pointee(Published::of(&authority)),
            desk: Desk::new(dir),
            names,
            door: Door::default(),
            lines: Buckets::new(LINES),
            quota: Arc::new(Quota::new()),
        };
        let est = bind(listen).await?;
        let crl = match crl_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
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
    /// Whether a refusal of `source` gets a line in the log, and how many got none since the last one.
    fn line(&self, source: SocketAddr) -> Option<u64> {
        let source = network(source.ip());
        self.lines.look(&source, LINE).ok()?;
        Some(self.lines.take(&source, LINE))
    }

    /// Replaces what is presented, what clients are verified with and what is published, when it is time.
    async fn keep_up(&self) {
        loop {
            sleep(LOOK).await;
            let names = self.names.clone();
            let state = self.presented.state();
            let looked = self.desk.with_authority(move |authority| {
                (Published::of(&authority), state.renewed(&authority, &names))
            });
            let renewed = match looked.await {
                Ok((published, renewed)) => {
                    self.published.store(Arc::new(published));
                    renewed
                }
                Err(error) => {
                    tracing::error!(
                        "the authority cannot be used at the moment: {}",
                        Report(&error)
                    );
                    continue;
                }
            };
            match renewed {
                Ok(Some(renewed)) => self.presented.replace(renewed),
                Ok(None) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the server's own certificate cannot be renewed");
                }
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// Accepts for ever. A place comes first: without one, clients wait in the kernel's backlog.
async fn accept(listener: &TcpListener, scope: Scope, office: &Arc<Office>, shutdown: &Shutdown) {
    let places = Places::new();
    loop {
        let slot = places.slot().await;
        match listener.accept().await {
            Ok((socket, source)) => match places.give(source.ip(), slot) {
                Some(place) => {
                    let (office, end) = (Arc::clone(office), shutdown.clone());
                    shutdown.spawn(async move {
                        end.until_cut(converse(&office, scope, socket, source, &end)).await;
                        drop(place);
                    });
                }
                None => {
                    if let Some(untold) = office.line(source) {
                        tracing::warn!(%source, untold, "closed: too many connections of this source");
                    }
                }
            },
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}
