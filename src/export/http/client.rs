//! A connection that is kept, and one request after the other on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Fuse, FusedFuture as _};
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::clock;
use crate::export::dial::Dialer;
use crate::export::failure::Failure;
use crate::live::Generation;
use crate::outcome::Undelivered;

/// From a request to the end of its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const ANSWER: usize = 4 << 20;
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const HTTP2: &[&[u8]] = &[b"h2"];

/// What is asked. The body is cheap to clone.
pub(in crate::export) struct Request {
    pub(in crate::export) url: Uri,
    pub(in crate::export) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::export) body: Bytes,
}

/// What is answered.
pub(in crate::export) struct Answer {
    pub(in crate::export) status: StatusCode,
    pub(in crate::export) headers: HeaderMap,
    pub(in crate::export) body: Bytes,
    pub(in crate::export) trailers: HeaderMap,
}

/// Headers that go along, read anew for each connection. Secret.
pub(in crate::export) type Secrets =
    Arc<dyn Fn() -> Result<Vec<(HeaderName, HeaderValue)>, Failure> + Send + Sync>;

/// Asks one receiver.
pub(in crate::export) struct Client {
    pub(in crate::export) dialer: Dialer,
    /// HTTP/2 instead of HTTP/1.1.
    pub(in crate::export) is_http2: bool,
    pub(in crate::export) secrets: Option<Secrets>,
    pub(in crate::export) line: Option<Line>,
}

/// A connection.
pub(in crate::export) struct Line {
    sender: Sender,
    /// Moves its bytes; has to be polled for that, and its end is met in several places.
    driver: Fuse<Driver>,
    secrets: Vec<(HeaderName, HeaderValue)>,
    generation: Generation,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Asks, on the connection that there is or on a new one.
    pub(in crate::export) async fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let asking = timeout(LIMIT, Box::pin(self.try_to_ask(request))).await;
        let answer =
            asking.unwrap_or_else(|_elapsed| Err(Failure::too_slow("no whole answer", LIMIT)));
        answer.inspect_err(|_broken| self.hang_up())
    }

    async fn try_to_ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        // One that was idle may have been ended meanwhile, which is nobody's failure.
        if let Some(line) = &mut self.line
            && !line.is_usable().await
        {
            self.line = None;
        }
        let line = match &mut self.line {
            Some(line) => line,
            line @ None => {
                line.insert(Line::make(&self.dialer, self.is_http2, self.secrets.as_ref()).await?)
            }
        };
        let answer = line.ask(request, self.is_http2).await;
        // The receiver may end the connection with its answer.
        if line.driver.is_terminated() {
            self.line = None;
        }
        answer
    }

    /// Ends the connection.
    pub(in crate::export) fn hang_up(&mut self) {
        self.line = None;
    }

    /// Resolves when the connection has ended.
    pub(in crate::export) async fn lost(&mut self) -> Failure {
        let Some(line) = &mut self.line else { return std::future::pending().await };
        (&mut line.driver).await;
        self.line = None;
        Failure::ended()
    }

    /// The generation of our key material that the connection was made with.
    pub(in crate::export) fn generation(&self) -> Option<Generation> {
        self.line.as_ref().map(|line| line.generation)
    }
}

impl Line {
    async fn make(
        dialer: &Dialer,
        is_http2: bool,
        secrets: Option<&Secrets>,
    ) -> Result<Self, Failure> {
        let secrets = match secrets.cloned() {
            Some(read) => {
                spawn_blocking(move || read()).await.map_err(|_ended| Failure::defect())??
            }
            None => Vec::new(),
        };
        let dialed = dialer.dial(if is_http2 { HTTP2 } else { HTTP1 }).await?;
        let (io, generation) = (TokioIo::new(dialed.stream), dialed.generation);
        let (sender, driver): (_, Driver) = if is_http2 {
            let shaken = http2::handshake(TokioExecutor::new(), io).await;
            let (sender, driver) = shaken.map_err(|error| broken(&error))?;
            (Sender::Http2(sender), Box::pin(async { drop(driver.await) }))
        } else {
            let shaken = http1::handshake(io).await;
            let (sender, driver) = shaken.map_err(|error| broken(&error))?;
            (Sender::Http1(sender), Box::pin(async { drop(driver.await) }))
        };
        Ok(Self { sender, driver: driver.fuse(), secrets, generation })
    }

    /// Whether the receiver still has it open, as far as that has come through.
    async fn is_usable(&mut self) -> bool {
        let ready = async {
            match &mut self.sender {
                Sender::Http1(sender) => sender.ready().await.is_ok(),
                Sender::Http2(sender) => sender.ready().await.is_ok(),
            }
        };
        tokio::select! {
            biased;
            () = &mut self.driver => false,
            is_ready = ready => is_ready,
        }
    }

    async fn ask(&mut self, request: &Request, is_http2: bool) -> Result<Answer, Failure> {
        let request = self.request(request, is_http2)?;
        let sender = &mut self.sender;
        let asking = async {
            let answer = match sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::Http2(sender) => sender.send_request(request).await,
            };
            whole(answer.map_err(|error| broken(&error))?).await
        };
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            // What was read before its end is still to be had.
            () = &mut self.driver => asking.await,
        }
    }

    fn request(
        &self,
        Request { url, headers, body }: &Request,
        is_http2: bool,
    ) -> Result<http::Request<Full<Bytes>>, Failure> {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let request = http::Request::builder().method(Method::POST);
        let mut request = match is_http2 {
            true => request.uri(url.clone()), // its host is `:authority`
            false => request.uri(path).header(HOST, host),
        }
        .header(USER_AGENT, concat!("myelin/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body.clone()))
        .map_err(|error| {
            Failure::new(Undelivered::Unprepared, format!("it cannot be asked: {error}"))
        })?;
        for (name, value) in headers.iter().chain(&self.secrets) {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}

async fn whole(response: http::Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let what = format!("the receiver answers with more than {ANSWER} bytes");
            return Failure::new(Undelivered::BadAnswer, what);
        }
        Failure::new(Undelivered::Lost, format!("its answer broke off: {error}"))
    })?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
}

fn broken(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        let what = format!("it does not answer in HTTP ({error}): is the port right?");
        return Failure::new(Undelivered::BadAnswer, what);
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref() {
            return Failure::broken(io);
        }
        cause = inner.source();
    }
    Failure::new(Undelivered::Lost, format!("the connection broke off: {error}"))
}

impl Answer {
    /// For how long it asks not to be tried again (RFC 9110, 10.2.3).
    pub(in crate::export) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = time::OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
        Duration::try_from(until - clock::now()).ok()
    }
}
