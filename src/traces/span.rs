//! A span that is over.

use std::sync::Arc;

use time::OffsetDateTime;

use super::context::{SpanId, TraceId};

/// Whose part something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who was asked.
    Server,
    /// Who asks.
    Client,
}

/// What a span says by a name. Never a path, a query, an id of somebody or a header: only what a record may have.
pub type Attribute = (&'static str, Value);

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a closed set.
    Label(&'static str),
    /// A name from the configuration, a template, an address of a system.
    Text(Arc<str>),
    /// A number.
    Whole(i64),
}

/// A span that is over, to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// Itself.
    pub id: SpanId,
    /// What it is below. `None`: the trace begins with it, as far as is known here.
    pub parent: Option<SpanId>,
    /// Whether that is somebody else's.
    pub is_parent_remote: bool,
    /// Whose part it is.
    pub kind: Kind,
    /// What kind of thing it was: few different ones.
    pub name: Arc<str>,
    /// When it began.
    pub begun: OffsetDateTime,
    /// When it was over.
    pub ended: OffsetDateTime,
    /// What it says of itself.
    pub attributes: Vec<Attribute>,
    /// It was denied, or would have been were policy enforced: an event of this name, and the reason.
    pub event: Option<(&'static str, &'static str)>,
    /// Whether it failed.
    pub failed: bool,
}

impl Span {
    /// A span below `parent`, or one that a trace begins with, of its `kind` and from when to when it was.
    pub fn new(
        (trace, parent): (TraceId, Option<SpanId>),
        kind: Kind,
        (begun, ended): (OffsetDateTime, OffsetDateTime),
        (name, attributes): (Arc<str>, Vec<Attribute>),
    ) -> Self {
        let id = SpanId::random();
        let (is_parent_remote, event, failed) = (false, None, false);
        Self {
            trace,
            id,
            parent,
            is_parent_remote,
            kind,
            name,
            begun,
            ended,
            attributes,
            event,
            failed,
        }
    }
}
