//! Lines of a trail for the tests of this room.

use crate::audit::read::Recorded;

/// A line with these members of `event`, others beside it, and these members of `myelin`; and what is read from it.
pub(super) fn recorded(event: &str, beside: &str, myelin: &str) -> (Vec<u8>, Recorded) {
    let comma = if myelin.is_empty() { "" } else { "," };
    let event = event.trim_start_matches('{').trim_end_matches('}');
    let line = format!(
        r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"sequence":7,{event}}},"service":{{"name":"ehr"}},"#
    ) + beside
        + &format!(r#""myelin":{{{myelin}{comma}"prev":"00"}}}}"#);
    let recorded = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (line.into_bytes(), recorded)
}
