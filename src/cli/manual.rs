//! `myelin completions` and `myelin man`: what shells and `man` know of the commands, from their definition.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Exit, console};

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Where they are written, a page for each command
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn completions(arguments: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "myelin",
        &mut script,
    );
    console::bytes(&script);
    Exit::Fine
}

pub(super) fn pages(arguments: &Man) -> anyhow::Result<Exit> {
    let dir = &arguments.dir;
    let mut myelin = super::Arguments::command().disable_help_subcommand(true);
    myelin.build();
    fs::create_dir_all(dir)
        .and_then(|()| page(myelin, dir))
        .with_context(|| format!("cannot write manual pages into {}", dir.display()))?;
    Ok(Exit::Fine)
}

/// Writes the page of `command` and those of the commands below it.
fn page(command: clap::Command, dir: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        page(below.clone(), dir)?;
    }
    let title = command.get_display_name().unwrap_or("myelin").to_owned();
    let release = concat!("myelin ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command)
        .title(title)
        .source(release)
        .manual("Myelin")
        .generate_to(dir)?;
    Ok(())
}
