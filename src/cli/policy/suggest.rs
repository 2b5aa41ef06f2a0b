//! `myelin policy suggest`

use std::path::PathBuf;

use super::super::findings::Findings;
use super::super::{Exit, Format, console, load};
use super::seen::Seen;
use crate::clock;
use crate::report::Count;
use crate::review::suggest::{Suggestion, Wish};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    seen: Seen,
    /// The configuration whose names for peers and places for listeners are kept
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Covers what was denied, too, and marks it
    #[arg(long)]
    denied: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = match arguments.config.as_deref().map(load).transpose() {
        Ok(config) => config,
        Err(problems) => {
            Findings::of(problems).print(Format::Text)?;
            return Ok(Exit::BadConfig);
        }
    };
    let history = match arguments.seen.history() {
        Ok(history) => history,
        Err(exit) => return Ok(exit),
    };
    let wish = Wish { config: config.as_ref(), denied: arguments.denied, now: clock::now() };
    let suggestion = Suggestion::of(&history, wish);
    let reading = &history.reading;
    console::line(&format!(
        "# made of {} in {}; narrow it where you know better, then hold it against the trail:\n\
         #   myelin policy replay --audit DIR -c FILE\n\
         # of a listener, only `allow` and rules are new: its other keys are yours to keep",
        Count(reading.records, "record"),
        Count(reading.files, "file")
    ));
    if arguments.denied && history.summed_up > 0 {
        console::line(&format!(
            "# not in it: {} that are on record as sums alone, for there were too many",
            Count(history.summed_up, "denial")
        ));
    }
    if suggestion.is_empty() {
        console::line("# nobody was seen that a rule could let in");
    }
    console::print(&suggestion.to_string());
    Ok(if suggestion.is_whole() { Exit::Fine } else { Exit::Failed })
}
