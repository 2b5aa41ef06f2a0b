//! One question to a running sidecar, over HTTP/1.1.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Door;
use crate::shutdown::Shutdown;

/// To be connected, and heard.
const CONNECT: Duration = Duration::from_secs(5);
/// For a whole page, and for the beginning of an answer that goes on.
const PAGE: Duration = Duration::from_secs(5);
/// For the answer to what changes something: a reload may have to wait for key material from far away.
const CHANGE: Duration = Duration::from_secs(130);
/// Largest answer: metrics of a thousand peers are a tenth of it.
const LARGEST: usize = 16 << 20;

/// What was answered.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) body: String,
}

impl Answer {
    /// What a page says in JSON.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self, door: &Door) -> Result<T, Failure> {
        let lost = |why: String| Failure::Lost { door: door.to_string(), why };
        if self.status != StatusCode::OK {
            return Err(lost(self.body.trim_end().to_owned()));
        }
        serde_json::from_str(&self.body).map_err(|error| lost(error.to_string()))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Failure {
    /// There is nobody.
    #[error("nobody answers on {door}: is the sidecar running, and with this configuration?")]
    Nobody {
        door: String,
        #[source]
        source: io::Error,
    },
    /// The kernel does not let us.
    #[error("{door} is for the sidecar's user and root alone: run this command as one of them")]
    Forbidden { door: String },
    /// It went away, or was too slow.
    #[error("{door} gave no answer that can be read: {why}")]
    Lost { door: String, why: String },
}

/// Asks once, and reads the whole answer.
pub(in crate::cli) async fn ask(
    door: &Door,
    method: Method,
    path: &str,
    body: &str,
) -> Result<Answer, Failure> {
    let lost = |why: String| Failure::Lost { door: door.to_string(), why };
    let asked = async {
        let response = send(door, method.clone(), path, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| lost(error.to_string()))?.to_bytes();
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    let limit = if method == Method::GET { PAGE } else { CHANGE };
    within(limit, door, asked).await
}

/// Asks once, and hands over each line as it comes, however long that takes once it has begun. When this returns, the other end has nothing more to say.
pub(in crate::cli) async fn follow(
    door: &Door,
    path: &str,
    mut line: impl FnMut(&str),
) -> Result<StatusCode, Failure> {
    let response = within(PAGE, door, send(door, Method::POST, path, "")).await?;
    let (status, mut body) = (response.status(), response.into_body());
    let mut held = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Failure::Lost { door: door.to_string(), why: error.to_string() })?;
        held.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            line(String::from_utf8_lossy(&held.split_to(end + 1)).trim_end());
        }
    }
    Ok(status)
}

async fn within<T>(
    limit: Duration,
    door: &Door,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, asked).await.map_err(|_late| Failure::Lost {
        door: door.to_string(),
        why: format!("not within {}s", limit.as_secs()),
    })?
}

async fn send(
    door: &Door,
    method: Method,
    path: &str,
    body: &str,
) -> Result<Response<Incoming>, Failure> {
    let unreached = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => Failure::Forbidden { door: door.to_string() },
        _ => Failure::Nobody { door: door.to_string(), source },
    };
    let late = |_late| unreached(io::ErrorKind::TimedOut.into());
    match door {
        Door::Socket(socket) => {
            let stream = timeout(CONNECT, UnixStream::connect(socket)).await.map_err(late)?;
            exchange(door, stream.map_err(unreached)?, method, path, body).await
        }
        Door::Admin(address) => {
            let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)?;
            exchange(door, stream.map_err(unreached)?, method, path, body).await
        }
    }
}

async fn exchange(
    door: &Door,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    body: &str,
) -> Result<Response<Incoming>, Failure> {
    let lost = |why: String| Failure::Lost { door: door.to_string(), why };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, HeaderValue::from_static("localhost"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    let request = request.map_err(|error| lost(error.to_string()))?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| lost(error.to_string()))?;
    // It ends with the answer, or with the command; what goes wrong is told by the answer.
    Shutdown::default().spawn(async move {
        let _ended = connection.await;
    });
    sender.send_request(request).await.map_err(|error| lost(error.to_string()))
}
