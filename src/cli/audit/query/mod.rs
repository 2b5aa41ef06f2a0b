//! `myelin audit query`: finds records, and tells them in the form that is asked for.

mod filter;
mod groups;
mod sorted;

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

pub(super) use self::filter::Filter;
use self::groups::Groups;
use self::sorted::Sorted;
use super::super::{ConfigFile, Exit, console};
use super::place::{configured, no_file};
use super::reads::Reads;
use crate::audit::forms::{Field, Form};
use crate::audit::{Indexes, Reading, Recorded, Sought};
use crate::report::{Count, Report};

const AFTER: &str = "\
Each record is one line. config/audit-forms.md says what stands where, and lists the fields.

Exit codes: 0 fine, 1 something could not be read or passed over, 2 bad command line, 3 bad configuration";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    filter: Filter,
    /// How records are told
    #[arg(long, value_enum, default_value = "jsonl")]
    format: FormName,
    /// Sorts by a field, like peer or time
    #[arg(long, value_name = "FIELD", value_parser = fields(), hide_possible_values = true)]
    sort: Option<String>,
    /// Sorts downwards
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// So many records at most
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["count", "group_by"])]
    limit: Option<NonZeroU64>,
    /// Prints how many records there are
    #[arg(long, conflicts_with_all = ["sort", "group_by", "format"])]
    count: bool,
    /// Prints how many records there are of each value of a field; as jsonl or csv
    #[arg(long, value_name = "FIELD", value_parser = fields(), hide_possible_values = true, conflicts_with = "sort")]
    group_by: Option<String>,
    /// Reads all files, whatever the indexes beside them say, and makes none
    #[arg(long)]
    no_index: bool,
}

/// The forms by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormName {
    /// The trail's lines as they are
    Jsonl,
    /// For spreadsheets
    Csv,
    /// Elastic Common Schema without fields of our own
    Ecs,
    /// Open Cybersecurity Schema Framework 1.8
    Ocsf,
    /// ArcSight Common Event Format
    Cef,
    /// DICOM audit messages, as IHE ATNA sends them
    Atna,
    /// FHIR R4 AuditEvents
    Fhir,
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Jsonl => Self::Jsonl,
            FormName::Csv => Self::Csv,
            FormName::Ecs => Self::Ecs,
            FormName::Ocsf => Self::Ocsf,
            FormName::Cef => Self::Cef,
            FormName::Atna => Self::Atna,
            FormName::Fhir => Self::Fhir,
        }
    }
}

fn fields() -> PossibleValuesParser {
    PossibleValuesParser::new(Field::ALL.iter().map(|field| field.name()))
}

/// What is done with the records that are found.
enum Wanted {
    /// Told as they come.
    Told(Form),
    Sorted(Form, Sorted),
    Counted {
        records: u64,
        events: u64,
    },
    Grouped(Groups, bool),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let sought = match arguments.filter.sought() {
        Ok(sought) => sought,
        Err(problem) => return Ok(bad_command(&problem)),
    };
    let wanted = match Wanted::of(arguments) {
        Ok(wanted) => wanted,
        Err(problem) => return Ok(bad_command(&problem)),
    };
    let dirs = match dirs(&arguments.filter, &arguments.file) {
        Ok(dirs) => dirs,
        Err(exit) => return Ok(exit),
    };
    Ok(query(arguments, &sought, wanted, &dirs))
}

fn bad_command(problem: &str) -> Exit {
    console::error(&format!("error: {problem}"));
    Exit::BadCommand
}

/// The trails' directories: those that were named, or the configuration's.
pub(super) fn dirs(filter: &Filter, file: &ConfigFile) -> Result<Vec<PathBuf>, Exit> {
    filter.audit.iter().try_for_each(|path| no_file(path))?;
    if !filter.audit.is_empty() {
        return Ok(filter.audit.clone());
    }
    configured(file).map(|dir| vec![dir])
}

