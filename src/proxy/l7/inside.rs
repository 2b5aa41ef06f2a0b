//! Looks into a body before anything of its request reaches the upstream: at the beginning of a SOAP message, at
//! all of a form.
//!
//! Its bytes are kept, and go on unchanged. A client that asked for `100 Continue` gets it from here: its
//! body is wanted, whoever the upstream is.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, Response, request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::Answer;
use super::exchange::{Admitted, Connection};
use super::host::{Host, Inside, Rejection, Rough, Sought};
use super::methods::known_method;
use crate::protocol::{fhir, soap};

/// What has been read of a body.
#[derive(Default)]
pub(super) struct Ahead {
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// The body came to its end.
    is_all: bool,
}

impl Ahead {
    /// Whether nothing follows.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    /// What goes on next.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.data)));
        }
        self.trailers.take().map(Frame::trailers)
    }

    /// The size of the whole, with what is still to come.
    pub(super) fn before(&self, rest: &SizeHint) -> SizeHint {
        let here = self.data.len() as u64;
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower().saturating_add(here));
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(here));
        }
        whole
    }

    /// Waits for more of `body`.
    async fn more(&mut self, body: &mut Incoming) -> Result<(), BrokenOff> {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.add(data),
                Err(frame) => {
                    (self.trailers, self.is_all) = (frame.into_trailers().ok(), true);
                }
            },
            Some(Err(_why)) => return Err(BrokenOff),
            None => self.is_all = true,
        }
        self.is_all |= body.is_end_stream();
        Ok(())
    }

    fn add(&mut self, data: Bytes) {
        if self.data.is_empty() {
            self.data = data; // nearly always all that is needed
            return;
        }
        let whole = std::mem::take(&mut self.data);
        let mut whole = whole.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        whole.extend_from_slice(&data);
        self.data = whole.freeze();
    }

    /// Reads as much of `body` as it takes `look` to know what it is.
    async fn read<T, E: From<BrokenOff>>(
        &mut self,
        body: &mut Incoming,
        mut look: impl FnMut(&[u8], bool) -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        self.is_all = body.is_end_stream();
        loop {
            if let Some(found) = look(&self.data, self.is_all)? {
                return Ok(found);
            }
            self.more(body).await?;
        }
    }
}

/// The connection was lost while its body was waited for.
struct BrokenOff;

impl From<BrokenOff> for soap::Unreadable {
    fn from(_: BrokenOff) -> Self {
        Self::Lost
    }
}

impl From<BrokenOff> for fhir::Unreadable {
    fn from(_: BrokenOff) -> Self {
        Self::Lost
    }
}

/// Tells the host of a request whose downstream went away while its message was waited for.
struct Abandoned<'a, H: Host> {
    host: &'a H,
    rough: Rough<'a>,
    permit: &'a H::Permit,
}

impl<H: Host> Drop for Abandoned<'_, H> {
    fn drop(&mut self) {
        self.host.abandoned(&self.rough, self.permit);
    }
}

impl<H: Host> Connection<H> {
    /// Has what is in a body judged by as much of it as that takes, which is given back.
    pub(super) async fn look(
        &self,
        sought: Sought,
        mut admitted: Admitted<H::Permit>,
        parts: &mut request::Parts,
        body: &mut Incoming,
    ) -> Result<(Admitted<H::Permit>, Ahead), Response<Answer<H>>> {
        let mut ahead = Ahead::default();
        let method = known_method(&parts.method);
        let rough = admitted.rough(&method, &parts.headers);
        let unless_read = Abandoned { host: &*self.host, rough, permit: &admitted.permit };
        let limit = self.limits.header_timeout;
        let inside = match sought {
            Sought::Soap => {
                let read = timeout(limit, message(&mut ahead, &parts.headers, body)).await;
                Inside::Soap(read.unwrap_or(Err(soap::Unreadable::Late)))
            }
            Sought::Form => {
                let read = timeout(limit, form(&mut ahead, &parts.headers, body)).await;
                Inside::Form(read.unwrap_or(Err(fhir::Unreadable::Late)))
            }
        };
        std::mem::forget(unless_read);
        let judged = self.host.judge_inside(&admitted.head(parts), inside);
        match judged {
            Ok(permit) => {
                admitted.permit = permit;
                parts.headers.remove(EXPECT);
                Ok((admitted, ahead))
            }
            Err(denial) => Err(self.reject(&rough, Rejection::Denied(denial)).await),
        }
    }
}

/// The beginning of a SOAP message.
async fn message(
    ahead: &mut Ahead,
    head: &HeaderMap,
    body: &mut Incoming,
) -> Result<soap::Found, soap::Unreadable> {
    let mut beginning = soap::Beginning::new(head)?;
    ahead.read(body, |data, is_all| beginning.read(data, is_all)).await
}

/// All of a form.
async fn form(
    ahead: &mut Ahead,
    head: &HeaderMap,
    body: &mut Incoming,
) -> Result<Box<str>, fhir::Unreadable> {
    let whole = |data: &[u8], is_all: bool| match data {
        [] => Ok(is_all.then(Box::default)), // all parameters are in the query
        data => Ok(fhir::Form::new(head)?.read(data, is_all)?.map(Into::into)),
    };
    ahead.read(body, whole).await
}
