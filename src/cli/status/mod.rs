//! `myelin status`: what a running sidecar is doing, on a terminal.

mod page;
mod rates;
mod watch;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::page::Page;
use self::rates::Counters;
use super::control::{Door, Facts, Failure, Which, ask, awaited, failed};
use super::{Exit, Format, console, environment, wait};
use crate::audit::Recorded;

/// Between two looks at the counters: rates are what they differ by.
const APART: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Go on showing it, every two seconds; Ctrl-C ends it
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// `json`: what the sidecar says, as it says it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What was seen at one look.
struct Seen {
    facts: Facts,
    /// `/ready`, as it was said.
    ready: String,
    is_ready: bool,
    denials: Vec<Recorded>,
    counters: Counters,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let door = match arguments.which.door() {
        Ok(door) => door,
        Err(none) => return none.told(),
    };
    if arguments.watch {
        return wait(watch::watch(&door))?;
    }
    let exit = match arguments.format {
        Format::Text => wait(once(&door))?,
        Format::Json => wait(json(&door))?,
    };
    Ok(exit.unwrap_or_else(|failure| {
        let exit = failed(&failure);
        if let (Failure::Nobody { .. }, Ok(config)) = (failure, arguments.which.config()) {
            let awaited = awaited(&config);
            console::error(&format!(
                "help: it may be starting, and wait for {awaited}; `myelin wait` returns when it is ready"
            ));
        }
        exit
    }))
}

async fn once(door: &Door) -> Result<Exit, Failure> {
    let before = Seen::look(door).await?;
    sleep(APART).await;
    let seen = Seen::look(door).await?;
    let page = Page { is_coloured: console::is_terminal() && !is_colour_refused() };
    page.lines(&seen, &before.counters).iter().for_each(|line| console::line(line));
    Ok(if seen.is_ready { Exit::Fine } else { Exit::Failed })
}

/// For programs: the pages themselves.
async fn json(door: &Door) -> Result<Exit, Failure> {
    let status: Value = ask(door, Method::GET, "/status", "").await?.read(door)?;
    let denials: Value = ask(door, Method::GET, "/denials", "").await?.read(door)?;
    let ready = ask(door, Method::GET, "/ready", "").await?;
    let is_ready = ready.status == StatusCode::OK;
    let said = ready.body.trim_end();
    let all = json!({ "ready": is_ready, "readiness": said, "status": status, "denials": denials });
    console::line(&format!("{all:#}"));
    Ok(if is_ready { Exit::Fine } else { Exit::Failed })
}

impl Seen {
    async fn look(door: &Door) -> Result<Self, Failure> {
        let ready = ask(door, Method::GET, "/ready", "").await?;
        let facts = ask(door, Method::GET, "/status", "").await?.read(door)?;
        let denials = ask(door, Method::GET, "/denials", "").await?.read(door)?;
        let metrics = ask(door, Method::GET, "/metrics", "").await?.body;
        let is_ready = ready.status == StatusCode::OK;
        Ok(Self { facts, ready: ready.body, is_ready, denials, counters: Counters::of(&metrics) })
    }
}

/// `NO_COLOR` counts if it is not empty (no-color.org).
fn is_colour_refused() -> bool {
    environment("NO_COLOR").is_some_and(|value| !value.is_empty())
}
