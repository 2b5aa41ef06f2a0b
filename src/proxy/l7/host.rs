//! What the listener does for its HTTP exchanges, and the words that the two share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::malformed::Malformed;
use crate::config::WorkloadHttp;
use crate::outcome::Ending;
use crate::protocol::{fhir, soap};
use crate::shutdown::Shutdown;
use crate::traces::RequestSpan;

/// What the listener does for its HTTP exchanges. One per downstream connection.
///
/// The order in which an exchange calls: [`judge`](Self::judge), [`begin`](Self::begin),
/// [`judge_inside`](Self::judge_inside) if something is [`sought`](Self::sought), then
/// [`connect`](Self::connect) or a pooled connection, then [`record`](Self::record), and only then the first
/// byte goes upstream. A request for which policy does not [`stand`](Self::stands) any more by then is judged
/// and recorded once more, one that has to be sent a second time is connected once more as well. Each ticket
/// comes back through [`completed`](Self::completed) exactly once, whatever happens.
pub trait Host: Send + Sync + 'static {
    /// The transport of an upstream connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Facts about one upstream connection. The last reference drops when that connection has ended.
    type Link: Link;
    /// Policy's yes.
    type Permit: Send + Sync + 'static;
    /// Policy's no, with whatever the host wants to remember of it.
    type Denial: Send + Sync + 'static;
    /// What a request takes of its peer's limits. Dropped when the response has come to its end.
    type Running: Send + 'static;
    /// One admitted request, until its record is completed.
    type Ticket: Send + 'static;
    /// A request that asks for an upgrade, as it is judged again when it has become a tunnel.
    type Kept: Send + 'static;
    /// A tunnel that is judged again for as long as it lasts.
    type Lasting: Send + 'static;

    /// Which way the listener faces.
    fn facing(&self) -> &Facing;

    /// Whose upstream connections the requests of this connection may share.
    fn pool_key(&self) -> PoolKey;

    /// The span of a request with these headers, which it changes then; `None`: it is not traced. Asked for before
    /// anything is judged, so that what is turned away has one, too.
    fn span(&self, _headers: &mut HeaderMap) -> Option<Arc<RequestSpan>> {
        None
    }

    /// Policy. Pure and quick.
    ///
    /// # Errors
    ///
    /// The request may not pass: 403.
    fn judge(&self, head: &Head<'_>) -> Result<Self::Permit, Self::Denial>;

    /// A request that policy lets through begins. What is costly to ask of policy may wait until here.
    ///
    /// # Errors
    ///
    /// The peer has as many as it may: 429. Or the request may not pass: 403.
    fn begin(
        &self,
        head: &Head<'_>,
        permit: Self::Permit,
    ) -> Result<(Self::Permit, Self::Running), Self::Denial>;

    /// When it may be worth while to try again, for one that was denied by [`begin`](Self::begin).
    fn retry_after(&self, denial: &Self::Denial) -> Option<Duration>;

    /// The status with which the request is answered here, if no upstream is to be asked.
    fn respond(&self, permit: &Self::Permit) -> Option<StatusCode>;

    /// Request `number` by the name that records know it by, for whom it was denied to.
    fn request_id(&self, number: u64) -> Option<HeaderValue>;

    /// What of its body has to be judged, too, before a request that `judge` let through may pass.
    fn sought(&self, _permit: &Self::Permit) -> Option<Sought> {
        None
    }

    /// Policy of the whole request, once it is known what is in its body, or why that cannot be told. Pure
    /// and quick.
    ///
    /// # Errors
    ///
    /// The request may not pass: 403.
    fn judge_inside(&self, head: &Head<'_>, _inside: Inside) -> Result<Self::Permit, Self::Denial> {
        self.judge(head)
    }

    /// Whether policy's yes still is one, right before the first byte goes up over `link`. Quick: nothing is
    /// judged, it is only asked whether anything has changed.
    fn stands(&self, permit: &Self::Permit, link: &Self::Link) -> bool;

    /// Policy for a request that it let through before, with what is known of its body.
    ///
    /// # Errors
    ///
    /// The request may not pass any more: 403.
    fn judge_again(
        &self,
        head: &Head<'_>,
        before: &Self::Permit,
    ) -> Result<Again<Self::Permit>, Self::Denial>;

    /// A request that `judge` let through was given up by its downstream before what is sought had come.
    fn abandoned(&self, _rough: &Rough<'_>, _permit: &Self::Permit) {}

    /// Opens an upstream connection. Bounded by the host.
    fn connect(
        &self,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Connected<Self::Io, Self::Link>, ConnectError>> + Send;

    /// Puts the permit on record before the first byte goes upstream. `link` is `None` when no
    /// upstream could be had; the request then ends without having been sent.
    fn record(
        &self,
        head: &Head<'_>,
        permit: &Self::Permit,
        link: Option<&Self::Link>,
    ) -> impl Future<Output = Result<Self::Ticket, NotAudited>> + Send;

    /// A request was not let through: to be counted and recorded.
    fn rejected(
        &self,
        rough: &Rough<'_>,
        rejection: &Rejection<Self::Denial>,
    ) -> impl Future<Output = ()> + Send;

    /// What is kept of a request that `judge` let through, should it become a tunnel.
    fn keep(&self, head: &Head<'_>, permit: &Self::Permit) -> Self::Kept;

    /// The downstream connection goes on as a tunnel over `link`: nobody knows its messages, so an end
    /// that waits for one would not come. What is returned is dropped with the tunnel; `None`: it may not
    /// begin any more.
    fn tunnelled(
        &self,
        link: &Self::Link,
        kept: Self::Kept,
    ) -> impl Future<Output = Option<Self::Lasting>> + Send;

    /// The exchange has ended, or broke off.
    fn completed(&self, ticket: Self::Ticket, end: RequestEnd);
}

/// Policy's second yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again<P> {
    /// As the request was recorded.
    AsBefore(P),
    /// By another rule, or another version of it: to be recorded once more.
    Otherwise(P),
}

/// What policy has to know of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// What a SOAP message begins with.
    Soap,
    /// The parameters of a search: all of a form.
    Form,
}

/// What is in a body, or why that cannot be told. A form may name patients: no `Debug`.
#[derive(Clone)]
pub enum Inside {
    /// The beginning of a SOAP message.
    Soap(Result<soap::Found, soap::Unreadable>),
    /// A form as it came in.
    Form(Result<Box<str>, fhir::Unreadable>),
}

/// Facts about one upstream connection, and its right to be used.
pub trait Link: Send + Sync + 'static {
    /// Whether it may carry one more request. Quick: it is asked for each.
    fn is_good(&self) -> bool;

    /// Its own end, if it may end before the listener: drained, it takes no more requests and is closed
    /// when it has none; cut, it is closed at once.
    fn end(&self) -> Option<&Shutdown>;
}

