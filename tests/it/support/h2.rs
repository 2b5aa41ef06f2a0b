//! HTTP/2 as a peer, or as a workload that goes out.

use std::net::SocketAddr;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::client::{Peer, config, connect_with};
use super::outside::Outside;
use super::pki::Identity;

/// One HTTP/2 connection.
pub(crate) struct H2 {
    sender: SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
}

impl H2 {
    /// Over mutual TLS.
    pub(crate) async fn peer(identity: &Identity, to: &Outside) -> Self {
        let mut config = config(identity);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let Peer { stream } = connect_with(config, to.address(), &to.listeners[0].0).await.unwrap();
        Self::over(stream).await
    }

    /// Over plaintext, with prior knowledge.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        let connection = tokio::spawn(async move {
            let _broken = connection.await;
        });
        Self { sender, connection }
    }

    /// Asks for a path; the head of the answer.
    pub(crate) async fn ask(&self, path: &str) -> hyper::Result<Response<Incoming>> {
        let request = Request::get(format!("http://ehr{path}")).body(Empty::new()).unwrap();
        let mut sender = self.sender.clone();
        timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time")
    }

    /// Asks for a path; the whole answer.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        text(self.ask(path).await.unwrap()).await
    }

    /// Waits for the other side to end the connection.
    pub(crate) async fn ends(self) {
        timeout(PATIENCE, self.connection).await.expect("an end in time").unwrap();
    }
}

/// A whole answer.
pub(crate) async fn text(answer: Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = timeout(PATIENCE, answer.into_body().collect()).await.expect("a body in time");
    let body = body.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}
