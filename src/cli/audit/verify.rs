//! `myelin audit verify`: whether a trail is what was written.

use std::path::{Path, PathBuf};

use super::super::{Exit, Format, console};
use super::reads::Reads;
use super::with_kept;
use crate::audit::{self, Broken, Kept, Progress, Verified};
use crate::report::{Count, Report};

/// Characters of the bar that shows how far it is.
const WIDTH: usize = 30;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The trail's directory
    dir: PathBuf,
    /// A checkpoint of the trail that was kept elsewhere; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// A verifier key that must have sealed part of the trail; may be repeated
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { dir, checkpoint, key, format } = arguments;
    with_kept(key, checkpoint, |kept| verify(dir, kept, *format))
}

fn verify(dir: &Path, kept: &Kept, format: Format) -> anyhow::Result<Exit> {
    let reads = Reads::begin(&[dir.to_owned()], "audit verify", &[]);
    let verified = with_bar(dir, kept);
    reads.finish(verified.as_ref().map_or(0, |verified| verified.records));
    match (verified, format) {
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

/// Checks a trail, and shows on a terminal how far it is.
pub(super) fn with_bar(dir: &Path, kept: &Kept) -> Result<Verified, Broken> {
    let mut line = console::Progress::new();
    audit::verify_telling(dir, kept, |Progress { file, files, records }| {
        line.show(|| {
            let bar = bar(file as u64, files as u64);
            format!("{bar} file {file} of {files}, {}", Count(records, "record"))
        });
    })
}

/// A bar of which so much is done.
pub(super) fn bar(done: u64, of: u64) -> String {
    let part =
        usize::try_from(done.saturating_mul(WIDTH as u64) / of.max(1)).unwrap_or(WIDTH).min(WIDTH);
    format!("[{}{}]", "#".repeat(part), "-".repeat(WIDTH - part))
}
