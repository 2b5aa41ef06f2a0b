//! From the request's head to the head of its answer: waiting in time, and once more where that is safe.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use http::header::UPGRADE;
use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::body::{Answer, Upload};
use super::exchange::{Admitted, Connection, answer_here, fail, rough};
use super::flow::Flow;
use super::host::{Again, ConnectError, Head, Host, Link, Rejection};
use super::methods::known_method;
use super::pool::{Lease, SendError};
use super::respond::Failure;
use crate::outcome::Ending;

/// What a request needs to be sent again.
pub(super) struct Spare(request::Parts);

impl<H: Host> Connection<H> {
    /// Sends a request; once more on a new connection, if the old one turns out to be dead.
    pub(super) async fn send(
        &self,
        mut admitted: Admitted<H::Permit>,
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

        let (parts, upload) = again.into_parts();
        let (Again::AsBefore(permit) | Again::Otherwise(permit)) =
            self.judge_again(&admitted, &parts, flow, Failure::Broken.ending()).await?;
        admitted.permit = permit;
        let fresh = self.pool.fresh((&self.host, &admitted.permit), spoken.into()).await;
        let mut fresh = fresh.map_err(|error| fail(flow, Failure::NotConnected(error)))?;
        if fresh.spoken() != spoken {
            return Err(fail(flow, Failure::Broken)); // the head has the other version's form
        }
        let ticket = self
            .record(&admitted, &parts, Some(&fresh))
            .await
            .inspect_err(|response| not_sent(flow, response, Failure::Broken.ending()))?;
        flow.renew(ticket, Failure::Broken.ending());
        self.confirm(admitted, &parts, &fresh, flow).await?;
        let request = Request::from_parts(parts, upload);
        match self.answer_in_time(fresh.send(request), flow).await {
            Ok(response) => Ok((response, fresh)),
            Err(unanswered) => Err(fail(flow, unanswered.failure())),
        }
    }

    /// The last look before the first byte goes up: connecting and recording may have taken a while, and what
    /// policy said before may not be what it says now.
    pub(super) async fn confirm(
        &self,
        mut admitted: Admitted<H::Permit>,
        parts: &request::Parts,
        lease: &Lease<H>,
        flow: &Flow<H>,
    ) -> Result<Admitted<H::Permit>, Response<Answer<H>>> {
        while !self.host.stands(&admitted.permit, lease.link()) {
            if !lease.link().is_good() {
                return Err(fail(flow, Failure::NotConnected(ConnectError::Refused)));
            }
            match self.judge_again(&admitted, parts, flow, Ending::Denied).await? {
                Again::AsBefore(permit) => admitted.permit = permit,
                Again::Otherwise(permit) => {
                    admitted.permit = permit;
                    let recorded = self.record(&admitted, parts, Some(lease)).await;
                    let ticket = recorded
                        .inspect_err(|response| not_sent(flow, response, Ending::Denied))?;
                    flow.renew(ticket, Ending::Denied);
                }
            }
            if let Some(status) = self.host.respond(&admitted.permit) {
                return Err(answer_here(flow, status));
            }
        }
        Ok(admitted)
    }

    /// Policy may have changed since the request was judged.
    async fn judge_again(
        &self,
        admitted: &Admitted<H::Permit>,
        parts: &request::Parts,
        flow: &Flow<H>,
        ending: Ending,
    ) -> Result<Again<H::Permit>, Response<Answer<H>>> {
        let head = admitted.head(parts);
        let denial = match self.host.judge_again(&head, &admitted.permit) {
            Ok(again) => return Ok(again),
            Err(denial) => denial,
        };
        let known = known_method(&parts.method);
        let rough = rough(&Head { method: &known, ..head });
        let response = self.reject(&rough, Rejection::Denied(denial)).await;
        not_sent(flow, &response, ending);
        Err(response)
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

/// The request was admitted, and comes to nothing.
fn not_sent<H: Host>(flow: &Flow<H>, response: &Response<Answer<H>>, ending: Ending) {
    flow.answer(response.status());
    flow.end(ending);
}

/// Keeps what is needed to send a request again if its connection, used before, was just being
/// closed: only one without a body, and only one that may be repeated (RFC 9110, 9.2.2).
pub(super) fn spare<H: Host>(
    parts: &request::Parts,
    lease: &Lease<H>,
    has_body: bool,
) -> Option<Spare> {
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
