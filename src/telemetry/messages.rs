//! Counts HL7 v2 messages: by types that the standard names, never by what a stranger writes.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, SharedString};

use super::metrics::{ACKNOWLEDGEMENTS, MESSAGE_DURATION, MESSAGES, Metrics};

/// Types of messages (HL7 table 0076) that are label values; all others count as `other`.
pub(super) const KINDS: [&str; 32] = [
    "ACK", "ADT", "BAR", "DFT", "MCF", "MDM", "MFK", "MFN", "OMG", "OML", "OMP", "ORL", "ORM",
    "ORR", "ORU", "OUL", "PEX", "PPR", "QBP", "QCN", "QRY", "RAS", "RDE", "RDS", "REF", "RGV",
    "RPA", "RSP", "SIU", "SRM", "VXU", "other",
];
/// Acknowledgement codes (HL7 table 0008); `none` for messages that got none, or none that can be read.
pub(super) const CODES: [&str; 7] = ["AA", "AE", "AR", "CA", "CE", "CR", "none"];

/// One listener's handles. Those of types that never come are not made.
pub(super) struct MessageMetrics {
    allowed: [OnceLock<Counter>; KINDS.len()],
    denied: [OnceLock<Counter>; KINDS.len()],
    acknowledged: [OnceLock<Counter>; CODES.len()],
    duration: OnceLock<Histogram>,
    metrics: Metrics,
    labels: [(&'static str, SharedString); 2],
}

impl MessageMetrics {
    pub(super) fn new(metrics: &Metrics, labels: &[(&'static str, SharedString); 2]) -> Self {
        Self {
            allowed: [const { OnceLock::new() }; KINDS.len()],
            denied: [const { OnceLock::new() }; KINDS.len()],
            acknowledged: [const { OnceLock::new() }; CODES.len()],
            duration: OnceLock::new(),
            metrics: metrics.clone(),
            labels: labels.clone(),
        }
    }

    pub(super) fn judged(&self, code: &[u8], allowed: bool) {
        let (handles, decision) = match allowed {
            true => (&self.allowed, "allowed"),
            false => (&self.denied, "denied"),
        };
        let at = KINDS.iter().position(|kind| kind.as_bytes() == code).unwrap_or(KINDS.len() - 1);
        let (Some(handle), Some(kind)) = (handles.get(at), KINDS.get(at)) else { return };
        let more = [("kind", *kind), ("decision", decision)];
        handle.get_or_init(|| self.counter(MESSAGES, &more)).increment(1);
    }

    pub(super) fn acknowledged(&self, code: Option<&str>, took: Duration) {
        let last = CODES.len() - 1;
        let at = CODES.iter().position(|known| Some(*known) == code).unwrap_or(last);
        let (Some(handle), Some(label)) = (self.acknowledged.get(at), CODES.get(at)) else {
            return;
        };
        handle.get_or_init(|| self.counter(ACKNOWLEDGEMENTS, &[("code", *label)])).increment(1);
        if at != last {
            let made = || self.metrics.histogram(MESSAGE_DURATION, &self.labels);
            self.duration.get_or_init(made).record(took.as_secs_f64());
        }
    }

    fn counter(&self, name: &'static str, more: &[(&'static str, &'static str)]) -> Counter {
        let mut labels = self.labels.to_vec();
        labels.extend(more.iter().map(|(key, value)| (*key, SharedString::from(*value))));
        self.metrics.counter(name, &labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ListenerName;
    use crate::outcome::Direction;

    #[test]
    fn a_type_that_the_standard_does_not_name_is_another() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics.listener(&ListenerName::new("adt"), Direction::Inbound);

        listener.message(b"ADT", true);
        listener.message(b"DOE^JOHN", false);
        listener.acknowledged(Some("AA"), Duration::from_millis(3));
        listener.acknowledged(None, Duration::ZERO);

        let text = metrics.render();
        let inbound = r#"listener="adt",direction="inbound""#;
        for line in [
            format!(r#"myelin_messages_total{{{inbound},kind="ADT",decision="allowed"}} 1"#),
            format!(r#"myelin_messages_total{{{inbound},kind="other",decision="denied"}} 1"#),
            format!(r#"myelin_acknowledgements_total{{{inbound},code="AA"}} 1"#),
            format!(r#"myelin_acknowledgements_total{{{inbound},code="none"}} 1"#),
            format!(r#"myelin_message_duration_seconds_count{{{inbound}}} 1"#),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("DOE"));
    }
}
