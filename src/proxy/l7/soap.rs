//! Looks at the beginning of a SOAP message before anything of its request reaches the upstream.
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
use super::host::{Host, Rejection, Rough};
use super::methods::known_method;
use crate::protocol::soap::{Beginning, Found, Unreadable};

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
    async fn more(&mut self, body: &mut Incoming) -> Result<(), Unreadable> {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.add(data),
                Err(frame) => {
                    (self.trailers, self.is_all) = (frame.into_trailers().ok(), true);
                }
            },
            Some(Err(_broken_off)) => return Err(Unreadable::Lost),
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

    /// Reads as much of `body` as it takes to know what it is.
    async fn read(&mut self, head: &HeaderMap, body: &mut Incoming) -> Result<Found, Unreadable> {
        let mut beginning = Beginning::new(head)?;
        self.is_all = body.is_end_stream();
        loop {
            if let Some(found) = beginning.read(&self.data, self.is_all)? {
                return Ok(found);
            }
            self.more(body).await?;
        }
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
    /// Has a message judged by its beginning, which is given back.
    pub(super) async fn look(
        &self,
        mut admitted: Admitted<H::Permit>,
        parts: &mut request::Parts,
        body: &mut Incoming,
    ) -> Result<(Admitted<H::Permit>, Ahead), Response<Answer<H>>> {
        let mut ahead = Ahead::default();
        let method = known_method(&parts.method);
        let rough = admitted.rough(&method, &parts.headers);
        let unless_read = Abandoned { host: &*self.host, rough, permit: &admitted.permit };
        let read = timeout(self.limits.header_timeout, ahead.read(&parts.headers, body)).await;
        std::mem::forget(unless_read);
        let message = read.unwrap_or(Err(Unreadable::Late));
        let judged = self.host.judge_soap(&admitted.head(parts), message);
        match judged {
            Ok(permit) => admitted.permit = permit,
            Err(denial) => return Err(self.reject(&rough, Rejection::Denied(denial)).await),
        }
        parts.headers.remove(EXPECT);
        Ok((admitted, ahead))
    }
}
