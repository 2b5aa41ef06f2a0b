//! The life of one request, from its head to the head of its answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONTENT_TYPE, EXPECT, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, sleep_until};

use super::body::{Answer, Download, Upload};
use super::expect::Expectation;
use super::flow::{Activity, Flow, InFlight};
use super::framing::Verdicts;
use super::gate::{self, Checked};
use super::headers::{self, Length};
use super::host::{Facing, Head, Host, Rejection, Rough, Spoken, Wanted};
use super::pool::{Lease, Pool, SendError};
use super::respond::{self, Failure};
use super::upgrade::{self, Tunnel};
use crate::config::{Limits, WorkloadHttp};

/// What the exchanges of one downstream connection share.
pub(super) struct Connection<H: Host> {
    pub(super) host: Arc<H>,
    pub(super) pool: Arc<Pool<H>>,
    pub(super) limits: Limits,
    pub(super) activity: Arc<Activity>,
    /// The watcher's verdicts; `None` for HTTP/2, whose framing leaves no room for doubt.
    pub(super) verdicts: Option<Arc<Verdicts>>,
    /// Requests so far.
    pub(super) requests: AtomicU64,
    /// Where a connection goes on that was upgraded.
    pub(super) tunnel: Mutex<Option<Tunnel<H>>>,
}

/// A request that policy has let through.
struct Admitted<P> {
    number: u64,
    version: Version,
    checked: Checked,
    permit: P,
}

/// What a request needs to be sent again.
struct Spare(request::Parts);

impl<H: Host> Connection<H> {
    /// Answers one request. Never fails: what goes wrong is an answer, too.
    pub(super) async fn exchange(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer<H>>, Infallible> {
        let begun = Instant::now();
        let in_flight = self.activity.request();
        let number = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let asks_for_upgrade = request.headers().contains_key(UPGRADE);
        let response = match self.admit(number, &request).await {
            Ok(admitted) => self.pass(admitted, request, begun, in_flight).await,
            Err(response) => response,
        };
        if let Some(verdicts) = self.verdicts.as_ref().filter(|_| asks_for_upgrade) {
            verdicts.decide_upgrade(response.status() == StatusCode::SWITCHING_PROTOCOLS);
        }
        Ok(response)
    }

    /// Gate and policy.
    async fn admit(
        &self,
        number: u64,
        request: &Request<Incoming>,
    ) -> Result<Admitted<H::Permit>, Response<Answer<H>>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let version = request.version();
        let rough =
            Rough { number, version: Some(version), method: Some(method), headers: Some(headers) };
        let approved = self.verdicts.as_ref().map_or(Ok(()), |verdicts| verdicts.check(number));
        let checked = match approved.and_then(|()| gate::check(method, uri, version, headers)) {
            Ok(checked) => checked,
            Err(malformed) => {
                return Err(self.reject(&rough, Rejection::Malformed(malformed)).await);
            }
        };
        let head = head(number, version, method, uri, headers, &checked);
        match self.host.judge(&head) {
            Ok(permit) => Ok(Admitted { number, version, checked, permit }),
            Err(denial) => Err(self.reject(&rough, Rejection::Denied(denial)).await),
        }
    }

    async fn reject(
        &self,
        rough: &Rough<'_>,
        rejection: Rejection<H::Denial>,
    ) -> Response<Answer<H>> {
        self.host.rejected(rough, &rejection).await;
        respond::rejected::<H>(&rejection, self.verdicts.is_some())
    }

    /// Has the permit recorded, passes the request on and waits for the head of the answer.
    async fn pass(
        &self,
        admitted: Admitted<H::Permit>,
        mut request: Request<Incoming>,
        begun: Instant,
        in_flight: InFlight,
    ) -> Response<Answer<H>> {
        let has_body = !request.body().is_end_stream();
        let upgrade = upgrade::is_wanted(request.version(), request.headers(), has_body);
        let on_upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        parts.extensions.remove::<hyper::upgrade::OnUpgrade>();

        let wanted = wanted(self.host.facing(), admitted.version, &parts.headers, upgrade);
        let leased = self.pool.lease(&self.host, wanted).await;
        let ticket = match self.record(&admitted, &parts, leased.as_ref().ok()).await {
            Ok(ticket) => ticket,
            Err(response) => {
                leased.into_iter().for_each(|unused| unused.give_back(true));
                return response;
            }
        };
        let flow = Flow::new(Arc::clone(&self.host), begun, ticket, in_flight);
        let lease = match leased {
            Ok(lease) => lease,
            Err(error) => return fail(&flow, Failure::NotConnected(error)),
        };

        let passed_upgrade = upgrade && lease.spoken() == Spoken::Http1;
        let expectation = expectation(&parts, lease.spoken());
        let length = if has_body { Length::Open } else { Length::None };
        let facing = self.host.facing();
        headers::to_upstream(&mut parts, lease.spoken(), facing, length, passed_upgrade);
        let spare = spare(&parts, &lease, has_body);
        let upload = Upload::new(body, expectation.as_ref(), Arc::clone(&flow));
        let mut request = Request::from_parts(parts, upload);
        expectation.iter().for_each(|expectation| listen_for_100(&mut request, expectation));

        let answered = self.send(&admitted, lease, request, spare, &flow).await;
        let (response, lease) = match answered {
            Ok(answered) => answered,
            Err(response) => return response,
        };
        if let Some(expectation) = &expectation {
            expectation.answered();
        }
        let on_upgrade = on_upgrade.filter(|_| passed_upgrade);
        self.answer(response, lease, flow, expectation, on_upgrade)
    }

