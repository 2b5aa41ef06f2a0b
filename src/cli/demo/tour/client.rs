//! Calls as the programs of a clinic make them: plaintext, or mutual TLS with PEM files.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::report::Report;

/// For a whole call.
const LIMIT: Duration = Duration::from_secs(10);
/// An answer's body.
const BODY: usize = 4 * 1024 * 1024;
/// The end of an MLLP frame.
const FRAME_END: &[u8] = b"\x1c\r";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    /// A program that speaks no TLS.
    Plain,
    /// A program that speaks TLS to the service of this name, with the certificate in the PEM files of
    /// `with`, or with none.
    Tls { server: &'static str, with: Option<&'static str> },
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// An HTTP request.
    Http { method: Method, path: &'static str, headers: Vec<(&'static str, String)>, body: String },
    /// An MLLP frame.
    Mllp(&'static str),
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    /// An HTTP response.
    Http { status: u16, body: String },
    /// An MLLP frame.
    Mllp(String),
    /// No answer, and why.
    Nothing(String),
}

impl Call {
    /// `GET path`, without a body.
    pub(super) fn get(path: &'static str) -> Self {
        Self::Http { method: Method::GET, path, headers: Vec::new(), body: String::new() }
    }

    /// Calls `address`; the PEM files are in `dir`.
    pub(super) async fn make(&self, caller: Caller, address: SocketAddr, dir: &Path) -> Answer {
        let answered = timeout(LIMIT, self.attempt(caller, address, dir)).await;
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => Answer::Nothing(Report(failure.as_ref()).to_string()),
            Err(_elapsed) => Answer::Nothing(format!("no answer within {LIMIT:?}")),
        }
    }

    async fn attempt(
        &self,
        caller: Caller,
        address: SocketAddr,
        dir: &Path,
    ) -> Result<Answer, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        match caller {
            Caller::Plain => self.over(socket, &address.to_string()).await,
            Caller::Tls { server, with } => {
                let name = ServerName::try_from(server)?;
                let connector = TlsConnector::from(Arc::new(client(dir, with)?));
                let stream = connector.connect(name, socket).await?;
                self.over(stream, &format!("{server}:{}", address.port())).await
            }
        }
    }

    async fn over<S>(&self, stream: S, host: &str) -> Result<Answer, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self {
            Self::Http { method, path, headers, body } => {
                let mut request = Request::builder().method(method).uri(*path).header(HOST, host);
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                exchange(stream, request.body(Full::from(body.clone()))?).await
            }
            Self::Mllp(frame) => converse(stream, frame).await,
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY).collect().await?.to_bytes();
        Ok(Answer::Http { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    // The connection ends by itself when its sender is gone.
    let (answer, _ended) = tokio::join!(exchange, connection);
    answer
}

async fn converse<S>(mut stream: S, frame: &str) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(frame.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(FRAME_END) {
        if answer.len() > BODY || stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    stream.shutdown().await?;
    Ok(Answer::Mllp(String::from_utf8_lossy(&answer).into_owned()))
}

fn client(dir: &Path, with: Option<&str>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(dir.join("ca.crt"))? {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(name) = with else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_file_iter(dir.join(format!("{name}.crt")))?;
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key")))?;
    Ok(builder.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?)
}