/// Plaintext to the workload needs no right.
impl Link for () {
    fn is_good(&self) -> bool {
        true
    }

    fn end(&self) -> Option<&Shutdown> {
        None
    }
}

/// Which way a listener faces, with what its requests need to be told.
#[derive(Debug, Clone)]
pub enum Facing {
    /// Peers come in; the workload is upstream.
    Inbound {
        /// What the workload speaks.
        speaks: WorkloadHttp,
        /// Value of `x-forwarded-client-cert`. `None` (permissive plaintext): the header is removed.
        client_cert: Option<HeaderValue>,
        /// The peer's IP address, to be appended to `x-forwarded-for`. `None` if it has none.
        client_ip: Option<HeaderValue>,
        /// Value of `x-forwarded-proto`: `https`, or `http` for permissive plaintext.
        proto: HeaderValue,
    },
    /// The workload comes in; a peer is upstream.
    Outbound,
}

/// A request that the gate let through, as policy and record see it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Counts requests on their connection from 1.
    pub number: u64,
    /// As the downstream spoke it.
    pub version: http::Version,
    /// The method. To policy it is told as it is, to the record as [`known_method`] has it.
    ///
    /// [`known_method`]: super::known_method
    pub method: &'a Method,
    /// Host and port as the request names them; `None` only for HTTP/1.0.
    pub host: Option<&'a str>,
    /// Decoded once; no dot segments, no empty ones. `*` for the server as a whole.
    pub path: &'a str,
    /// What comes after `?`, as it came in.
    pub query: Option<&'a str>,
    /// The headers as they came in; when a request is sent a second time, as they went out.
    pub headers: &'a HeaderMap,
    /// Its span, if it is traced.
    pub span: Option<&'a Arc<RequestSpan>>,
}

/// What is known of a request that was not let through. Of a malformed one that may be nothing.
#[derive(Debug, Clone, Copy)]
pub struct Rough<'a> {
    /// Counts requests on their connection from 1.
    pub number: u64,
    /// As the downstream spoke it.
    pub version: Option<http::Version>,
    /// The method, if it could be read, as [`known_method`](super::known_method) has it.
    pub method: Option<&'a Method>,
    /// The headers, if they could be read.
    pub headers: Option<&'a HeaderMap>,
    /// Its span, if it is traced.
    pub span: Option<&'a Arc<RequestSpan>>,
}

/// Why a request was not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection<D> {
    /// It is ambiguous or breaks HTTP. 400 in most cases.
    Malformed(Malformed),
    /// Policy said no, 403; or the peer has as many as it may, 429.
    Denied(D),
    /// It could not be put on record. 503.
    NotAudited,
}

/// The permit could not be put on record, and may not be used without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request could not be put on record")]
pub struct NotAudited;

/// The HTTP version to ask an upstream for. What was negotiated decides in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The HTTP version of an upstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A new upstream connection.
#[derive(Debug)]
pub struct Connected<Io, Link> {
    /// The transport.
    pub io: Io,
    /// What ALPN gave, or what was wanted where there is no ALPN.
    pub spoken: Spoken,
    /// The host's own facts.
    pub link: Arc<Link>,
}

/// Why there is no upstream connection. The host logs the details; the downstream hears a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("upstream cannot be reached")]
    Unreachable,
    /// Not within `connect_timeout`.
    #[error("upstream did not answer in time")]
    Timeout,
    /// Mutual TLS came to nothing.
    #[error("upstream was refused, or refused us")]
    Refused,
    /// All endpoints are set aside.
    #[error("no upstream is healthy")]
    NoneHealthy,
    /// As many upstream connections are in use as may be open, and none came free in time.
    #[error("too many upstream connections")]
    Exhausted,
    /// The connection could not be put on record, and may not be used without.
    #[error("the upstream connection could not be put on record")]
    NotAudited,
}

/// Requests with equal keys may share upstream connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The workload, or the peer.
    pub name: Arc<str>,
    /// Grows when connections made before must not be used any more.
    pub generation: u64,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestEnd {
    /// What the downstream was answered; `None` if it was not.
    pub status: Option<StatusCode>,
    /// Body bytes from downstream to upstream; of a tunnel, all of its bytes.
    pub sent_up: u64,
    /// Body bytes from upstream to downstream.
    pub sent_down: u64,
    /// From the request's head to the last byte of the response.
    pub duration: Duration,
    /// [`Ending::Finished`], or what broke it off.
    pub ending: Ending,
}

impl From<Spoken> for Wanted {
    fn from(spoken: Spoken) -> Self {
        match spoken {
            Spoken::Http1 => Self::Http1,
            Spoken::Http2 => Self::Http2,
        }
    }
}
