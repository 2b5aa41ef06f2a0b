//! Spans of connections, requests, messages and associations, as OpenTelemetry has them, joined to the trace that a
//! request brings along (W3C Trace Context).
//!
//! A recorder of our own, and no SDK: a sidecar without `telemetry.traces` has no [`Tracer`], and asking for one is all
//! that a request pays. What is sampled is collected by whoever knows it, and put into a bounded queue when it is over;
//! `export` takes it from there. Nobody waits for the queue: what finds no room is counted and gone.

mod context;
mod request;
mod span;

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::mpsc;

pub use self::context::{SpanId, TraceContext, TraceId};
pub use self::request::{RequestSpan, RequestTold};
pub use self::span::{Attribute, Kind, Span, Value};
use crate::config::Sample;
use crate::telemetry::metrics::TraceMetrics;

/// Spans that wait to be sent, at most.
pub const QUEUE: usize = 2048;

/// Decides what is traced, and takes the spans.
#[derive(Debug)]
pub struct Tracer {
    sample: Sample,
    queue: mpsc::Sender<Span>,
    metrics: TraceMetrics,
}

/// The spans of a [`Tracer`], to be sent.
pub type Spans = mpsc::Receiver<Span>;

/// Who has sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The workload, or a peer that is listed: the trace that it names decides.
    Known,
    /// Somebody who is let in without being listed. What it says of a trace is passed on, and decides nothing.
    Unknown,
}

/// The trace of a connection, which is named as the connection is in records: on both sides the same.
#[derive(Debug, Clone)]
pub struct ConnectionTrace {
    tracer: Arc<Tracer>,
    /// The trace.
    pub trace: TraceId,
    /// The connection's span, which its messages and associations are below.
    pub span: SpanId,
}

impl Tracer {
    /// One that samples so, and what it will have to send.
    pub fn new(sample: Sample, metrics: TraceMetrics) -> (Arc<Self>, Spans) {
        let (queue, spans) = mpsc::channel(QUEUE);
        (Arc::new(Self { sample, queue, metrics }), spans)
    }

    /// The span of a request with these headers, which name it as the parent from then on. `None`: it is not sampled, and
    /// its headers are as they were.
    pub fn request(
        self: &Arc<Self>,
        headers: &mut HeaderMap,
        caller: Caller,
    ) -> Option<Arc<RequestSpan>> {
        if self.is_over() {
            return None;
        }
        let context = TraceContext::of(headers);
        let known = context.filter(|_| caller == Caller::Known);
        let (is_sampled, new) = match self.sample {
            Sample::Parent => (known.as_ref().is_some_and(TraceContext::is_sampled), None),
            Sample::Share(share) => {
                let new = known.is_none().then(TraceId::random);
                let trace = known.map(|context| context.trace).or(new);
                (trace.is_some_and(|trace| share.has(trace.dice())), new)
            }
        };
        if !is_sampled {
            return None;
        }
        let trace = context.map(|context| context.trace).or(new)?;
        let span = RequestSpan::begin(Arc::clone(self), context, trace);
        span.received(headers);
        Some(Arc::new(span))
    }

    /// The trace of the connection with this id; `None`: it is not sampled. Both ends of a connection that sample the same
    /// share decide the same.
    pub fn connection(self: &Arc<Self>, id: [u8; 16], kind: Kind) -> Option<ConnectionTrace> {
        let trace = TraceId(id);
        match self.sample {
            Sample::Share(share) if !self.is_over() && share.has(trace.dice()) => {
                let span = SpanId::of_connection(trace, kind);
                Some(ConnectionTrace { tracer: Arc::clone(self), trace, span })
            }
            Sample::Share(_) | Sample::Parent => None,
        }
    }

    /// Whether a reload has put another in its place, or none: nobody would see its spans.
    fn is_over(&self) -> bool {
        self.queue.is_closed()
    }

    /// Takes a span that is over, if there is room.
    fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.metrics.dropped(1);
        }
    }
}

impl ConnectionTrace {
    /// Whether nobody would see its spans any more.
    pub fn is_over(&self) -> bool {
        self.tracer.is_over()
    }

    /// Takes the connection's span, or one below it.
    pub fn take(&self, span: Span) {
        self.tracer.take(span);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::HeaderValue;

    use super::*;
    use crate::config::Share;
    use crate::telemetry::metrics::Metrics;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn tracer(sample: Sample) -> (Arc<Tracer>, Spans, Metrics) {
        let metrics = Metrics::new().unwrap();
        let (tracer, spans) = Tracer::new(sample, metrics.traces());
        (tracer, spans, metrics)
    }

    fn share(share: f64) -> Sample {
        Sample::Share(Share::new(share).unwrap())
    }

    fn with(parent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(parent).unwrap());
        headers.insert("tracestate", HeaderValue::from_static("a=1"));
        headers
    }

