//! Which records are looked at.

use std::path::PathBuf;

use time::OffsetDateTime;

use super::super::{Exit, console, moment};
use crate::report::{Count, Report};
use crate::review::{Filter, History};

#[derive(Debug, clap::Args)]
pub(super) struct Seen {
    /// A trail's directory (`audit.dir`); may be given several times
    #[arg(long, value_name = "DIR", required = true)]
    audit: Vec<PathBuf>,
    /// Nothing older: a duration like 7d, or a date like 2026-11-01
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    since: Option<OffsetDateTime>,
    /// This listener alone
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
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
