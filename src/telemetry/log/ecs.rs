//! Log lines for programs: one JSON object each, in Elastic Common Schema names as the trail has them.
//!
//! `@timestamp`, `log.level`, `message` and `ecs.version` stand as the specification of ECS logging wants them. What a line says
//! beside its message is below `myelin`, where no name means something else to ECS.

use std::fmt;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The version of ECS whose names are used.
const VERSION: &str = "8.11.0";
/// What libraries log by another way says of itself in fields of this name.
const FOREIGN: &str = "log.";

pub(super) struct Ecs;

impl<S, N> FormatEvent<S, N> for Ecs
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said { logger: event.metadata().target().to_owned(), ..Said::default() };
        event.record(&mut said);
        writeln!(writer, "{}", said.line(*event.metadata().level()))
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    logger: String,
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn line(self, level: tracing::Level) -> Value {
        #[expect(
            clippy::disallowed_methods,
            reason = "a line is of the moment in which it is written; rights do not hang on it"
        )]
        let now = OffsetDateTime::from(std::time::SystemTime::now());
        let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
        let mut line = json!({
            "@timestamp": now.format(&Rfc3339).unwrap_or_default(),
            "log.level": level.as_str().to_ascii_lowercase(),
            "message": self.message,
            "ecs.version": VERSION,
            "log.logger": self.logger,
            "process.pid": std::process::id(),
        });
        if let (Some(line), false) = (line.as_object_mut(), self.fields.is_empty()) {
            line.insert("myelin".to_owned(), Value::Object(self.fields));
        }
        line
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("log.target", Value::String(text)) => self.logger = text,
            (name, _) if name.starts_with(FOREIGN) => {}
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_whatever_is_said_in_it() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines =
            tracing_subscriber::fmt::layer().event_format(Ecs).with_writer(move || writer.clone());

        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(peer = "a\n\u{1b}[2J\"", count = 3, ok = true, listener = %"db", "it\nhappened");
        });

        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.matches('\n').count(), 1, "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        let line: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&line["log.level"], &line["message"]),
            (&json!("warn"), &json!("it\nhappened"))
        );
        assert_eq!(
            line["myelin"],
            json!({ "peer": "a\n\u{1b}[2J\"", "count": 3, "ok": true, "listener": "db" })
        );
        assert!(line["@timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert_eq!(line["log.logger"], module_path!());
    }
}
