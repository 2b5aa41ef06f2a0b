//! What the sidecars decide, as it happens: their trails, one short line a decision.

use serde_json::Value;

use super::evidence::{Reader, field};
use super::sidecars::Sidecars;

/// Lines at once: who puts load on the demonstration does not want to read all of it.
const MOST: usize = 20;

/// Follows the trails of the services' sidecars.
pub(super) struct Follower {
    trails: [(&'static str, Reader); 3],
}

impl Follower {
    /// From the beginning of each trail.
    pub(super) fn of(sidecars: &Sidecars) -> Self {
        let trails = [&sidecars.fhir, &sidecars.pdq, &sidecars.lab];
        Self { trails: trails.map(|running| (running.service, Reader::of(&running.trail))) }
    }

    /// What was decided since the last look.
    pub(super) fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (service, trail) in &mut self.trails {
            match trail.news() {
                Ok(records) => lines.extend(records.iter().filter_map(|r| decision(service, r))),
                Err(error) => tracing::debug!(%error, service, "trail not read"),
            }
        }
        let more = lines.len().saturating_sub(MOST);
        if more > 0 {
            lines.truncate(MOST);
            lines.push(format!("          … and {more} more"));
        }
        lines
    }
}

/// A record on a short line, if it is a decision.
fn decision(service: &str, line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok()?;
    let text = |path| field(&record, path);
    let action = text("event.action")?;
    let mark = match action {
        "request-allowed" => '✓',
        // Over HTTP, each request has a decision of its own.
        "connection-allowed" if text("network.protocol").is_none() => '✓',
        "request-denied" | "connection-denied" | "connection-refused" => '✗',
        _ => return None,
    };
    let who = text("myelin.peer").or_else(|| text("myelin.identity")).unwrap_or("nobody");
    let what = match (text("http.request.method"), text("url.path")) {
        (Some(method), Some(path)) => format!(" {method} {path}"),
        (Some(method), None) => format!(" {method}"),
        (None, _) => String::new(),
    };
    let why = text("event.reason").or_else(|| text("rule.name")).unwrap_or("");
    let time = text("@timestamp").and_then(|at| at.get(11..19)).unwrap_or("");
    Some(format!("{time}Z {mark} {service:<5}{action:<19} {who}{what} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_a_short_line_and_all_else_is_none() {
        let denied = r#"{"@timestamp":"2026-11-22T07:12:52.001Z","event":{"action":"request-denied",
            "reason":"not_listed_for_route"},"http":{"request":{"method":"POST"}},
            "url":{"path":"/fhir/Patient"},"myelin":{"peer":"billing"}}"#;
        assert_eq!(
            decision("fhir", denied).unwrap(),
            "07:12:52Z ✗ fhir request-denied      billing POST /fhir/Patient (not_listed_for_route)"
        );
        assert_eq!(decision("fhir", r#"{"event":{"action":"config-loaded"}}"#), None);
    }
}
