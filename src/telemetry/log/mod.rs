//! Logs: to standard error, for the operator. Per-connection truth is the audit trail, not a log line.

mod ecs;
mod filter;
mod level;

use std::any::Any;
use std::io::IsTerminal;
use std::panic::{Location, set_hook};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, reload};

pub use filter::{Filter, FilterError};
pub use level::{ForNow, Level, NotOurs, change, level, put_back};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One readable line each.
    Text,
    /// One JSON object a line, in Elastic Common Schema names.
    Json,
}

/// Sends logs to standard error from now on, panics included. A second call changes nothing.
pub fn start(format: Format, filter: &Filter) {
    let ansi = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_ansi(ansi).with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_target(false).boxed(),
        Format::Json => lines.event_format(ecs::Ecs).boxed(),
    };
    let (filtering, handle) = reload::Layer::new(filter.compiled());
    match tracing_subscriber::registry().with(filtering).with(lines).try_init() {
        Ok(()) => level::live(handle, filter.clone()),
        Err(_started) => tracing::debug!("logging was already started"),
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
