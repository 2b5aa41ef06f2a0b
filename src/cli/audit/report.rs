//! `myelin audit report`: what a reviewer asks of a period.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use clap::ValueEnum;
use time::OffsetDateTime;

use super::super::{Exit, console, moment, put};
use super::place::Place;
use super::reads::Reads;
use super::verify::{bar, with_bar};
use super::with_kept;
use crate::audit::report::{About, Attestation, Facts, Gathering};
use crate::audit::{Kept, Reading, Recorded, Review, Verified, Window};
use crate::clock;
use crate::report::{Count, Report};

const AFTER: &str = "\
The whole trail is checked as `myelin audit verify` does, and read once. What the report says goes no further than the trail: it is evidence towards a review, \
and does not show that anybody complies with a rule.

Exit codes: 0 fine, 1 the trail does not stand its checks or something was passed over (the report says so, and is made), 2 bad command line, 3 bad configuration";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Nothing older: a duration like 30d, a date like 2026-11-01, or a moment like 2026-11-01T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    from: OffsetDateTime,
    /// Nothing newer: the same; a date is its end [default: now]
    #[arg(long, value_name = "WHEN", value_parser = moment::until)]
    to: Option<OffsetDateTime>,
    /// Where the report goes, a new file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How it is told
    #[arg(long, value_enum, default_value = "html")]
    format: Shape,
    /// A checkpoint of the trail that was kept elsewhere; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// A verifier key that must have sealed part of the trail; may be repeated
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A page that needs nothing else, for a screen and for paper
    Html,
    /// One object
    Json,
    /// Rows; the first two cells say of which part and table
    Csv,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let made = clock::now();
    let period = Window { from: Some(arguments.from), to: Some(arguments.to.unwrap_or(made)) };
    if period.to <= period.from {
        return Ok(bad("--to is before --from: nothing is between them"));
    }
    // Before the work, which may take minutes.
    if let Some(there) = arguments.out.as_ref().filter(|out| out.exists()) {
        let there = there.display();
        return Ok(bad(&format!(
            "{there} is there already, and a report that was signed off must stay as it is: give another name"
        )));
    }
    let dir = match arguments.place.dir() {
        Ok(dir) => dir,
        Err(exit) => return Ok(exit),
    };
    with_kept(&arguments.key, &arguments.checkpoint, |kept| {
        let held_against = arguments.key.len() + arguments.checkpoint.len();
        report(arguments, &dir, period, made, (kept, held_against))
    })
}

fn bad(problem: &str) -> Exit {
    console::error(&format!("error: {problem}"));
    Exit::BadCommand
}

fn report(
    arguments: &Arguments,
    dir: &Path,
    period: Window,
    made: OffsetDateTime,
    (kept, held_against): (&Kept, usize),
) -> anyhow::Result<Exit> {
    let reads = Reads::begin(&[dir.to_owned()], "audit report", &["from", "to"]);
    let verified = with_bar(dir, kept).map_err(|broken| Report(&broken).to_string());
    let mut reading = Reading::default();
    let gathering = match gather(dir, period, &mut reading, verified.as_ref().ok()) {
        Ok(gathering) => gathering,
        Err(unreadable) => {
            console::error(&format!("error: {unreadable}"));
            return Ok(Exit::Failed);
        }
    };
    reads.finish(reading.records);
    let is_whole = verified.is_ok() && reading.broken == 0;
    let attestation = Attestation { verified, held_against };
    let trail = dir.display().to_string();
    let about = About { made, trail, attestation, waiting: Review::waiting(dir), reading };
    put(arguments, dir, so_far(period, made), &gathering.finish(about))?;
    if !is_whole {
        console::error("warning: the trail does not stand its checks; the report says why");
    }
    Ok(if is_whole { Exit::Fine } else { Exit::Failed })
}

/// Reads all records: those before the period say who is not new, those behind it who has reviewed it.
fn gather(
    dir: &Path,
    period: Window,
    reading: &mut Reading,
    verified: Option<&Verified>,
) -> Result<Gathering, String> {
    let mut gathering = Gathering::of(period);
    let mut line = console::Progress::new();
    let (first, last) = verified.map_or((0, 0), |it| (it.first_sequence, it.last_sequence));
    let mut read = 0_u64;
    let mut each = |_line: &[u8], record: Recorded| {
        gathering.take(&record);
        read += 1;
        if read.is_multiple_of(1000) {
            line.show(|| {
                let done = record.event.sequence.saturating_sub(first);
                let bar = bar(done, last.saturating_sub(first));
                format!("{bar} {} counted", Count(read, "record"))
            });
        }
        ControlFlow::Continue(())
    };
    let read = reading.search(dir, Window::default(), &mut each);
    read.map_err(|error| Report(&error).to_string())?;
    drop(line);
    Ok(gathering)
}

/// As much of a period as was over then: nobody can sign off what is still to come.
fn so_far(Window { from, to }: Window, made: OffsetDateTime) -> Window {
    Window { from, to: to.map(|to| to.min(made)) }
}

fn put(arguments: &Arguments, dir: &Path, period: Window, facts: &Facts) -> anyhow::Result<()> {
    let told = match arguments.format {
        Shape::Html => facts.html().into_bytes(),
        Shape::Json => facts.json()?.into_bytes(),
        Shape::Csv => facts.csv(),
    };
    let Some(out) = &arguments.out else {
        console::bytes(&told);
        return Ok(());
    };
    put::write(out, 0o600, &told)?;
    let sum = hex::encode(digest(&SHA256, &told));
    let (out, length) = (out.display(), told.len());
    let [from, to] = [period.from, period.to].map(|at| at.map(clock::rfc3339).unwrap_or_default());
    console::error(&format!(
        "{out}: {length} bytes, SHA-256 {sum}\nonce it is reviewed: myelin audit sign-off --audit {} --from {from} --to {to} --reviewer NAME --report {out}",
        dir.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_is_to_be_signed_off_ends_when_the_report_was_made() {
        let [from, made, later] = [
            datetime!(2026-11-01 00:00 UTC),
            datetime!(2026-11-20 12:00 UTC),
            datetime!(2026-12-01 00:00 UTC),
        ];
        let end = |to| so_far(Window { from: Some(from), to: Some(to) }, made).to;

        assert_eq!(end(later), Some(made));
        assert_eq!(end(from), Some(from));
    }
}
