//! `myelin audit`: looks at the trail.

mod pseudonym;
mod query;
mod verify;

use clap::Subcommand;

use super::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every line, the chain between them, and the checkpoints; names the first bad line
    Verify(verify::Arguments),
    /// Finds records, and tells them in other forms: CSV, ECS, OCSF, CEF, DICOM, FHIR
    Query(Box<query::Arguments>),
    /// Prints what stands in records for an id, so that they can be searched for it
    Pseudonym(pseudonym::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Pseudonym(arguments) => pseudonym::run(arguments),
    }
}
