//! Logs: to standard error, for the operator. Per-connection truth is the audit trail, not a log line.

use std::any::Any;
use std::io::IsTerminal;
use std::panic::{Location, set_hook};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that names no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is neither text nor json")]
pub struct FormatError;

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(FormatError),
        }
    }
}

/// Sends logs to standard error from now on, panics included. A second call changes nothing.
///
/// `filter` is in `tracing`'s directive syntax; what does not parse is ignored, `info` is the default.
pub fn start(format: Format, filter: &str) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .parse_lossy(filter);
    let ansi = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr);
    let started = match format {
        Format::Text => subscriber.with_target(false).try_init(),
        Format::Json => subscriber.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
    set_hook(Box::new(|panic| {
        let place = panic.location().map(Location::to_string).unwrap_or_default();
        tracing::error!(place, "a defect: {}; please report it", told(panic.payload()));
    }));
}

/// What may be told of a panic. A text that was put together may quote what was being worked on, which may be
/// somebody's data.
fn told(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its text may quote data, and is left out")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::told;

    #[test]
    fn of_a_panic_nothing_is_told_that_may_quote_data() {
        let name = std::hint::black_box("Meier");
        let fixed = catch_unwind(|| panic!("out of order")).unwrap_err();
        let quoting = catch_unwind(|| panic!("no number: {name}")).unwrap_err();

        assert_eq!(told(&*fixed), "out of order");
        assert_eq!(told(&*quoting), "its text may quote data, and is left out");
    }
}
