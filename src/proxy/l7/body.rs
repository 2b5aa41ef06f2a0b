//! The bodies that pass: streamed frame by frame, counted, timed, never collected.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::expect::{Expectation, Held, Release};
use super::flow::Flow;
use super::headers;
use super::host::Host;
use super::inside::Ahead;
use super::pool::Lease;
use crate::outcome::Ending;

/// Why a body does not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The side that it comes from broke off.
    #[error("body broken off")]
    Broken(#[source] hyper::Error),
    /// Nothing moved for `idle_timeout`.
    #[error("nothing moved for {0:?}")]
    Idle(Duration),
    /// The upstream gave its answer without asking for the body.
    #[error("body not wanted")]
    Unwanted,
}

/// A request's body on its way up.
pub(super) struct Upload<H: Host> {
    /// What was read of it before it was let through.
    ahead: Option<Ahead>,
    body: Option<Incoming>,
    held: Option<Held>,
    flow: Arc<Flow<H>>,
}

impl<H: Host> Upload<H> {
    /// Passes `ahead` and `body` on, as soon as `expectation` (if there is one) says that it is wanted.
    pub(super) fn new(
        body: Incoming,
        ahead: Option<Ahead>,
        expectation: Option<&Arc<Expectation>>,
        flow: Arc<Flow<H>>,
    ) -> Self {
        let held = expectation.map(|expectation| Held::new(Arc::clone(expectation)));
        let body = (!ahead.as_ref().is_some_and(Ahead::is_all)).then_some(body);
        let upload = Self { ahead, body, held, flow };
        if upload.is_end_stream() {
            upload.flow.request_sent();
        }
        upload
    }

    /// No body at all.
    pub(super) fn none(flow: Arc<Flow<H>>) -> Self {
        flow.request_sent();
        Self { ahead: None, body: None, held: None, flow }
    }
}

impl<H: Host> Body for Upload<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(held) = &mut this.held {
            match ready!(held.poll_released(cx)) {
                Release::Send => this.held = None,
                Release::Abandon => return Poll::Ready(Some(Err(BodyError::Unwanted))),
            }
        }
        let next = match (this.ahead.as_mut().and_then(Ahead::next), &mut this.body) {
            (Some(frame), _) => Some(Ok(frame)),
            (None, Some(body)) => ready!(Pin::new(body).poll_frame(cx)),
            (None, None) => None,
        };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                this.flow.end(broken_upload(&error));
                return Poll::Ready(Some(Err(BodyError::Broken(error))));
            }
            None => {
                this.flow.request_sent();
                return Poll::Ready(None);
            }
        };
        this.flow.moved_up(frame.data_ref().map_or(0, Bytes::len));
        if frame.is_trailers() || this.is_end_stream() {
            this.flow.request_sent();
        }
        Poll::Ready(Some(Ok(without_forbidden_trailers(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.as_ref().is_none_or(Ahead::is_empty)
            && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        self.ahead.as_ref().map_or(rest, |ahead| ahead.before(&rest))
    }
}

/// A response's body on its way down.
pub(super) enum Answer<H: Host> {
    /// Our own words, or none.
    Fixed(Option<Bytes>),
    /// The upstream's.
    Passed(Download<H>),
}

/// An upstream's body on its way down.
pub(super) struct Download<H: Host> {
    body: Incoming,
    flow: Arc<Flow<H>>,
    expectation: Option<Arc<Expectation>>,
    /// The connection it comes from, until it has come to its end.
    lease: Option<Lease<H>>,
    idle: Idle,
}

impl<H: Host> Download<H> {
    pub(super) fn new(
        body: Incoming,
        flow: Arc<Flow<H>>,
        expectation: Option<Arc<Expectation>>,
        lease: Lease<H>,
        idle_timeout: Duration,
    ) -> Self {
        let idle = Idle { limit: idle_timeout, sleep: None };
        let mut download = Self { body, flow, expectation, lease: Some(lease), idle };
        if download.body.is_end_stream() {
            download.finish();
        }
        download
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                self.flow.end(Ending::UpstreamLost);
                return Poll::Ready(Some(Err(BodyError::Broken(error))));
            }
            Poll::Ready(None) => {
                self.finish();
                return Poll::Ready(None);
            }
            Poll::Pending => {
                let flow = &self.flow;
                ready!(self.idle.poll(cx, || flow.last_moved()));
                self.flow.end(Ending::Idle);
                return Poll::Ready(Some(Err(BodyError::Idle(self.idle.limit))));
            }
        };
        self.flow.moved_down(frame.data_ref().map_or(0, Bytes::len));
        if frame.is_trailers() || self.body.is_end_stream() {
            self.finish();
        }
        Poll::Ready(Some(Ok(without_forbidden_trailers(frame))))
    }

    /// The body has come to its end, and its connection may be used again.
    fn finish(&mut self) {
        self.flow.finished();
        if let Some(expectation) = self.expectation.take() {
            expectation.over();
        }
        if let Some(lease) = self.lease.take() {
            lease.give_back(self.flow.is_request_sent());
        }
    }
}

impl<H: Host> Drop for Download<H> {
    fn drop(&mut self) {
        if let Some(expectation) = &self.expectation {
            expectation.over();
        }
    }
}

impl<H: Host> Body for Answer<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Fixed(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Passed(download) => download.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Fixed(text) => text.is_none(),
            Self::Passed(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Fixed(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Self::Passed(download) => download.body.size_hint(),
        }
    }
}

/// Resolves when nothing has moved for `limit`. Its timer is only made, and only set anew, when there
/// was something to wait for: a frame costs no more than the time it is noted at.
struct Idle {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>, last_moved: impl Fn() -> Instant) -> Poll<()> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(last_moved() + limit)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            let deadline = last_moved() + limit;
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Whether the downstream broke off, or broke HTTP.
fn broken_upload(error: &hyper::Error) -> Ending {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let source = std::error::Error::source(error);
    let kind = source.and_then(|source| source.downcast_ref()).map(std::io::Error::kind);
    match kind {
        Some(InvalidData | InvalidInput) => Ending::ProtocolError,
        Some(_) | None => Ending::DownstreamLost,
    }
}

/// Trailers may not say what heads alone may (RFC 9110, 6.5.1).
fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
