//! From the request's head to the head of its answer: waiting in time, and once more where that is safe.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use http::header::UPGRADE;
use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::body::{Answer, Upload};
use super::exchange::{Admitted, Connection, fail, rough};
use super::flow::Flow;
use super::host::{Head, Host, Rejection};
use super::methods::known_method;
use super::pool::{Lease, SendError};
use super::respond::Failure;

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
        admitted.permit = self.judge_again(&admitted, &parts, flow).await?;
        let fresh = self.pool.fresh(&self.host, self.host.pool_key(), spoken.into()).await;
        let mut fresh = fresh.map_err(|error| fail(flow, Failure::NotConnected(error)))?;
        if fresh.spoken() != spoken {
            return Err(fail(flow, Failure::Broken)); // the head has the other version's form
        }
        let ticket = self
            .record(&admitted, &parts, Some(&fresh))
            .await
            .inspect_err(|response| not_sent(flow, response))?;
        flow.renew(ticket, Failure::Broken.ending());
        let request = Request::from_parts(parts, upload);
        match self.answer_in_time(fresh.send(request), flow).await {
            Ok(response) => Ok((response, fresh)),
            Err(unanswered) => Err(fail(flow, unanswered.failure())),
        }
    }

    /// Policy may have changed since the first attempt, and the new connection is of today.
    async fn judge_again(
        &self,
        admitted: &Admitted<H::Permit>,
        parts: &request::Parts,
        flow: &Flow<H>,
    ) -> Result<H::Permit, Response<Answer<H>>> {
        let head = admitted.head(parts);
        let denial = match self.host.judge(&head) {
            Ok(permit) => return Ok(permit),
            Err(denial) => denial,
        };
        let known = known_method(&parts.method);
        let rough = rough(&Head { method: &known, ..head });
        let response = self.reject(&rough, Rejection::Denied(denial)).await;
        not_sent(flow, &response);
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

/// The first attempt came to nothing, and there is no second.
fn not_sent<H: Host>(flow: &Flow<H>, response: &Response<Answer<H>>) {
    flow.answer(response.status());
    flow.end(Failure::Broken.ending());
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
