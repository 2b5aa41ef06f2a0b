//! The spans of a request: what the caller asked of us, and what we asked of the upstream.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::HeaderMap;
use time::OffsetDateTime;

use super::Tracer;
use super::context::{SpanId, TraceContext, TraceId};
use super::span::{Attribute, Kind, Span};
use crate::clock;

/// A request that is sampled, until nobody has to do with it any more: then its spans are sent.
#[derive(Debug)]
pub struct RequestSpan {
    tracer: Arc<Tracer>,
    trace: TraceId,
    flags: u8,
    id: SpanId,
    parent: Option<SpanId>,
    begun: OffsetDateTime,
    /// The span of what was asked of the upstream, and since when.
    upstream: OnceLock<(SpanId, OffsetDateTime)>,
    told: Mutex<Option<(RequestTold, OffsetDateTime)>>,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct RequestTold {
    /// Its method and the template of its path.
    pub name: Arc<str>,
    /// What both spans say.
    pub shared: Vec<Attribute>,
    /// What the span of who was asked says.
    pub server: Vec<Attribute>,
    /// What the span of who asks says, if anything was asked of the upstream.
    pub client: Vec<Attribute>,
    /// See [`Span::event`].
    pub event: Option<(&'static str, &'static str)>,
    /// Whether it failed by our part, and by the upstream's.
    pub failed: (bool, bool),
}

impl RequestSpan {
    /// One that begins now, in this trace: that of `context`, or a new one.
    pub(super) fn begin(
        tracer: Arc<Tracer>,
        context: Option<TraceContext>,
        trace: TraceId,
    ) -> Self {
        Self {
            tracer,
            trace,
            flags: context.map_or(0, |context| context.flags()),
            id: SpanId::random(),
            parent: context.map(|context| context.parent),
            begun: clock::now(),
            upstream: OnceLock::new(),
            told: Mutex::new(None),
        }
    }

    /// Makes the span of who was asked the parent that a request's headers name.
    pub(super) fn received(&self, headers: &mut HeaderMap) {
        TraceContext::new(self.trace, self.id, self.flags).say(headers, self.parent.is_some());
    }

    /// It goes to the upstream with these headers, which name the span of that as the parent from now on.
    pub fn sent(&self, headers: &mut HeaderMap) {
        let (id, _since) = self.upstream.get_or_init(|| (SpanId::random(), clock::now()));
        TraceContext::new(self.trace, *id, self.flags).say(headers, true);
    }

    /// It has come to an end. What is told last counts: a request may be recorded twice.
    pub fn ended(&self, told: RequestTold) {
        let mut last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((told, clock::now()));
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        // Without an end there is nothing to tell of: its connection broke off before anything was decided.
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let (told, ended) = told.unwrap_or_else(|| (RequestTold::nothing(), clock::now()));
        let RequestTold { name, shared, server, client, event, failed } = told;
        let of = |mut own: Vec<Attribute>| {
            own.extend(shared.iter().cloned());
            (Arc::clone(&name), own)
        };
        let place = (self.trace, self.parent);
        let asked = Span::new(place, Kind::Server, (self.begun, ended), of(server));
        self.tracer.take(Span {
            id: self.id,
            is_parent_remote: self.parent.is_some(),
            event,
            failed: failed.0,
            ..asked
        });
        if let Some((id, since)) = self.upstream.get() {
            let place = (self.trace, Some(self.id));
            let asking = Span::new(place, Kind::Client, (*since, ended), of(client));
            self.tracer.take(Span { id: *id, failed: failed.1, ..asking });
        }
    }
}

impl RequestTold {
    fn nothing() -> Self {
        let (name, nothing) = (Arc::from("HTTP"), Vec::new);
        let (shared, server, client) = (nothing(), nothing(), nothing());
        Self { name, shared, server, client, event: None, failed: (true, true) }
    }
}
