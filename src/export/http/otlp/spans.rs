//! The messages of OTLP that traces take (opentelemetry-proto 1.x: trace, collector/trace).

use super::message::{KeyValue, Resource, Scope, Value};
use super::nanoseconds;
use crate::traces::{Kind, Span, Value as Told};

/// The semantic conventions by which attributes are named.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.27.0";
/// Flags of a span: it is sampled, and whether its parent is elsewhere is said.
const FLAGS: u32 = 0x101;
/// Its parent is elsewhere.
const REMOTE: u32 = 0x200;

/// `ExportTraceServiceRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportSpans {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// `opentelemetry.proto.trace.v1.ResourceSpans`
#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// `ScopeSpans`
#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// `Span`
#[derive(Clone, PartialEq, prost::Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

/// `Span.Event`
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<KeyValue>,
}

/// `Status`
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// To put these spans.
pub(super) fn message(spans: &[Span], resource: &Resource) -> ExportSpans {
    let spans = spans.iter().map(of).collect();
    let (scope, schema_url) = (Some(Scope::of("myelin")), SCHEMA.to_owned());
    let scope_spans = vec![ScopeSpans { scope, spans, schema_url }];
    ExportSpans {
        resource_spans: vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }],
    }
}

fn of(span: &Span) -> SpanMessage {
    let value = |value: &Told| match value {
        Told::Label(label) => Value::Text((*label).to_owned()),
        Told::Text(text) => Value::Text(text.to_string()),
        Told::Whole(number) => Value::Whole(*number),
    };
    let event = |(name, reason): (&str, &str)| Event {
        time_unix_nano: nanoseconds(span.ended),
        name: name.to_owned(),
        attributes: vec![Value::Text(reason.to_owned()).of("myelin.reason")],
    };
    SpanMessage {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span.parent.map(|id| id.0.to_vec()).unwrap_or_default(),
        name: span.name.to_string(),
        kind: match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: nanoseconds(span.begun),
        end_time_unix_nano: nanoseconds(span.ended),
        attributes: span.attributes.iter().map(|(key, told)| value(told).of(key)).collect(),
        events: span.event.map(event).into_iter().collect(),
        // Unset, or Error: Ok is for whoever knows better than we do (Trace API, "Set Status").
        status: span.failed.then_some(Status { code: 2 }),
        flags: if span.is_parent_remote { FLAGS | REMOTE } else { FLAGS },
    }
}
