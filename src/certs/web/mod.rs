//! A small HTTP client for asking authorities: HTTP/1.1 (RFC 9112), over TLS unless the address is our own
//! machine or what is fetched is signed.
//!
//! A connection serves one request. Each step has a bound, so a caller need not guard against a server that
//! is slow, endless or hostile. Errors name the URL and never what was sent or answered: tokens and keys
//! travel here.

mod error;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

pub(super) use trust::WebTrust;

use super::enrol::{EnrolError, EnrolFailure};
use error::Server;

/// Redirects to the same origin are followed so often (RFC 7030, 3.2.1).
const REDIRECTS: u32 = 3;
/// As many headers as an answer may have.
const HEADERS: usize = 64;

/// A server, and how it is known.
#[derive(Clone)]
pub(super) struct Web {
    base: Uri,
    tls: Option<Arc<ClientConfig>>,
    trust: WebTrust,
    limits: Limits,
}

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first step to the last byte of the answer.
    pub(super) time: Duration,
    /// The longest answer, in bytes.
    pub(super) body: usize,
}

impl Limits {
    /// For certificates and tokens.
    pub(super) const ANSWER: Self = Self { time: Duration::from_secs(10), body: 4 << 20 };
    /// For revocation lists: those of large authorities reach tens of megabytes.
    pub(super) const LIST: Self = Self { time: Duration::from_secs(30), body: 128 << 20 };
}

/// One request. No `Debug`: headers and body may be secret.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Is added to the path of the base.
    pub(super) path: &'a str,
    /// Besides `Host`, `Accept` and `User-Agent`.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl<'a> Call<'a> {
    /// A request without a body.
    pub(super) fn get(path: &'a str) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method: Method::GET, path, headers, body }
    }
}

/// What was answered, whatever its status. No `Debug`: it may be secret.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Web {
    /// Asks below `base`, and presents `client` if it is asked for a certificate. Touches nothing yet.
    ///
    /// # Errors
    ///
    /// `base` and `trust` do not fit, or none of the trusted certificates can be an authority's.
    pub(super) fn new(
        base: Uri,
        trust: WebTrust,
        client: Option<Arc<CertifiedKey>>,
    ) -> Result<Self, EnrolError> {
        let asked = Server::new(&base);
        if base.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            let at = base.host().unwrap_or_default().to_owned(); // without the password
            let what = "has to be a URL with a host and without a user name".to_owned();
            return Err(EnrolError { at, kind: EnrolFailure::Unprepared, what });
        }
        let is_https = base.scheme() == Some(&Scheme::HTTPS);
        let tls =
            match (trust.client_config(client).map_err(|what| asked.unprepared(what))?, is_https) {
                (Some(_), false) => return Err(asked.unprepared("has to be an https URL")),
                (None, true) => {
                    return Err(
                        asked.unprepared("is an https URL, and nothing says whom to trust there")
                    );
                }
                (tls, _) => tls,
            };
        Ok(Self { base, tls, trust, limits: Limits::ANSWER })
    }

    /// The same, with other bounds.
    pub(super) fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sends `call` and reads the whole answer. Redirects within the same origin are followed.
    ///
    /// # Errors
    ///
    /// Nobody answers, not in time, not in HTTP or at too great a length; the server is not the one that is
    /// trusted, or does not trust us; it redirects to elsewhere.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, EnrolError> {
        let deadline = Instant::now() + self.limits.time;
        let mut url = self.url(call.path)?;
        for _ in 0..=REDIRECTS {
            let asked = Server { url: url.clone(), limits: self.limits };
            let answer = self.once(&asked, &call, deadline).await?;
            match redirected(&asked, &call.method, &answer)? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        let asked = Server { url, limits: self.limits };
        Err(asked.bad_answer(format!("is redirected more than {REDIRECTS} times")))
    }

    /// An error about the answer to a request for `path`.
    pub(super) fn error(
        &self,
        path: &str,
        kind: EnrolFailure,
        what: impl Into<String>,
    ) -> EnrolError {
        let url = self.url(path).unwrap_or_else(|_| self.base.clone());
        EnrolError { at: url.to_string(), kind, what: what.into() }
    }

    fn url(&self, path: &str) -> Result<Uri, EnrolError> {
        if path.is_empty() {
            return Ok(self.base.clone());
        }
        let mut parts = self.base.clone().into_parts();
        let joined = format!("{}{path}", self.base.path().trim_end_matches('/'));
        let asked = Server::new(&self.base);
        let bad = || asked.unprepared(format!("cannot be followed by the path {path:?}"));
        parts.path_and_query = Some(joined.parse().map_err(|_invalid| bad())?);
        Uri::from_parts(parts).map_err(|_invalid| bad())
    }

    async fn once(
        &self,
        asked: &Server,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<Answer, EnrolError> {
        let request = request(asked, call)?;
        let connecting = timeout_at(deadline, self.connect(asked));
        let tcp = connecting.await.map_err(|_elapsed| asked.too_slow("no connection"))??;
        let Some(config) = &self.tls else {
            return exchange(asked, tcp, request, deadline).await;
        };
        let name = asked.server_name()?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        let shaken = timeout_at(deadline, handshake).await;
        let tls = shaken.map_err(|_elapsed| asked.too_slow("no end of the TLS handshake"))?;
        let tls = tls.map_err(|error| asked.tls_failed(&error, &self.trust))?;
        exchange(asked, tls, request, deadline).await
    }

    async fn connect(&self, asked: &Server) -> Result<TcpStream, EnrolError> {
        let tcp = TcpStream::connect((asked.host(), asked.port())).await;
        let tcp = tcp.map_err(|error| asked.unreachable(&error))?;
        if matches!(self.trust, WebTrust::PlainLoopback) {
            let peer = tcp.peer_addr().map_err(|error| asked.unreachable(&error))?;
            if !peer.ip().is_loopback() {
                return Err(asked.unprepared(format!(
                    "is {} and not this machine: without TLS nothing is sent there; use https",
                    peer.ip()
                )));
            }
        }
        let _only_slower = tcp.set_nodelay(true);
        Ok(tcp)
    }
}

