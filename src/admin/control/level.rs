//! The log's level over the control socket: shown, changed, changed for a while.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tokio::time::sleep;

use super::Answer;
use super::answer::{text, with_type};
use crate::audit::{About, Action, Audit, Reader, Record};
use crate::clock::{self, rfc3339};
use crate::shutdown::Shutdown;
use crate::telemetry::log::{self, Filter, ForNow, Level, NotOurs};

/// Longest time for which a level may be changed.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// `event.reason` of a change of the log's level.
const REASON: &str = "log_level";

/// What somebody wants logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    filter: Filter,
    /// For so long; then what held before holds again.
    period: Option<Duration>,
}

impl Asked {
    pub(super) fn parse(body: &[u8], query: Option<&str>) -> Result<Self, String> {
        let body = std::str::from_utf8(body).map_err(|_error| "the filter is no text")?.trim();
        if body.is_empty() {
            return Err("a filter, such as `info`, is wanted as the body".to_owned());
        }
        let filter: Filter = body.parse().map_err(|error| format!("the filter: {error}"))?;
        let filter = filter.discreet().map_err(|error| format!("the filter: {error}"))?;
        let period = query.map(period).transpose()?;
        Ok(Self { filter, period })
    }
}

fn period(query: &str) -> Result<Duration, String> {
    let like = "like for=15m, from 1s to 7d";
    let text =
        query.strip_prefix("for=").ok_or_else(|| format!("only `for` may be asked, {like}"))?;
    let period =
        humantime::parse_duration(text).map_err(|error| format!("`for`: {error}; {like}"))?;
    match period {
        period if period < Duration::from_secs(1) || period > LONGEST => {
            Err(format!("`for` is out of bounds; {like}"))
        }
        period => Ok(period),
    }
}

/// What is logged now.
pub(super) fn shown() -> Answer {
    match log::level() {
        Ok(level) => shown_level(&level),
        Err(error) => not_ours(error),
    }
}

/// Changes what is logged, on record.
pub(super) async fn change(
    Asked { filter, period }: Asked,
    by: Reader,
    audit: &Audit,
    shutdown: &Shutdown,
) -> Answer {
    let before = match log::level() {
        Ok(level) => level,
        Err(error) => return not_ours(error),
    };
    let until = period.map(|period| clock::now() + period);
    let ends = until.map(|until| format!(" until {}", rfc3339(until))).unwrap_or_default();
    let message = format!("the log's filter is `{filter}`{ends}; it was `{}`", before.filter);
    audit.note(record(message, Some(by))).await;
    let for_now = match log::change(filter, until) {
        Ok(for_now) => for_now,
        Err(error) => return not_ours(error),
    };
    if let Some(period) = period {
        let (audit, end) = (audit.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let _ended = end.until_cut(put_back(for_now, period, &audit)).await;
        });
    }
    shown()
}

async fn put_back(for_now: ForNow, period: Duration, audit: &Audit) {
    sleep(period).await;
    if let Some(filter) = log::put_back(for_now) {
        audit
            .note(record(format!("the log's filter is `{filter}` again: the time is over"), None))
            .await;
    }
}

fn record(message: String, by: Option<Reader>) -> Record {
    let asked = by.as_ref().map(|by| format!("; asked for by {by}")).unwrap_or_default();
    let message = message + &asked;
    let about = by.map(|by| Box::new(About { asked_by: Some(by), ..About::default() }));
    Record {
        reason: Some(REASON),
        message: Some(message),
        about,
        ..Record::new(Action::ConfigLoaded)
    }
}

fn shown_level(Level { filter, until, settled, .. }: &Level) -> Answer {
    let shown = json!({
        "filter": filter.to_string(),
        "until": until.map(rfc3339),
        "then": until.map(|_| settled.to_string()),
    });
    with_type(
        StatusCode::OK,
        "application/json",
        Full::new(format!("{shown:#}\n").into()).boxed_unsync(),
    )
}

fn not_ours(error: NotOurs) -> Answer {
    text(StatusCode::CONFLICT, format!("{error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_may_be_for_a_while() {
        let asked = Asked::parse(b" debug\n", Some("for=15m")).unwrap();

        assert_eq!(asked.period, Some(Duration::from_secs(900)));
        assert_eq!(Asked::parse(b"debug", None).unwrap().period, None);
    }

    #[test]
    fn what_is_wrong_with_a_question_is_named() {
        for (body, query, named) in [
            (&b"inof"[..], None, "`inof`"),
            (b"", None, "is wanted"),
            (b"\xff", None, "no text"),
            (b"trace", None, "myelin=trace"),
            (b"debug", Some("for=0s"), "out of bounds"),
            (b"debug", Some("for=8d"), "out of bounds"),
            (b"debug", Some("for=soon"), "for=15m"),
            (b"debug", Some("until=1h"), "only `for`"),
        ] {
            let why = Asked::parse(body, query).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
    }
}
