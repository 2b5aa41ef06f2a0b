//! One look at a sidecar, laid out for a terminal. Everything that somebody else chose is made harmless.

use time::{Duration, OffsetDateTime};

use super::Seen;
use super::rates::Counters;
use crate::cli::audit::Look;
use crate::cli::console::harmless;
use crate::cli::control::{Certificate, Facts, Listener, Moment, rough};
use crate::clock;
use crate::report::Count;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// An authority that ends in less than this needs somebody.
const NEAR: Duration = Duration::days(30);
/// Denials of so long ago are shown.
const RECENT: Duration = Duration::minutes(15);
/// And so many of them.
const DENIALS: usize = 10;

/// How it looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) is_coloured: bool,
}

impl Page {
    /// All of it, line by line.
    pub(super) fn lines(self, seen: &Seen, before: &Counters) -> Vec<String> {
        let now = clock::now();
        let mut lines = self.head(seen, now);
        lines.extend(self.needs_somebody(&seen.facts));
        lines.extend(self.listeners(seen, before));
        lines.extend(self.peers(&seen.facts, now));
        lines.extend(self.rules(&seen.facts));
        lines.extend(self.denials(seen, now));
        lines
    }

    fn head(self, seen: &Seen, now: OffsetDateTime) -> Vec<String> {
        let facts = &seen.facts;
        let ready = harmless(seen.ready.lines().next().unwrap_or_default(), "");
        let ready = self.paint(if seen.is_ready { GREEN } else { RED }, &ready);
        let up = rough((now - facts.started.0).unsigned_abs());
        let title = self.paint(BOLD, &harmless(&facts.service, ""));
        let mut lines =
            vec![format!("{title}  {ready}  myelin {}, up {up}", harmless(&facts.version, ""))];
        let mut row = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
        let renewed =
            facts.certificate.renew_at.map(|at| format!(", renewed in {}", left(at, now)));
        row(
            "identity",
            format!(
                "{}, {}{} ({})",
                harmless(facts.identity(), ""),
                self.ends(facts.certificate.not_after, now, soon(facts)),
                renewed.unwrap_or_default(),
                harmless(&facts.certificate.source, ""),
            ),
        );
        if let Some(first) = facts.trust_bundle.iter().min_by_key(|anchor| anchor.not_after) {
            let (count, subject) = (facts.trust_bundle.len(), harmless(&first.subject, ""));
            let of = if count > 1 { format!(", the first of {count}") } else { String::new() };
            row("authority", format!("{subject}{of}, {}", self.ends(first.not_after, now, NEAR)));
        }
        if let Some(due) = facts.crl_next_update {
            row(
                "revocation",
                format!(
                    "the first list {}",
                    self.ends(due, now, Duration::ZERO).replace("expires", "is due")
                ),
            );
        }
        row("trail", self.trail(facts));
        row("policy", policy(facts));
        for export in &facts.audit.export {
            let behind = Count(export.lag_records, "record");
            let text = match &export.failing {
                Some(failing) => {
                    self.paint(RED, &format!("failing: {}", harmless(&failing.why, "")))
                }
                None => format!("{behind} behind"),
            };
            row(
                "export",
                format!("{} to {}: {text}", harmless(&export.name, ""), harmless(&export.to, "")),
            );
        }
        lines
    }

    fn trail(self, facts: &Facts) -> String {
        let trail = &facts.audit;
        let Some(dir) = &trail.dir else { return "none: nothing is on record".to_owned() };
        let sealed = trail.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let mut text = format!(
            "{}, {}, {sealed} of them sealed",
            harmless(dir, ""),
            Count(trail.sequence, "record")
        );
        if let Some(why) = &trail.failing {
            text =
                format!("{}; {text}", self.paint(RED, &format!("failing: {}", harmless(why, ""))));
        }
        for (count, what) in
            [(trail.lost, "lost"), (trail.passed_unrecorded, "passed before on record")]
        {
            if count > 0 {
                text.push_str(&self.paint(RED, &format!(", {count} {what}")));
            }
        }
        text
    }