    async fn record(
        &self,
        admitted: &Admitted<H::Permit>,
        parts: &request::Parts,
        lease: Option<&Lease<H>>,
    ) -> Result<H::Ticket, Response<Answer<H>>> {
        let Admitted { number, version, checked, permit } = admitted;
        let (method, headers) = (&parts.method, &parts.headers);
        let head = head(*number, *version, method, &parts.uri, headers, checked);
        match self.host.record(&head, permit, lease.map(Lease::link)).await {
            Ok(ticket) => Ok(ticket),
            Err(_not_audited) => {
                let rough = Rough {
                    number: *number,
                    version: Some(*version),
                    method: Some(method),
                    headers: Some(headers),
                };
                Err(self.reject(&rough, Rejection::NotAudited).await)
            }
        }
    }

    /// Sends a request; once more on a new connection, if the old one turns out to be dead.
    async fn send(
        &self,
        admitted: &Admitted<H::Permit>,
        mut lease: Lease<H>,
        request: Request<Upload<H>>,
        spare: Option<Spare>,
        flow: &Arc<Flow<H>>,
    ) -> Result<(Response<Incoming>, Lease<H>), Response<Answer<H>>> {
        let unanswered = match self.answer_in_time(lease.send(request), flow).await {
            Ok(response) => return Ok((response, lease)),
            Err(unanswered) => unanswered,
        };
        let spoken = lease.spoken();
        let again = unanswered.again(lease.is_reused(), spare, flow);
        let again = again.map_err(|failure| fail(flow, failure))?;
        drop(lease);

        let fresh = self.pool.fresh(&self.host, self.host.pool_key(), spoken.into()).await;
        let mut fresh = fresh.map_err(|error| fail(flow, Failure::NotConnected(error)))?;
        if fresh.spoken() != spoken {
            return Err(fail(flow, Failure::Broken)); // the head has the other version's form
        }
        let (parts, upload) = again.into_parts();
        let ticket = self.record(admitted, &parts, Some(&fresh)).await.inspect_err(|response| {
            flow.answer(response.status());
            flow.end(Failure::Broken.ending());
        })?;
        flow.renew(ticket, Failure::Broken.ending());
        let request = Request::from_parts(parts, upload);
        match self.answer_in_time(fresh.send(request), flow).await {
            Ok(response) => Ok((response, fresh)),
            Err(unanswered) => Err(fail(flow, unanswered.failure())),
        }
    }

    /// Waits for the head of an answer: `response_timeout` from when the request has been sent to its
    /// end, and `idle_timeout` from whatever moved last before that.
    async fn answer_in_time(
        &self,
        answer: impl Future<Output = Result<Response<Incoming>, Box<SendError<H>>>>,
        flow: &Flow<H>,
    ) -> Result<Response<Incoming>, Unanswered<H>> {
        let overdue = || match flow.sent_at() {
            Some(sent) => (sent + self.limits.response_timeout, Failure::Late),
            None => (flow.last_moved() + self.limits.idle_timeout, Failure::Stalled),
        };
        // Never later than the answer could be due if the request is sent this moment.
        let next = || overdue().0.min(Instant::now() + self.limits.response_timeout);
        let mut answer = pin!(answer);
        let mut timer = pin!(sleep_until(next()));
        loop {
            tokio::select! {
                biased;
                answer = answer.as_mut() => return answer.map_err(Unanswered::Gone),
                () = timer.as_mut() => {
                    let (deadline, failure) = overdue();
                    if deadline <= Instant::now() {
                        return Err(Unanswered::Failed(failure));
                    }
                    timer.as_mut().reset(next());
                }
            }
        }
    }

