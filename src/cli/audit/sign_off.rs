//! `myelin audit sign-off`: that somebody has reviewed a period.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::digest;
use time::OffsetDateTime;

use super::super::{Exit, console, moment};
use super::place::Place;
use super::reads::who;
use crate::audit::{Review, ReviewedReport, last_checkpoint};
use crate::clock;
use crate::report::{Count, Report, steers};

/// Most characters of a reviewer's name, and of a note.
const NAME: usize = 200;
const NOTE: usize = 1000;

const AFTER: &str = "\
The sidecar that writes the trail puts it on record there within seconds, or at its next start, in the chain and sealed. It takes the right to write in the trail's directory.

Exit codes: 0 fine, 1 it could not be recorded, 2 bad command line, 3 bad configuration";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Who has reviewed it; the account that runs this is recorded beside it
    #[arg(long, value_name = "NAME", value_parser = name)]
    reviewer: String,
    /// From when on: a duration like 30d, a date like 2026-11-01, or a moment like 2026-11-01T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    from: OffsetDateTime,
    /// Until when: the same; a date is its end. Now, if that is still to come
    #[arg(long, value_name = "WHEN", value_parser = moment::until)]
    to: OffsetDateTime,
    /// What was found. Nothing about patients: it stays as long as the trail
    #[arg(long, value_name = "TEXT", value_parser = note)]
    note: Option<String>,
    /// The report that was reviewed; its SHA-256 is recorded
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    bounded(text, NAME)
}

fn note(text: &str) -> Result<String, String> {
    bounded(text, NOTE)
}

fn bounded(text: &str, most: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.contains(steers) {
        return Err(format!("1 to {most} characters on one line are expected"));
    }
    Ok(text.to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { place, reviewer, from, to, note, report } = arguments;
    let now = clock::now();
    for (wrong, problem) in [
        (to <= from, "--to is before --from: nothing is between them"),
        (*from > now, "--from is in the future: there is nothing to review yet"),
    ] {
        if wrong {
            console::error(&format!("error: {problem}"));
            return Ok(Exit::BadCommand);
        }
    }
    let dir = match place.dir() {
        Ok(dir) => dir,
        Err(exit) => return Ok(exit),
    };
    let trail = match last_checkpoint(&dir) {
        Ok(checkpoint) => checkpoint,
        Err(unreadable) => return Ok(failed(&Report(&unreadable).to_string())),
    };
    let sealed = trail.as_ref().map_or(0, |trail| trail.size);
    // What has not happened yet has not been reviewed.
    let [from, to] = [*from, (*to).min(now)].map(clock::rfc3339);
    let said = format!(
        "signed off: {from} to {to}, with {} of the trail sealed; the sidecar puts it on record within seconds, or at its next start",
        Count(sealed, "record")
    );
    let review = Review {
        at: String::new(), // whoever takes it says when
        reviewer: reviewer.clone(),
        by: who(),
        from,
        to,
        note: note.clone(),
        report: report.as_deref().map(reviewed).transpose()?,
        trail,
    };
    match review.hand_in(&dir) {
        Ok(()) => {
            console::line(&said);
            Ok(Exit::Fine)
        }
        Err(error) => Ok(failed(&Report(&error).to_string())),
    }
}

fn failed(problem: &str) -> Exit {
    console::error(&format!("error: {problem}"));
    Exit::Failed
}

/// A report by its name and digest, whatever its size.
fn reviewed(path: &Path) -> anyhow::Result<ReviewedReport> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).with_context(unreadable)?;
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(bytes) => context.update(bytes),
        }
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let sha256 = hex::encode(context.finish());
    Ok(ReviewedReport { file: name.unwrap_or_default(), sha256 })
}