    /// What fails open, what was refused, and what a date has closed.
    fn needs_somebody(self, facts: &Facts) -> Vec<String> {
        let open = facts.fails_open.iter().map(|key| format!("fails open: {key}"));
        let refused =
            facts.last_failure.iter().map(|why| format!("the last change was refused: {why}"));
        let rejected = facts.certificate.rejected.iter().map(|rejected| {
            let since = rejected.since.0;
            format!(
                "new key material is refused since {}: {}",
                clock::rfc3339(since),
                rejected.problems.join("; ")
            )
        });
        let rules = facts.policy.rules.iter().filter(|rule| rule.expired);
        let rules =
            rules.map(|rule| format!("rule {} (line {}) has expired", rule.name, rule.line));
        let peers =
            facts.policy.peers.iter().filter(|peer| peer.expired || peer.overdue).map(|peer| {
                let what = if peer.expired { "has expired" } else { "is due for review" };
                format!("peer {} {what}", peer.name)
            });
        let all = open.chain(refused).chain(rejected).chain(rules).chain(peers);
        all.map(|text| self.paint(RED, &format!("! {}", harmless(&text, "")))).collect()
    }

    fn listeners(self, seen: &Seen, before: &Counters) -> Vec<String> {
        let mut rows = vec![
            ["LISTENER", "", "AT", "CARRIES", "OPEN", "NEW/s", "DENIED/s", "UP/s", "DOWN/s"]
                .map(ToOwned::to_owned),
        ];
        let listeners = &seen.facts.listeners;
        rows.extend(listeners.iter().map(|listener| row(listener, seen, before)));
        let mut lines = self.table(&rows);
        for (listener, upstream) in listeners.iter().flat_map(|listener| {
            listener.upstreams.iter().flatten().map(move |upstream| (listener, upstream))
        }) {
            let state =
                if upstream.healthy { "in use".to_owned() } else { self.paint(RED, "set aside") };
            lines.push(format!(
                "  {} to {}: {state}",
                harmless(&listener.name, ""),
                harmless(&upstream.endpoint, "")
            ));
        }
        lines
    }

    fn peers(self, facts: &Facts, now: OffsetDateTime) -> Vec<String> {
        if facts.peers.is_empty() {
            return Vec::new();
        }
        let mut rows = vec![["PEER", "LAST SEEN", "CERTIFICATE"].map(ToOwned::to_owned)];
        rows.extend(facts.peers.iter().map(|peer| {
            let seen = peer.last_seen.map_or_else(|| "never".to_owned(), |at| ago(at, now));
            let ends = peer
                .certificates
                .first()
                .map(|presented| self.ends(presented.not_after, now, Duration::ZERO));
            [harmless(&peer.name, ""), seen, ends.unwrap_or_default()]
        }));
        self.table(&rows)
    }

    fn rules(self, facts: &Facts) -> Vec<String> {
        let unused = facts.policy.rules.iter().filter(|rule| rule.hits == 0 && !rule.expired);
        let unused: Vec<_> = unused
            .map(|rule| format!("{} (line {})", harmless(&rule.name, ""), rule.line))
            .collect();
        if unused.is_empty() {
            return Vec::new();
        }
        vec![
            String::new(),
            format!("{} {}", self.paint(DIM, "RULES NOT USED SINCE THE START"), unused.join(", ")),
        ]
    }

    fn denials(self, seen: &Seen, now: OffsetDateTime) -> Vec<String> {
        let recent: Vec<_> =
            seen.denials.iter().filter(|denial| now - denial.at < RECENT).collect();
        let heading = format!("DENIALS OF THE LAST {}m", RECENT.whole_minutes());
        if recent.is_empty() {
            return vec![String::new(), format!("{} none", self.paint(DIM, &heading))];
        }
        let mut lines = vec![String::new(), self.paint(DIM, &heading)];
        let look = Look { is_local: false, is_coloured: self.is_coloured };
        let shown = recent.iter().take(DENIALS).map(|denial| look.line(denial, None));
        lines.extend(shown.map(|line| format!("  {}", line.trim_end())));
        if recent.len() > DENIALS {
            lines.push(format!(
                "  and {} more: myelin audit query --outcome failure",
                recent.len() - DENIALS
            ));
        }
        lines
    }

