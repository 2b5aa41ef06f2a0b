//! `myelin audit tail`: the last records of a trail on readable lines, and what comes after them as it comes.

mod line;
mod reader;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

pub(in crate::cli) use self::line::Look;
use self::reader::{Found, Reader};
use super::super::console::{self, Stream};
use super::super::{ConfigFile, Exit, environment, wait};
use super::query::{Filter, FormName, dirs, tell};
use super::reads::Reads;
use crate::audit::Reading;
use crate::audit::forms::Form;

/// A trail is looked at so often.
const PAUSE: Duration = Duration::from_millis(200);
/// While there is more to read: a moment in which SIGINT is seen.
const NEXT: Duration = Duration::from_millis(1);

const AFTER: &str = "\
Checkpoints are left out unless `--action checkpoint` asks for them. With --follow a record is shown as soon as its line
is whole, which may be a moment before it is on disk for good. SIGINT ends it, and so does a reader that goes away.

Exit codes: 0 fine, 1 something could not be read or passed over, 2 bad command line, 3 bad configuration";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    filter: Filter,
    /// So many records to begin with
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    lines: u32,
    /// Goes on with new records as they come
    #[arg(short, long)]
    follow: bool,
    /// Another form than readable lines, as `audit query` has it
    #[arg(long, value_enum)]
    format: Option<FormName>,
    /// Time as this machine's zone has it; otherwise UTC
    #[arg(long)]
    local: bool,
    /// Colours: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// `NO_COLOR` counts if it is not empty (no-color.org).
    fn is_wanted(self) -> bool {
        let is_refused = || environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto => console::is_terminal() && !is_refused(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if let Err(problem) = arguments.filter.sought() {
        console::error(&format!("error: {problem}"));
        return Ok(Exit::BadCommand);
    }
    let dirs = match dirs(&arguments.filter, &arguments.file) {
        Ok(dirs) => dirs,
        Err(exit) => return Ok(exit),
    };
    let show = Show {
        form: arguments.format.map(Form::from),
        look: Look { is_local: arguments.local, is_coloured: arguments.color.is_wanted() },
        shown: 0,
    };
    tail(arguments, &dirs, show)
}

fn tail(arguments: &Arguments, dirs: &[PathBuf], mut show: Show) -> anyhow::Result<Exit> {
    let mut reads = Reads::begin(dirs, "audit tail", &arguments.filter.names());
    let mut out = Stream::new();
    if let Some(form) = show.form {
        let _reader_gone = out.write(&form.head());
    }
    let mut reading = Reading::default();
    let mut readers = Vec::new();
    let mut found = Vec::new();
    let mut problem = None;
    for dir in dirs {
        match Reader::of(dir, arguments, &mut reading) {
            Ok((reader, last)) => {
                readers.push(reader);
                found.extend(last);
            }
            Err(unreadable) => problem = Some(unreadable),
        }
    }
    found.sort_by_key(|found: &Found| found.recorded.at);
    found.drain(..found.len().saturating_sub(arguments.lines as usize));
    let exit = if arguments.follow && !readers.is_empty() {
        let following = follow(&mut readers, &mut reads, (&mut show, &mut out), found);
        let exit = tell(&reading, problem);
        let ended = wait(following)??;
        let has_holes = readers.iter().any(Reader::has_holes);
        ended.unwrap_or(if has_holes { Exit::Failed } else { exit })
    } else {
        let _reader_gone = show.all(found, &mut out);
        tell(&reading, problem)
    };
    reads.finish(show.shown);
    Ok(exit)
}

/// Shows the last records and goes on until nobody reads it any more, or SIGINT comes. With how it ended, if not well.
async fn follow(
    readers: &mut [Reader],
    reads: &mut Reads,
    (show, out): (&mut Show, &mut Stream),
    mut found: Vec<Found>,
) -> io::Result<Option<Exit>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let pause = if found.is_empty() { PAUSE } else { NEXT };
        let is_over = !show.all(found, out) || !console::is_read();
        if is_over || timeout(pause, interrupt.recv()).await.is_ok() {
            return Ok(None);
        }
        reads.again();
        found = Vec::new();
        for reader in &mut *readers {
            match reader.news() {
                Ok(news) => found.extend(news),
                Err(problem) => {
                    console::error(&format!("error: {problem}"));
                    return Ok(Some(Exit::Failed));
                }
            }
        }
        found.sort_by_key(|found| found.recorded.at);
    }
}

/// How records are shown.
struct Show {
    form: Option<Form>,
    look: Look,
    /// How many were.
    shown: u64,
}

impl Show {
    /// Shows records; whether somebody reads them.
    fn all(&mut self, found: Vec<Found>, out: &mut Stream) -> bool {
        let width = console::width();
        for Found { line, recorded } in &found {
            let mut told = Vec::new();
            match self.form {
                Some(form) => form.tell(line, recorded, &mut told),
                None => told = self.look.line(recorded, width).into_bytes(),
            }
            if out.write(&told).is_break() {
                return false;
            }
            self.shown += 1;
        }
        out.flush().is_continue()
    }
}
