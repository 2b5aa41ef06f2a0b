//! The life of one request, from its head to the head of its answer.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{EXPECT, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::body::{Answer, Download, Upload};
use super::discard::discard;
use super::expect::Expectation;
use super::flow::{Activity, Flow, Started};
use super::framing::Verdicts;
use super::gate::{self, Checked};
use super::headers::{self, Length};
use super::host::{Facing, Head, Host, Rejection, Rough, Spoken, Wanted};
use super::inside::Ahead;
use super::methods::known_method;
use super::pool::{Lease, Pool};
use super::respond::{self, Failure};
use super::sending::spare;
use super::upgrade::{self, Tunnel};
use crate::config::{Limits, WorkloadHttp};
use crate::traces::RequestSpan;

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
    /// Answers so far that have no body.
    pub(super) bodyless: AtomicU64,
    /// Where a connection goes on that was upgraded.
    pub(super) tunnel: Mutex<Option<Tunnel<H>>>,
}

/// A request that policy has let through.
pub(super) struct Admitted<P> {
    number: u64,
    version: Version,
    checked: Checked,
    span: Option<Arc<RequestSpan>>,
    pub(super) permit: P,
}

impl<P> Admitted<P> {
    /// The request as policy sees it, in the form that `parts` has by now.
    pub(super) fn head<'a>(&'a self, parts: &'a request::Parts) -> Head<'a> {
        let Self { number, version, checked, span, permit: _ } = self;
        let head = head(*number, *version, &parts.method, &parts.uri, &parts.headers, checked);
        Head { span: span.as_ref(), ..head }
    }

    /// What is told of the request if it is turned away after all.
    pub(super) fn rough<'a>(&'a self, method: &'a Method, headers: &'a HeaderMap) -> Rough<'a> {
        let (version, span) = (Some(self.version), self.span.as_ref());
        Rough { number: self.number, version, method: Some(method), headers: Some(headers), span }
    }
}

/// A request in the form that it came in.
struct Arrived {
    parts: request::Parts,
    body: Incoming,
    /// What has been read of the body already.
    ahead: Option<Ahead>,
    has_body: bool,
    /// Where its connection goes on, if it asks for an upgrade.
    on_upgrade: Option<OnUpgrade>,
}

/// What it takes to go on as a tunnel.
struct Switch<H: Host> {
    downstream: OnUpgrade,
    kept: H::Kept,
}

impl<H: Host> Connection<H> {
    /// Answers one request. Never fails: what goes wrong is an answer, too.
    pub(super) async fn exchange(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Answer<H>>, Infallible> {
        let begun = Instant::now();
        let in_flight = self.activity.request();
        let number = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let asks_for_upgrade = request.headers().contains_key(UPGRADE);
        let is_grpc = respond::is_grpc(request.headers());
        let span = self.host.span(request.headers_mut());
        let mut response = match self.admit(number, &request, span).await {
            Ok((admitted, running)) => {
                let started = Started { begun, in_flight, running };
                self.pass(admitted, request, started).await
            }
            Err(response) => {
                self.let_go(request.into_body()).await;
                response
            }
        };
        if matches!(response.body(), Answer::Fixed(_)) && is_failure(response.status()) {
            response = respond::addressed(response, self.host.request_id(number), is_grpc);
        }
        if response.body().is_end_stream() {
            self.bodyless.fetch_add(1, Ordering::AcqRel);
        }
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
        span: Option<Arc<RequestSpan>>,
    ) -> Result<(Admitted<H::Permit>, H::Running), Response<Answer<H>>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let version = request.version();
        let known = known_method(method);
        let rough = Rough {
            number,
            version: Some(version),
            method: Some(&known),
            headers: Some(headers),
            span: span.as_ref(),
        };
        let approved = self.verdicts.as_ref().map_or(Ok(()), |verdicts| verdicts.check(number));
        let checked = match approved.and_then(|()| gate::check(method, uri, version, headers)) {
            Ok(checked) => checked,
            Err(malformed) => {
                return Err(self.reject(&rough, Rejection::Malformed(malformed)).await);
            }
        };
        let head = head(number, version, method, uri, headers, &checked);
        let head = Head { span: span.as_ref(), ..head };
        let judged = self.host.judge(&head);
        match judged.and_then(|permit| self.host.begin(&head, permit)) {
            Ok((permit, running)) => {
                Ok((Admitted { number, version, checked, span, permit }, running))
            }
            Err(denial) => Err(self.reject(&rough, Rejection::Denied(denial)).await),
        }
    }