    /// Columns as wide as they must be, under a heading.
    fn table<const N: usize>(self, rows: &[[String; N]]) -> Vec<String> {
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| visible(cell))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..N).map(width).collect();
        let mut lines = vec![String::new()];
        for (place, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                format!("{cell}{}", " ".repeat(width.saturating_sub(visible(cell))))
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            lines.push(if place == 0 { self.paint(DIM, line) } else { line.to_owned() });
        }
        lines
    }

    /// When something ends; in red, when it is nearer than `near`.
    fn ends(self, end: Moment, now: OffsetDateTime, near: Duration) -> String {
        let text = match end.0 - now {
            left if left.is_negative() => format!("expired {}", ago(end, now)),
            left => format!("expires in {}", rough(left.unsigned_abs())),
        };
        if end.0 - now < near { self.paint(RED, &text) } else { text }
    }

    /// Something that needs somebody.
    pub(super) fn alarm(self, text: &str) -> String {
        self.paint(RED, text)
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.is_coloured { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

fn row(listener: &Listener, seen: &Seen, before: &Counters) -> [String; 9] {
    let (counters, name) = (&seen.counters, listener.name.as_str());
    let rate = |counter: &str| counters.rate(before, name, counter);
    let phi = if listener.phi { " phi" } else { "" };
    [
        harmless(name, ""),
        harmless(&listener.direction, ""),
        harmless(&listener.listen, ""),
        format!("{}{phi}", harmless(&listener.protocol, "")),
        format!("{:.0}", counters.value(name, "connections_open")),
        format!("{:.1}", rate("connections_opened_total")),
        format!("{:.1}", rate("connections_denied_total")),
        bytes(rate("bytes_total up")),
        bytes(rate("bytes_total down")),
    ]
}

/// A number of bytes in the largest unit of which there is one.
fn bytes(count: f64) -> String {
    let units = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    match units.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count / size),
        None => format!("{count:.0} B"),
    }
}

/// Our own certificate may live for an hour: it is late when it should have been renewed.
fn soon(facts: &Facts) -> Duration {
    let Certificate { renew_at, not_after, .. } = &facts.certificate;
    renew_at.map_or(NEAR, |renew_at| (not_after.0 - renew_at.0) / 2)
}

fn policy(facts: &Facts) -> String {
    let version: String = facts.config.policy.chars().take("sha256:".len() + 12).collect();
    let (path, count) = (harmless(&facts.config.path, ""), facts.config.generation);
    format!("{path}, {}, configuration {count} since the start", harmless(&version, ""))
}

fn left(at: Moment, now: OffsetDateTime) -> String {
    rough((at.0 - now).max(Duration::ZERO).unsigned_abs())
}

fn ago(at: Moment, now: OffsetDateTime) -> String {
    format!("{} ago", rough((now - at.0).max(Duration::ZERO).unsigned_abs()))
}

/// How many columns a text takes: colours take none.
fn visible(text: &str) -> usize {
    let mut is_colour = false;
    let counts = |c: &char| {
        let counted = !is_colour && *c != '\x1b';
        is_colour = (is_colour || *c == '\x1b') && *c != 'm';
        counted
    };
    text.chars().filter(counts).count()
}

/// The most important of it on one line.
pub(super) fn summary(seen: &Seen, before: &Counters) -> String {
    let all = |value: &dyn Fn(&str) -> f64| -> f64 {
        seen.facts.listeners.iter().map(|listener| value(&listener.name)).sum()
    };
    let rate = |counter: &str| all(&|name| seen.counters.rate(before, name, counter));
    format!(
        "{} {}: {}, {:.0} open, {:.1} new/s, {:.1} denied/s, {}/s up, {}/s down",
        clock::rfc3339(clock::now()),
        harmless(&seen.facts.service, ""),
        harmless(seen.ready.lines().next().unwrap_or_default(), ""),
        all(&|name| seen.counters.value(name, "connections_open")),
        rate("connections_opened_total"),
        rate("connections_denied_total"),
        bytes(rate("bytes_total up")),
        bytes(rate("bytes_total down")),
    )
}

/// As much of a line as so many columns have room for, its colours ended.
pub(super) fn cut(line: &str, width: usize) -> String {
    if visible(line) <= width {
        return line.to_owned();
    }
    let (mut kept, mut left, mut is_colour) = (String::new(), width.saturating_sub(1), false);
    for c in line.chars() {
        if is_colour || c == '\x1b' {
            is_colour = c != 'm';
        } else if left == 0 {
            break;
        } else {
            left -= 1;
        }
        kept.push(c);
    }
    let ended = if line.contains('\x1b') { PLAIN } else { "" };
    format!("{kept}…{ended}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_is_seen_of_it_and_its_colours_end() {
        assert_eq!(cut("12345", 5), "12345");
        assert_eq!(cut("123456", 5), "1234…");
        assert_eq!(cut("\x1b[31m12345\x1b[0m", 5), "\x1b[31m12345\x1b[0m");
        assert_eq!(cut("\x1b[31m123456\x1b[0m", 5), "\x1b[31m1234…\x1b[0m");
        assert_eq!(cut("12", 0), "…");
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        let told = [0.0, 1023.0, 1536.0, 5_242_880.0].map(bytes);

        assert_eq!(told, ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]);
    }
}
