//! A peer of our own, for what no program does: half-closing, trickling, breaking off.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::{Identity, certificates};

/// An open mutual TLS connection to a sidecar.
pub(crate) struct Peer {
    pub(crate) stream: TlsStream<TcpStream>,
}

/// What the first read of a peer brought. In TLS 1.3 it is the one that brings a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstRead {
    Bytes(Vec<u8>),
    /// The stream ended as it should, with nothing in it.
    Closed,
    /// The sidecar refused.
    Alert(AlertDescription),
    /// The connection broke.
    Lost,
}

/// A client's side of TLS with this identity, which trusts its own authority.
pub(crate) fn config(identity: &Identity) -> ClientConfig {
    config_with(identity, rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn config_with(
    identity: &Identity,
    provider: rustls::crypto::CryptoProvider,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in certificates(&identity.trust_bundle()) {
        roots.add(root).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain(), identity.private_key())
        .unwrap()
}

/// Connects as `identity`; the server must be `name`.
pub(crate) async fn connect(
    identity: &Identity,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<Peer> {
    connect_with(config(identity), address, name).await
}

pub(crate) async fn connect_with(
    config: ClientConfig,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<Peer> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    Ok(Peer { stream })
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The port that it comes from.
    #[cfg(feature = "rego")]
    pub(crate) fn port(&self) -> u16 {
        self.stream.get_ref().0.local_addr().unwrap().port()
    }

    /// Ends our side, as TLS wants it.
    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Exactly so many bytes.
    pub(crate) async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Everything up to the sidecar's orderly end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    /// Sends a line and expects it back.
    pub(crate) async fn echoes(&mut self, line: &str) {
        self.send(line).await;
        assert_eq!(String::from_utf8_lossy(&self.receive(line.len()).await), line);
    }

    pub(crate) async fn first_read(&mut self) -> FirstRead {
        let mut bytes = vec![0; 64 * 1024];
        match self.stream.read(&mut bytes).await {
            Ok(0) => FirstRead::Closed,
            Ok(n) => {
                bytes.truncate(n);
                FirstRead::Bytes(bytes)
            }
            Err(error) => match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::AlertReceived(alert)) => FirstRead::Alert(*alert),
                _ => FirstRead::Lost,
            },
        }
    }
}
