//! HTTP/1.1 byte for byte: peers and workloads that a test plays by hand.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;
use super::client::{Peer, config, connect_with};
use super::mesh::{Mesh, Running};
use super::outside::Outside;
use super::pki::Identity;
use tokio_rustls::client::TlsStream;

/// One end of a connection, read as HTTP/1.1.
pub(crate) struct Wire<S> {
    pub(crate) io: S,
    /// Read, and not asked for yet.
    ahead: Vec<u8>,
}

/// A connection as a peer of a sidecar.
pub(crate) type PeerWire = Wire<TlsStream<TcpStream>>;

/// The lines before a body, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head(pub(crate) String);

/// A whole message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// The lines behind the last chunk.
    pub(crate) trailers: String,
}

impl Head {
    /// The request or status line.
    pub(crate) fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        self.line().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// A request's target.
    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the one header that is spelled like this, upper and lower case included.
    pub(crate) fn exact(&self, name: &str) -> Option<&str> {
        let mut found = self.headers().filter(|(found, _)| *found == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} is repeated in {self:?}");
        Some(value)
    }

    /// The values of a header, however it is spelled.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).collect()
    }

    /// The same for a header that is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} is repeated in {self:?}");
        values.first().copied()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().skip(1).filter_map(|line| line.split_once(": "))
    }
}

impl Message {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, ahead: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// The same when the other side may have gone already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.io.write_all(bytes.as_ref()).await;
        let _gone = self.io.flush().await;
    }

    /// Sends a GET of `path` and waits for its answer.
    pub(crate) async fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: ehr\r\n\r\n")).await;
        self.message().await
    }

    /// Everything up to the next empty line.
    pub(crate) async fn head(&mut self) -> Head {
        let head = self.through(b"\r\n\r\n").await;
        Head(String::from_utf8_lossy(&head).into_owned())
    }

    /// Everything up to these bytes, which are its end.
    pub(crate) async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|bytes| bytes == end) {
                return self.ahead.drain(..at + end.len()).collect();
            }
            self.more().await;
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            self.more().await;
        }
        self.ahead.drain(..count).collect()
    }

    /// The next message, to its end as its head gives it; without one, to the end of the connection.
    pub(crate) async fn message(&mut self) -> Message {
        let head = self.head().await;
        let (mut body, mut trailers) = (Vec::new(), String::new());
        let has_none = matches!(head.status(), 204 | 304) || !head.line().starts_with("HTTP/");
        if head.header("transfer-encoding").is_some() {
            (body, trailers) = self.chunks().await;
        } else if let Some(length) = head.header("content-length") {
            body = self.bytes(length.parse().unwrap()).await;
        } else if !has_none {
            body = self.rest().await;
        }
        Message { head, body, trailers }
    }

    async fn chunks(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.through(b"\r\n").await).unwrap();
            let size = usize::from_str_radix(line.trim().split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.bytes(size).await);
            assert_eq!(self.bytes(2).await, b"\r\n");
        }
        let mut trailers = String::new();
        loop {
            let line = String::from_utf8(self.through(b"\r\n").await).unwrap();
            if line == "\r\n" {
                return (body, trailers);
            }
            trailers.push_str(&line);
        }
    }

    /// Drops what has been read and not asked for; how much that was, if anything.
    pub(crate) fn take_ahead(&mut self) -> Option<usize> {
        let count = std::mem::take(&mut self.ahead).len();
        (count > 0).then_some(count)
    }

    /// All that comes before the other side ends or breaks off.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.try_more().await {}
        std::mem::take(&mut self.ahead)
    }

    /// One whole message as it came, or nothing if the other side ends instead.
    pub(crate) async fn rest_of_one(&mut self) -> Vec<u8> {
        while self.ahead.windows(4).all(|bytes| bytes != b"\r\n\r\n") {
            if !self.try_more().await {
                break;
            }
        }
        std::mem::take(&mut self.ahead)
    }

    /// Waits for the end, before which nothing may come.
    pub(crate) async fn ends(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{:?} came", String::from_utf8_lossy(&rest));
    }

    async fn more(&mut self) {
        let so_far = self.ahead.clone();
        assert!(self.try_more().await, "it ended behind {:?}", String::from_utf8_lossy(&so_far));
    }

    /// Whether there was more.
    async fn try_more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.io.read_buf(&mut self.ahead)).await;
        let read = read.unwrap_or_else(|_| {
            panic!("nothing comes behind {:?}", String::from_utf8_lossy(&self.ahead))
        });
        read.is_ok_and(|count| count > 0)
    }
}

/// A workload that does what the test does.
pub(crate) struct ByHand {
    listener: TcpListener,
}

impl ByHand {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// What `forward` is to say.
    pub(crate) fn target(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Wire<TcpStream> {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("nobody connects to the workload").unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::new(stream)
    }
}

impl Mesh {
    /// Connects as the service `name`, for HTTP/1.1.
    pub(crate) async fn http(&self, name: &str, to: &Outside) -> PeerWire {
        https(&self.pem(name), to).await
    }

    /// A workload at `target`, its sidecar `ehr`, and the sidecar `web` of whoever calls it.
    pub(crate) async fn pair(&self, target: &str) -> Pair {
        self.pair_with(target, "").await
    }

    /// The same; the inbound listener has another key.
    pub(crate) async fn pair_with(&self, target: &str, key: &str) -> Pair {
        let ehr = self.inbound("ehr").allow("web").http().forward(target);
        let ehr = if key.is_empty() { ehr } else { ehr.with(key) };
        let ehr = ehr.start().await;
        let web = self.outbound("web").allow("ehr").http().to(ehr.address()).start().await;
        Pair { ehr, web }
    }
}

/// Two sidecars, one behind the other.
pub(crate) struct Pair {
    /// Beside the workload: inbound.
    pub(crate) ehr: Running,
    /// Beside the caller: outbound.
    pub(crate) web: Running,
}

impl Pair {
    /// Where the caller speaks plaintext to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.web.address()
    }

    /// Connects as the caller.
    pub(crate) async fn connect(&self) -> Wire<TcpStream> {
        plain(self.address()).await
    }
}

/// A plaintext connection.
pub(crate) async fn plain(address: SocketAddr) -> Wire<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Wire::new(stream)
}

/// A mutual TLS connection for HTTP/1.1.
pub(crate) async fn https(identity: &Identity, to: &Outside) -> PeerWire {
    let mut config = config(identity);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = &to.listeners[0].0;
    let Peer { stream } = connect_with(config, to.address(), name).await.unwrap();
    Wire::new(stream)
}