    /// Passes the head of an answer on, its body behind it.
    fn answer(
        &self,
        mut response: Response<Incoming>,
        lease: Lease<H>,
        flow: Arc<Flow<H>>,
        expectation: Option<Arc<Expectation>>,
        on_upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Response<Answer<H>> {
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(downstream) = on_upgrade.filter(|_| is_switched) {
            let upstream = hyper::upgrade::on(&mut response);
            let (mut parts, _empty) = response.into_parts();
            headers::to_downstream(&mut parts, true);
            flow.answer(parts.status);
            let tunnel = Tunnel { downstream, upstream, flow, lease };
            *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
            return Response::from_parts(parts, Answer::Fixed(None));
        }
        if is_switched {
            return fail(&flow, Failure::Broken); // an upgrade that nobody asked for
        }
        let (mut parts, body) = response.into_parts();
        headers::to_downstream(&mut parts, false);
        flow.answer(parts.status);
        let idle_timeout = self.limits.idle_timeout;
        let download = Download::new(body, flow, expectation, lease, idle_timeout);
        Response::from_parts(parts, Answer::Passed(download))
    }
}

/// Why there is no head of an answer.
enum Unanswered<H: Host> {
    Gone(Box<SendError<H>>),
    Failed(Failure),
}

impl<H: Host> Unanswered<H> {
    fn failure(&self) -> Failure {
        match self {
            Self::Gone(_) => Failure::Broken,
            Self::Failed(failure) => *failure,
        }
    }

    /// The request as it may be sent once more: its connection was dead before it could carry it.
    fn again(
        self,
        is_reused: bool,
        spare: Option<Spare>,
        flow: &Arc<Flow<H>>,
    ) -> Result<Request<Upload<H>>, Failure> {
        match self {
            Self::Gone(gone) if is_reused => match (*gone, spare) {
                (SendError { request: Some(unsent), .. }, _) => Ok(unsent),
                (SendError { request: None, error }, Some(Spare(parts))) if is_dead(&error) => {
                    Ok(Request::from_parts(parts, Upload::none(Arc::clone(flow))))
                }
                (SendError { request: None, .. }, _) => Err(Failure::Broken),
            },
            Self::Gone(_) => Err(Failure::Broken),
            Self::Failed(failure) => Err(failure),
        }
    }
}

fn fail<H: Host>(flow: &Flow<H>, failure: Failure) -> Response<Answer<H>> {
    let response = respond::failed::<H>(failure);
    flow.answer(response.status());
    flow.end(failure.ending());
    response
}

fn head<'a>(
    number: u64,
    version: Version,
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    checked: &'a Checked,
) -> Head<'a> {
    let (host, path) = (gate::host(uri, headers), checked.path(uri));
    Head { number, version, method, host, path, headers }
}

/// Which version to ask an upstream for.
fn wanted(facing: &Facing, version: Version, headers: &HeaderMap, upgrade: bool) -> Wanted {
    let is_grpc = || {
        let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
    };
    match facing {
        Facing::Inbound { speaks: WorkloadHttp::H2c, .. } => Wanted::Http2,
        Facing::Inbound { speaks: WorkloadHttp::Auto, .. } if !upgrade && is_grpc() => {
            Wanted::Http2
        }
        Facing::Inbound { speaks: WorkloadHttp::Auto | WorkloadHttp::Http1, .. } => Wanted::Http1,
        Facing::Outbound if version == Version::HTTP_2 => Wanted::Http2,
        Facing::Outbound => Wanted::Http1,
    }
}

/// Whether the body waits for the upstream to ask for it. Only HTTP/1 has a way to ask, and only
/// between two HTTP/1 connections can the question be passed on.
fn expectation(parts: &request::Parts, upstream: Spoken) -> Option<Arc<Expectation>> {
    let is_asked = headers::has_token(&parts.headers, &EXPECT, "100-continue");
    let can_be_passed_on = parts.version == Version::HTTP_11 && upstream == Spoken::Http1;
    (is_asked && can_be_passed_on).then(Arc::default)
}

/// Has the upstream's 100 let the body go.
fn listen_for_100<B>(request: &mut Request<B>, expectation: &Arc<Expectation>) {
    let expectation = Arc::clone(expectation);
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            expectation.body_wanted();
        }
    });
}

/// Keeps what is needed to send a request again if its connection, used before, was just being
/// closed: only one without a body, and only one that may be repeated (RFC 9110, 9.2.2).
fn spare<H: Host>(parts: &request::Parts, lease: &Lease<H>, has_body: bool) -> Option<Spare> {
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let may_repeat = is_safe && !has_body && !parts.headers.contains_key(UPGRADE);
    (may_repeat && lease.is_reused()).then(|| Spare(parts.clone()))
}

/// Whether a connection ended before the head of an answer came.
fn is_dead(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let is_io = source.is_some_and(|source| source.is::<std::io::Error>());
    is_io || error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}
