//! `myelin policy`: allowlists made of what was seen, held against it, and tested.

mod replay;
mod seen;
mod suggest;
mod test;

use clap::Subcommand;

use super::Exit;

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 somebody would newly be denied, or something could not be covered or read, 2 bad command \
line, 3 bad configuration";

const TEST_CODES: &str = "\
Exit codes: 0 all as expected, 1 a decision differs, 2 bad command line, 3 bad configuration or bad cases";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the smallest readable allowlist that covers what was seen
    #[command(after_help = EXIT_CODES)]
    Suggest(suggest::Arguments),
    /// Tells who would newly be denied or allowed by a configuration
    #[command(after_help = EXIT_CODES)]
    Replay(replay::Arguments),
    /// Holds a configuration against decisions that are expected
    #[command(after_help = TEST_CODES)]
    Test(test::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Suggest(arguments) => suggest::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Test(arguments) => test::run(arguments),
    }
}
