//! A TLS server of our own: another hospital's program, with whatever certificate a test gives it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pki::Identity;

/// What it does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Sends back what it gets.
    Echo,
    /// Answers with the path that was asked for, by HTTP/1.1. What is upgraded it echoes.
    Http1,
    /// The same by HTTP/2, if the client wants that.
    Http2,
}

/// A running server.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Leave to answer `/slow`.
    go: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsServer {
    pub(crate) async fn start(identity: &Identity, speaks: Speaks) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain(), identity.private_key())
            .unwrap();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = match speaks {
            Speaks::Echo => Vec::new(),
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let go = Arc::new(Semaphore::new(0));
        let (counted, counted_open, leave) =
            (Arc::clone(&connections), Arc::clone(&open), Arc::clone(&go));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, open) = (acceptor.clone(), Arc::clone(&counted_open));
                let (leave, connections) = (Arc::clone(&leave), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    connections.fetch_add(1, Ordering::SeqCst);
                    open.fetch_add(1, Ordering::SeqCst);
                    match speaks {
                        Speaks::Echo => echo(stream).await,
                        Speaks::Http1 | Speaks::Http2 => answer(stream, leave).await,
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, open, go, task }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Lets one answer to `/slow` go.
    pub(crate) fn let_go(&self) {
        self.go.add_permits(1);
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        if stream.write_all(&piece[..count]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn answer(stream: TlsStream<TcpStream>, go: Arc<Semaphore>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let go = Arc::clone(&go);
        async move {
            if let Some(protocol) = request.headers().get(UPGRADE).cloned() {
                let upgrading = hyper::upgrade::on(&mut request);
                tokio::spawn(async move { echo(TokioIo::new(upgrading.await.unwrap())).await });
                let switched = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
                let switched = switched.header(CONNECTION, "upgrade").header(UPGRADE, protocol);
                return Ok(switched.body(Full::default()).unwrap());
            }
            let path = request.uri().path().to_owned();
            if path == "/slow" {
                go.acquire().await.unwrap().forget();
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
        }
    });
    let _broken = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}
