//! Connecting to a receiver: by TLS, with our certificate of this moment.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

use super::failure::Failure;
use crate::certs::{Material, Trusted, files};
use crate::config::{Endpoint, TlsSettings};
use crate::identity::PeerIdentity;
use crate::live::{Generation, Live};
use crate::network::is_local;
use crate::outcome::Undelivered;
use crate::report::Report;
use crate::tls::{self, Expected, Pins, TlsClient, TlsStream, Trust};

/// From the name to the TCP connection, and again for the handshake.
const LIMIT: Duration = Duration::from_secs(10);
/// A handshake of TCP that takes longer had to repeat its first packet (RFC 6298, 2.1: after a second).
const LONGEST_WAY: Duration = Duration::from_secs(1);

/// Makes connections to one receiver.
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    /// Without TLS; only ever to this machine.
    pub(super) plaintext: bool,
    /// Authorities of its own.
    pub(super) trust_bundle: Option<PathBuf>,
    pub(super) tls: TlsSettings,
    pub(super) material: Live<Material>,
}

/// A connection without TLS, or with it.
pub(super) type Stream = Either<TcpStream, TlsStream>;

/// A connection that was made.
pub(super) struct Dialed {
    pub(super) stream: Stream,
    /// Of our key material; a newer one is for a new connection.
    pub(super) generation: Generation,
    /// How long a packet takes there and back, about; at most a second.
    pub(super) round_trip: Duration,
}

/// The socket underneath.
pub(super) fn socket(stream: &Stream) -> &TcpStream {
    match stream {
        Stream::Left(tcp) => tcp,
        Stream::Right(tls) => tls.get_ref().0.get_ref(),
    }
}

impl Dialer {
    /// Connects, and offers the protocols `alpn`.
    pub(super) async fn dial(&self, alpn: &[&[u8]]) -> Result<Dialed, Failure> {
        let material = self.material.snapshot();
        let (stream, round_trip) = self.connect().await?;
        let generation = material.generation;
        if self.plaintext {
            return Ok(Dialed { stream: Stream::Left(stream), generation, round_trip });
        }
        let trusted = match self.trust_bundle.clone() {
            Some(path) => tokio::task::spawn_blocking(move || own_authorities(&path))
                .await
                .map_err(|_ended| Failure::defect())??,
            None => Arc::clone(&material.value.trusted),
        };
        let client = self.client(&material.value, &trusted)?.with_alpn(alpn);
        let host = self.endpoint.host.to_string();
        let name = ServerName::try_from(host).map_err(|_invalid| {
            Failure::new(Undelivered::Unprepared, "its address is no name for a certificate")
        })?;
        let session = tls::connect(&client, name, stream, LIMIT).await;
        let session = session.map_err(|failed| Failure::handshake(&failed))?;
        Ok(Dialed { stream: Stream::Right(session.stream), generation, round_trip })
    }

    async fn connect(&self) -> Result<(TcpStream, Duration), Failure> {
        let connecting = timeout(LIMIT, connect(&self.endpoint)).await;
        let (tcp, round_trip) = connecting
            .map_err(|_elapsed| Failure::too_slow("no connection to it", LIMIT))?
            .map_err(|error| {
                Failure::new(Undelivered::Unreachable, format!("cannot be connected to: {error}"))
            })?;
        let _only_slower = tcp.set_nodelay(true);
        if self.plaintext && !tcp.peer_addr().is_ok_and(|peer| is_local(peer.ip())) {
            let what = "it is not on this machine, and without TLS nothing leaves it";
            return Err(Failure::new(Undelivered::Unprepared, what));
        }
        Ok((tcp, round_trip))
    }

    fn client(&self, material: &Material, trusted: &Arc<Trusted>) -> Result<TlsClient, Failure> {
        let unprepared = |error: tls::ConfigError| {
            Failure::new(Undelivered::Unprepared, Report(&error).to_string())
        };
        let trust = Trust::of_servers(&self.tls, trusted, Pins::default()).map_err(unprepared)?;
        let host = Arc::clone(&self.endpoint.host);
        let expected: Expected = Arc::new(move |server: &PeerIdentity| {
            let certificate = &server.certificate;
            match certificate.is_of(&host) {
                true => Ok(()),
                false => Err(format!(
                    "the export is to go to {host}, and its certificate has {}",
                    certificate.alternative_names.join(", ")
                )),
            }
        });
        tls::client_config(material, &self.tls, &trust, expected).map_err(unprepared)
    }
}

/// Connects to the first address of the name that answers, and measures how long that one took: neither a slow resolver
/// nor an address that nobody answers at says anything of the way.
async fn connect(Endpoint { host, port }: &Endpoint) -> io::Result<(TcpStream, Duration)> {
    let mut failed = None;
    for address in lookup_host((&**host, *port)).await? {
        let since = Instant::now();
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok((tcp, since.elapsed().min(LONGEST_WAY))),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("its name has no address")))
}

/// The authorities in a receiver's own trust bundle, read each time: whoever renews it need not tell us.
///
/// # Errors
///
/// The file cannot be read, or holds something else than certificates.
pub(super) fn own_authorities(path: &Path) -> Result<Arc<Trusted>, Failure> {
    let bundle = files::trust_bundle(path).map_err(|error| {
        let what = format!("the trust bundle cannot be used: {}", Report(&error));
        Failure::new(Undelivered::Unprepared, what)
    })?;
    Ok(Arc::new(Trusted { bundle, ..Trusted::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let said = |path: &Path| own_authorities(path).unwrap_err().what;
        let cannot = "the trust bundle cannot be used: ";

        std::fs::write(&path, "nothing\n").unwrap();
        assert!(said(&path).starts_with(&format!("{cannot}{}: ", path.display())));
        assert!(said(&dir.path().join("none")).starts_with(cannot));
    }

    #[test]
    fn a_bundle_that_is_damaged_or_too_long_is_not_used_in_part_nor_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        let said = |text: String| {
            std::fs::write(&path, text).unwrap();
            own_authorities(&path).map(|trusted| trusted.bundle.len()).map_err(|told| told.what)
        };

        assert_eq!(said(format!("{ca}{ca}")), Ok(2));
        let long = said(ca.clone() + &"# much is said of it\n".repeat(1 << 20)).unwrap_err();
        assert!(long.ends_with("is larger than 16 MiB"), "{long}");
        let damaged = said(ca + "-----BEGIN s3cret").unwrap_err();
        assert!(!damaged.contains("s3cret"), "{damaged}");
    }
}
