//! `myelin audit`: looks at the trail.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, Format, console};
use crate::audit;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every line, the chain between them, and the sequence; names the first bad line
    Verify {
        /// The trail's directory
        dir: PathBuf,
        /// How to print the result
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Command::Verify { dir, format } = &arguments.command;
    match (audit::verify(dir), format) {
        (Ok(verified), Format::Text) => console::line(&verified.to_string()),
        (Ok(verified), Format::Json) => console::line(&serde_json::to_string_pretty(&verified)?),
        (Err(broken), Format::Text) => {
            console::error(&format!("error: {}", Report(&broken)));
            return Ok(Exit::Failed);
        }
        (Err(broken), Format::Json) => {
            let broken = serde_json::json!({ "broken": Report(&broken).to_string() });
            console::line(&serde_json::to_string_pretty(&broken)?);
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Fine)
}