    #[test]
    fn a_request_goes_on_in_the_trace_that_it_names_below_our_spans() {
        let (tracer, mut spans, _metrics) = tracer(share(1.0));
        let mut headers = with(&format!("00-{ID}-00f067aa0ba902b7-00"));

        let span = tracer.request(&mut headers, Caller::Known).unwrap();
        let received = TraceContext::of(&headers).unwrap();
        span.sent(&mut headers);
        let sent = TraceContext::of(&headers).unwrap();
        drop(span);

        let (server, client) = (spans.try_recv().unwrap(), spans.try_recv().unwrap());
        assert_eq!(server.trace.to_string(), ID);
        assert_eq!(server.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!((server.kind, client.kind), (Kind::Server, Kind::Client));
        assert_eq!((received.parent, client.parent), (server.id, Some(server.id)));
        assert_eq!((sent.parent, sent.trace), (client.id, client.trace));
        assert!(sent.is_sampled() && headers.contains_key("tracestate"));
    }

    #[test]
    fn what_names_no_trace_begins_one_and_brings_no_state_into_it() {
        let (tracer, mut spans, _metrics) = tracer(share(1.0));
        let mut headers = with("00-00000000000000000000000000000000-00f067aa0ba902b7-01");

        drop(tracer.request(&mut headers, Caller::Known).unwrap());

        let span = spans.try_recv().unwrap();
        assert_eq!((TraceContext::of(&headers).unwrap().trace, span.parent), (span.trace, None));
        assert!(!headers.contains_key("tracestate"));
        assert!(spans.try_recv().is_err(), "nothing was sent on");
    }

    #[test]
    fn what_is_not_sampled_is_left_as_it_was() {
        let (tracer, _spans, _metrics) = tracer(share(0.0));
        let before = with(&format!("00-{ID}-00f067aa0ba902b7-01"));
        let mut headers = before.clone();

        assert!(tracer.request(&mut headers, Caller::Known).is_none());
        assert!(tracer.connection([255; 16], Kind::Server).is_none());
        assert_eq!(headers, before);
    }

    #[test]
    fn the_parent_decides_if_it_is_to_and_is_known() {
        let (tracer, _spans, _metrics) = tracer(Sample::Parent);
        let is_traced = |flags: &str, caller| {
            let mut headers = with(&format!("00-{ID}-00f067aa0ba902b7-{flags}"));
            tracer.request(&mut headers, caller).is_some()
        };

        assert!(is_traced("01", Caller::Known) && is_traced("03", Caller::Known));
        assert!(!is_traced("00", Caller::Known) && !is_traced("01", Caller::Unknown));
        assert!(tracer.request(&mut HeaderMap::new(), Caller::Known).is_none());
    }

    #[test]
    fn who_is_not_known_cannot_choose_to_be_sampled() {
        let (tracer, _spans, _metrics) = tracer(share(0.01));
        // The id that comes last is sampled whatever the share.
        let first = format!("00-{}-00f067aa0ba902b7-01", "f".repeat(32));
        let count = |caller| {
            let asked = (0..2000).filter(|_| tracer.request(&mut with(&first), caller).is_some());
            asked.count()
        };

        assert_eq!(count(Caller::Known), 2000);
        assert!(count(Caller::Unknown) < 100);
    }

    #[test]
    fn a_share_is_about_that_share_of_all() {
        let (tracer, _spans, _metrics) = tracer(share(0.1));
        let sampled = |_: &u32| tracer.request(&mut HeaderMap::new(), Caller::Known).is_some();

        let count = (0..10_000).filter(sampled).count();

        assert!((700..1300).contains(&count), "{count}");
    }

    #[test]
    fn both_ends_of_a_connection_are_in_its_trace_with_spans_of_their_own() {
        let (tracer, _spans, _metrics) = tracer(share(1.0));
        let trace = |kind| tracer.connection([7; 16], kind).unwrap();

        let (there, here) = (trace(Kind::Server), trace(Kind::Client));

        assert_eq!((there.trace, there.trace), (here.trace, TraceId([7; 16])));
        let spans = BTreeSet::from([there.span.0, here.span.0, trace(Kind::Client).span.0]);
        assert_eq!(spans.len(), 2);
    }

    #[test]
    fn what_a_tracer_has_begun_that_is_not_there_any_more_is_left_as_it_is() {
        let (tracer, spans, metrics) = tracer(share(1.0));
        let connection = tracer.connection([7; 16], Kind::Server).unwrap();
        let before = with(&format!("00-{ID}-00f067aa0ba902b7-01"));
        let mut headers = before.clone();

        drop(spans);

        assert!(tracer.request(&mut headers, Caller::Known).is_none());
        assert!(tracer.connection([7; 16], Kind::Server).is_none() && connection.is_over());
        assert_eq!(headers, before);
        assert!(metrics.render().contains("myelin_trace_spans_dropped_total 0"));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_gone() {
        let (tracer, spans, metrics) = tracer(share(1.0));

        for _ in 0..QUEUE + 3 {
            drop(tracer.request(&mut HeaderMap::new(), Caller::Known));
        }

        assert_eq!(spans.len(), QUEUE);
        assert!(metrics.render().contains("myelin_trace_spans_dropped_total 3"));
    }
}