    /// Nobody will read this body. Over HTTP/1 it is hyper's to skip or to close, and is not asked for.
    async fn let_go(&self, body: Incoming) {
        if self.verdicts.is_none() {
            discard(body).await;
        }
    }

    pub(super) async fn reject(
        &self,
        rough: &Rough<'_>,
        rejection: Rejection<H::Denial>,
    ) -> Response<Answer<H>> {
        self.host.rejected(rough, &rejection).await;
        let retry_after = match &rejection {
            Rejection::Denied(denial) => self.host.retry_after(denial),
            Rejection::Malformed(_) | Rejection::NotAudited => None,
        };
        match retry_after {
            Some(after) => respond::limited(after),
            None => respond::rejected::<H>(&rejection, self.verdicts.is_some()),
        }
    }

    /// Finds an upstream connection and has the permit recorded.
    async fn pass(
        &self,
        mut admitted: Admitted<H::Permit>,
        mut request: Request<Incoming>,
        started: Started<H::Running>,
    ) -> Response<Answer<H>> {
        let has_body = !request.body().is_end_stream();
        let upgrade = upgrade::is_wanted(request.version(), request.headers(), has_body);
        let on_upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, mut body) = request.into_parts();
        parts.extensions.remove::<OnUpgrade>();

        if let Some(status) = self.host.respond(&admitted.permit) {
            self.let_go(body).await;
            return match self.record(&admitted, &parts, None).await {
                Ok(ticket) => {
                    let flow = Flow::new(Arc::clone(&self.host), started, ticket);
                    answer_here(&flow, status)
                }
                Err(response) => response,
            };
        }
        let mut ahead = None;
        if let Some(sought) = self.host.sought(&admitted.permit) {
            let looked = Box::pin(self.look(sought, admitted, &mut parts, &mut body)).await;
            let (judged, read) = match looked {
                Ok(looked) => looked,
                Err(response) => return response,
            };
            (admitted, ahead) = (judged, Some(read));
        }
        let wanted = wanted(self.host.facing(), admitted.version, &parts.headers, upgrade);
        let leased = self.pool.lease(&self.host, wanted).await;
        let ticket = match self.record(&admitted, &parts, leased.as_ref().ok()).await {
            Ok(ticket) => ticket,
            Err(response) => {
                leased.into_iter().for_each(|unused| unused.give_back(true));
                return response;
            }
        };
        let flow = Flow::new(Arc::clone(&self.host), started, ticket);
        match leased {
            Ok(lease) => match self.confirm(admitted, &parts, &lease, &flow).await {
                Ok(admitted) => {
                    let arrived = Arrived { parts, body, ahead, has_body, on_upgrade };
                    self.carry(admitted, arrived, lease, flow).await
                }
                Err(response) => {
                    lease.give_back(true);
                    response
                }
            },
            Err(error) => fail(&flow, Failure::NotConnected(error)),
        }
    }

    /// Passes the request on and waits for the head of the answer.
    async fn carry(
        &self,
        admitted: Admitted<H::Permit>,
        arrived: Arrived,
        lease: Lease<H>,
        flow: Arc<Flow<H>>,
    ) -> Response<Answer<H>> {
        let Arrived { mut parts, body, ahead, has_body, on_upgrade } = arrived;
        let on_upgrade = on_upgrade.filter(|_| lease.spoken() == Spoken::Http1);
        let switch = on_upgrade.map(|downstream| {
            let kept = self.host.keep(&admitted.head(&parts), &admitted.permit);
            Switch { downstream, kept }
        });
        let expectation = expectation(&parts, lease.spoken());
        let length = if has_body { Length::Open } else { Length::None };
        let (facing, upgrade) = (self.host.facing(), switch.is_some());
        headers::to_upstream(&mut parts, lease.spoken(), facing, length, upgrade);
        admitted.span.iter().for_each(|span| span.sent(&mut parts.headers));
        let spare = spare(&parts, &lease, has_body);
        let upload = Upload::new(body, ahead, expectation.as_ref(), Arc::clone(&flow));
        let mut request = Request::from_parts(parts, upload);
        expectation.iter().for_each(|expectation| listen_for_100(&mut request, expectation));

        let answered = self.send(admitted, lease, request, spare, &flow).await;
        let (response, lease) = match answered {
            Ok(answered) => answered,
            Err(response) => return response,
        };
        if let Some(expectation) = &expectation {
            expectation.answered();
        }
        self.answer(response, lease, flow, expectation, switch)
    }

    pub(super) async fn record(
        &self,
        admitted: &Admitted<H::Permit>,
        parts: &request::Parts,
        lease: Option<&Lease<H>>,
    ) -> Result<H::Ticket, Response<Answer<H>>> {
        let method = known_method(&parts.method);
        let head = Head { method: &method, ..admitted.head(parts) };
        let recorded = self.host.record(&head, &admitted.permit, lease.map(Lease::link)).await;
        match recorded {
            Ok(ticket) => Ok(ticket),
            Err(_not_audited) => Err(self.reject(&rough(&head), Rejection::NotAudited).await),
        }
    }

    /// Passes the head of an answer on, its body behind it.
    fn answer(
        &self,
        mut response: Response<Incoming>,
        lease: Lease<H>,
        flow: Arc<Flow<H>>,
        expectation: Option<Arc<Expectation>>,
        switch: Option<Switch<H>>,
    ) -> Response<Answer<H>> {
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(Switch { downstream, kept }) = switch.filter(|_| is_switched) {
            let upstream = hyper::upgrade::on(&mut response);
            let (mut parts, _empty) = response.into_parts();
            headers::to_downstream(&mut parts, true);
            flow.answer(parts.status);
            let tunnel = Tunnel { downstream, upstream, flow, lease, kept };
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

pub(super) fn fail<H: Host>(flow: &Flow<H>, failure: Failure) -> Response<Answer<H>> {
    // A request that broke off took its upstream's connection along.
    let is_ours = failure == Failure::Broken && flow.is_malformed();
    let failure = if is_ours { Failure::Malformed } else { failure };
    let response = respond::failed::<H>(failure);
    flow.answer(response.status());
    flow.end(failure.ending());
    response
}

/// The answer to a request that no upstream is asked.
pub(super) fn answer_here<H: Host>(flow: &Flow<H>, status: StatusCode) -> Response<Answer<H>> {
    flow.request_sent();
    flow.answer(status);
    flow.finished();
    respond::bare(status)
}

fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn head<'a>(
    number: u64,
    version: Version,
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    checked: &'a Checked,
) -> Head<'a> {
    let (host, path, query) = (gate::host(uri, headers), checked.path(uri), uri.query());
    Head { number, version, method, host, path, query, headers, span: None }
}

/// What is told of a request that is turned away after the gate.
pub(super) fn rough<'a>(head: &Head<'a>) -> Rough<'a> {
    let Head { number, version, method, headers, span, .. } = *head;
    Rough { number, version: Some(version), method: Some(method), headers: Some(headers), span }
}

/// Which version to ask an upstream for.
fn wanted(facing: &Facing, version: Version, headers: &HeaderMap, upgrade: bool) -> Wanted {
    match facing {
        Facing::Inbound { speaks: WorkloadHttp::H2c, .. } => Wanted::Http2,
        Facing::Inbound { speaks: WorkloadHttp::Auto, .. }
            if !upgrade && respond::is_grpc(headers) =>
        {
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