fn query(arguments: &Arguments, sought: &Sought, mut wanted: Wanted, dirs: &[PathBuf]) -> Exit {
    let mut out = console::Stream::new();
    let reads = Reads::begin(dirs, "audit query", &arguments.filter.names());
    let mut seen = 0;
    let mut left = arguments.limit.map_or(u64::MAX, NonZeroU64::get);
    let mut reading = Reading::default();
    let mut problem = None;
    let indexes = if arguments.no_index { Indexes::Passed } else { Indexes::Used };
    if let Wanted::Told(form) = &wanted {
        let _reader_gone = out.write(&form.head());
    }
    for dir in dirs {
        let mut each = |line: &[u8], recorded: Recorded| {
            seen += 1;
            if matches!(wanted, Wanted::Told(_)) {
                left -= 1;
            }
            let next = wanted.take(line, &recorded, &mut out);
            if left == 0 { ControlFlow::Break(()) } else { next }
        };
        if let Err(unreadable) = reading.find(dir, sought, indexes, &mut each) {
            problem = Some(Report(&unreadable).to_string());
            break;
        }
    }
    let finished = wanted.finish(&mut out, left);
    drop(out); // what is told of it comes behind it
    reads.finish(seen);
    tell(&reading, problem.or_else(|| finished.err()))
}

/// Tells of what could not be read: an answer with holes in it must not pass for a whole one.
pub(super) fn tell(reading: &Reading, problem: Option<String>) -> Exit {
    for told in &reading.told {
        console::error(&format!("warning: {told}; passed over"));
    }
    let more = reading.broken.saturating_sub(reading.told.len() as u64);
    if more > 0 {
        console::error(&format!("warning: {} more passed over", Count(more, "line")));
    }
    if let Some(problem) = &problem {
        console::error(&format!("error: {problem}"));
    }
    if reading.broken > 0 || problem.is_some() { Exit::Failed } else { Exit::Fine }
}

impl Wanted {
    fn of(arguments: &Arguments) -> Result<Self, String> {
        let form = Form::from(arguments.format);
        let named = |name: &Option<String>| name.as_deref().and_then(Field::named);
        if arguments.count {
            return Ok(Self::Counted { records: 0, events: 0 });
        }
        if let Some(field) = named(&arguments.group_by) {
            return match form {
                Form::Jsonl => Ok(Self::Grouped(Groups::by(field), false)),
                Form::Csv => Ok(Self::Grouped(Groups::by(field), true)),
                _ => Err("--group-by prints numbers, which have --format jsonl or csv".to_owned()),
            };
        }
        Ok(match named(&arguments.sort) {
            Some(field) => Self::Sorted(form, Sorted::by(field, arguments.reverse)),
            None => Self::Told(form),
        })
    }

    fn take(
        &mut self,
        line: &[u8],
        recorded: &Recorded,
        out: &mut console::Stream,
    ) -> ControlFlow<()> {
        match self {
            Self::Told(form) => {
                let mut told = Vec::new();
                form.tell(line, recorded, &mut told);
                return out.write(&told);
            }
            Self::Sorted(form, sorted) => return sorted.take(*form, line, recorded),
            Self::Grouped(groups, _) => groups.take(recorded),
            Self::Counted { records, events } => {
                *records += 1;
                *events = events.saturating_add(recorded.count());
            }
        }
        ControlFlow::Continue(())
    }

    /// Prints what is known at the end alone.
    fn finish(self, out: &mut console::Stream, left: u64) -> Result<(), String> {
        match self {
            Self::Told(_) => {}
            Self::Sorted(form, sorted) => sorted.write(form, left, out)?,
            Self::Grouped(groups, as_csv) => groups.write(as_csv, out),
            Self::Counted { records, events } => {
                let _reader_gone = out.write(format!("{records}\n").as_bytes());
                if events > records {
                    console::error(&format!("note: some stand for many, {events} events in all"));
                }
            }
        }
        Ok(())
    }
}
