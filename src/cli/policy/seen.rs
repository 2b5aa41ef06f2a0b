//! Which records are looked at.

use std::path::PathBuf;
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::super::{Exit, console};
use crate::clock;
use crate::report::{Count, Report};
use crate::review::{Filter, History};

#[derive(Debug, clap::Args)]
pub(super) struct Seen {
    /// A trail's directory (`audit.dir`); may be given several times
    #[arg(long, value_name = "DIR", required = true)]
    audit: Vec<PathBuf>,
    /// Nothing older: a duration like 7d, or a date like 2026-11-01
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// This listener alone
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(date.midnight().assume_utc());
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(moment);
    }
    let ago: Option<Duration> = humantime::parse_duration(text).ok();
    let ago = ago.and_then(|ago| time::Duration::try_from(ago).ok());
    ago.and_then(|ago| clock::now().checked_sub(ago))
        .ok_or_else(|| "neither a duration like 7d nor a date like 2026-11-01".to_owned())
}

impl Seen {
    /// Reads the trails, and tells of what could not be read.
    pub(super) fn history(&self) -> Result<History, Exit> {
        let filter = Filter { since: self.since, listener: self.listener.clone() };
        let mut history = History::default();
        for dir in &self.audit {
            if let Err(unreadable) = history.read(dir, &filter) {
                console::error(&format!("error: {}", Report(&unreadable)));
                return Err(Exit::Failed);
            }
        }
        let reading = &history.reading;
        for told in &reading.told {
            console::error(&format!("warning: {told}; passed over"));
        }
        let more = reading.broken.saturating_sub(u64::try_from(reading.told.len()).unwrap_or(0));
        if more > 0 {
            console::error(&format!("warning: {} more passed over", Count(more, "line")));
        }
        if history.left_out > 0 {
            console::error(&format!(
                "warning: {} of further, different attempts were left out, for there are too many: narrow it with \
                 --since or --listener",
                Count(history.left_out, "record")
            ));
        }
        Ok(history)
    }
}
