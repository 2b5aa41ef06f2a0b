//! A record on a readable line.

use std::fmt::Write as _;

use time::UtcOffset;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::super::super::console::harmless;
use crate::audit::forms::Field;
use crate::audit::{Recorded, Review};

const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Look {
    /// Time as this machine's zone has it, not UTC.
    pub(in crate::cli) is_local: bool,
    pub(in crate::cli) is_coloured: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Allowed,
    Failed,
    Other,
}

impl Look {
    /// The line of a record, its newline included, in so many columns.
    pub(in crate::cli) fn line(self, recorded: &Recorded, width: Option<usize>) -> String {
        let became = became(recorded);
        let mark = match became {
            Became::Allowed => '✓',
            Became::Failed => '✗',
            Became::Other => '·',
        };
        let text = format!("{} {mark} {}", self.time(recorded), words(recorded));
        let text = cut(&text, width);
        if !self.is_coloured {
            return text + "\n";
        }
        let color = match became {
            Became::Allowed => GREEN,
            Became::Failed => RED,
            Became::Other => DIM,
        };
        format!("{color}{text}{PLAIN}\n")
    }

    fn time(self, recorded: &Recorded) -> String {
        let offset =
            if self.is_local { UtcOffset::local_offset_at(recorded.at).ok() } else { None };
        let at = recorded.at.to_offset(offset.unwrap_or(UtcOffset::UTC));
        let mut time = at.format(MOMENT).unwrap_or_default();
        match offset {
            None => time.push('Z'),
            Some(offset) => {
                let (hours, minutes, _) = offset.as_hms();
                let sign = if offset.is_negative() { '-' } else { '+' };
                let _infallible =
                    write!(time, "{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs());
            }
        }
        time
    }
}

fn became(recorded: &Recorded) -> Became {
    let action = recorded.event.action.as_str();
    if recorded.event.outcome == "failure" {
        Became::Failed
    } else if action.ends_with("-allowed") {
        Became::Allowed
    } else {
        Became::Other
    }
}

/// Where, what, who, about what, and why.
fn words(recorded: &Recorded) -> String {
    let of = |name: &str| {
        Field::named(name).map(|field| field.of(recorded).to_string()).unwrap_or_default()
    };
    let first = |names: &[&str]| names.iter().map(|name| of(name)).find(|value| !value.is_empty());
    let service = of("service");
    let place = match of("listener") {
        listener if listener.is_empty() || listener == service => service,
        listener => format!("{service}/{listener}"),
    };
    let mut words = format!("{place:<12} {:<21}", recorded.event.action);
    let told = [
        first(&["peer", "identity", "source_ip"]),
        of_trail(recorded),
        first(&["method"]),
        first(&["path"]),
        first(&["operation"]),
        first(&["resource"]),
        first(&["status", "result"]),
        first(&["reason"]).map(|reason| format!("({reason})")),
        Some(recorded.count()).filter(|count| *count > 1).map(|count| format!("x{count}")),
        first(&["source_bytes"]).map(|bytes| format!("{bytes}B up")),
        first(&["destination_bytes"]).map(|bytes| format!("{bytes}B down")),
        first(&["duration_ms"]).map(|time| format!("{time}ms")),
        first(&["nearest", "message"]).map(|text| format!("- {text}")),
    ];
    for word in told.into_iter().flatten() {
        words.push(' ');
        words.push_str(&word);
    }
    let words = words.trim_end();
    harmless(words, "")
}

/// Who has read the trail, or signed it off.
fn of_trail(recorded: &Recorded) -> Option<String> {
    let (read, review) = (&recorded.myelin.read, &recorded.myelin.review);
    let read = read.as_ref().map(|read| format!("{} by {}", read.command, read.by));
    let reviewed = |review: &Review| {
        let Review { reviewer, by, from, to, .. } = review;
        format!("{reviewer} (as {by}) for {from} to {to}")
    };
    read.or_else(|| review.as_ref().map(reviewed))
}

/// As much of it as a terminal has room for.
fn cut(text: &str, width: Option<usize>) -> String {
    // A character of other scripts may take two columns: it is taken to.
    let columns = |c: char| if c.is_ascii() || "✓✗·…\u{fffd}".contains(c) { 1 } else { 2 };
    let whole: usize = text.chars().map(columns).sum();
    let Some(width) = width.filter(|width| whole > *width) else { return text.to_owned() };
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let fits = columns(*c) <= left;
        left = left.saturating_sub(columns(*c));
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: Look = Look { is_local: false, is_coloured: false };

    fn denied(peer: &str) -> Recorded {
        let line = format!(
            r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"request-denied","outcome":"failure","reason":"no_route"}},"service":{{"name":"ehr"}},"http":{{"request":{{"method":"GET"}},"response":{{"status_code":403}}}},"myelin":{{"listener":"fhir","peer":"{peer}"}}}}"#
        );
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_says_when_where_what_who_and_why() {
        assert_eq!(
            UTC.line(&denied("lab"), None),
            "2026-11-22 06:12:01.123Z ✗ ehr/fhir     request-denied        lab GET 403 (no_route)\n"
        );
    }

    #[test]
    fn a_line_says_who_has_read_the_trail_and_who_has_signed_it_off() {
        let by = r#"{"uid":1000,"name":"ann","process":7}"#;
        let of = |action: &str, more: &str| -> String {
            let line = format!(
                r#"{{"@timestamp":"2026-11-22T06:12:01.123Z","event":{{"action":"{action}"}},"service":{{"name":"ehr"}},"myelin":{{{more}}}}}"#
            );
            words(&serde_json::from_str(&line).unwrap())
        };

        let read = format!(r#""read":{{"at":"","command":"audit query","by":{by}}}"#);
        assert_eq!(
            of("log-read", &read),
            "ehr          log-read              audit query by ann (uid 1000)"
        );
        let review = format!(
            r#""review":{{"reviewer":"B. Low","by":{by},"from":"2026-10-01","to":"2026-11-01"}}"#
        );
        assert!(
            of("review-signed", &review)
                .ends_with(" B. Low (as ann (uid 1000)) for 2026-10-01 to 2026-11-01")
        );
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal_and_steers_it_nowhere() {
        let line = UTC.line(&denied("\\u001b[2J検査\\u202e"), None);
        assert!(line.contains(" \u{fffd}[2J検査\u{fffd} GET"), "{line}");

        for width in [0, 1, 30, 66, 67, 68, 69, 70] {
            let cut = UTC.line(&denied("検査検査検査"), Some(width));
            let columns: usize =
                cut.trim_end().chars().map(|c| if c > '\u{2fff}' { 2 } else { 1 }).sum();
            assert!(columns <= width.max(1) && cut.ends_with("…\n"), "{width}: {cut}");
        }
    }
}