/// Without the client's key.
impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("base", &self.base).field("trust", &self.trust).finish()
    }
}

fn request(asked: &Server, call: &Call<'_>) -> Result<Request<Full<Bytes>>, EnrolError> {
    let url = &asked.url;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(path)
        .header(HOST, host)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("myelin/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(call.body.clone()))
        .map_err(|error| asked.unprepared(format!("cannot be asked: {error}")))?;
    request.headers_mut().extend(call.headers.clone());
    Ok(request)
}

/// One request and its answer on `stream`, until `deadline`.
async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin>(
    asked: &Server,
    stream: S,
    request: Request<Full<Bytes>>,
    deadline: Instant,
) -> Result<Answer, EnrolError> {
    let talking = async {
        let handshake = http1::Builder::new().max_headers(HEADERS).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|e| asked.broken(&e))?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(|e| asked.broken(&e))?;
            whole(asked, response).await
        };
        tokio::pin!(answering);
        tokio::select! {
            answer = &mut answering => answer,
            // What was read before its end is still to be had.
            _ended = connection => answering.await,
        }
    };
    timeout_at(deadline, talking).await.map_err(|_elapsed| asked.too_slow("no whole answer"))?
}

async fn whole(asked: &Server, response: Response<Incoming>) -> Result<Answer, EnrolError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, asked.limits.body).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            asked.bad_answer(format!("answers with more than {} bytes", asked.limits.body))
        } else {
            asked.broken(error.as_ref())
        }
    })?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
}

/// Where `answer` sends us, if it does. Secrets are not carried to another origin.
fn redirected(asked: &Server, method: &Method, answer: &Answer) -> Result<Option<Uri>, EnrolError> {
    let follows = match answer.status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::GET,
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    let location = answer.headers.get(LOCATION).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(location) = location else {
        return Err(asked.bad_answer("redirects without saying where to".to_owned()));
    };
    let next = asked.resolve(location);
    let same = next.filter(|next| {
        next.scheme() == asked.url.scheme() && next.authority() == asked.url.authority()
    });
    same.map(Some).ok_or_else(|| {
        asked.bad_answer(format!("redirects to {location:?}, which is not followed: configure it"))
    })
}

#[cfg(test)]
mod tests;
