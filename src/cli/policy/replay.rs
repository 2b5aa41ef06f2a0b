//! `myelin policy replay`

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::findings::Findings;
use super::super::narrowing::narrowing;
use super::super::{ConfigFile, Exit, Format, console, load};
use super::seen::Seen;
use crate::clock;
use crate::config::Config;
use crate::report::Count;
use crate::review::{Change, Denial, History, Judge, Replay, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    file: ConfigFile,
    /// Fails as well when somebody would newly be allowed
    #[arg(long)]
    newly_allowed: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = match load(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => {
            Findings::of(problems).print(arguments.format)?;
            return Ok(Exit::BadConfig);
        }
    };
    let rego = match narrowing(&config, arguments.format)? {
        Ok(rego) => rego,
        Err(exit) => return Ok(exit),
    };
    let history = match arguments.seen.history() {
        Ok(history) => history,
        Err(exit) => return Ok(exit),
    };
    let judge = Judge::new(&config, clock::now()).narrowed_by(rego.as_ref());
    let replay = Replay::of(&history, &judge);
    match arguments.format {
        Format::Text => console::print(&text(&config, &history, &replay)),
        Format::Json => {
            console::line(&serde_json::to_string_pretty(&to_json(&history, &replay))?);
        }
    }
    let fails = !replay.denied.is_empty()
        || history.left_out > 0
        || (arguments.newly_allowed && !replay.allowed.is_empty());
    Ok(if fails { Exit::Failed } else { Exit::Fine })
}

fn text(config: &Config, history: &History, replay: &Replay) -> String {
    let mut out = String::new();
    let file = config.path.file_name().map(Path::new).unwrap_or(&config.path).display().to_string();
    changes(&mut out, "newly denied", &replay.denied, &file);
    changes(&mut out, "newly allowed", &replay.allowed, &file);
    let _infallible = writeln!(
        out,
        "{}, {} told apart: {} newly denied, {} newly allowed, {} as before",
        Count(history.reading.records, "record"),
        Count(history.attempts().len() as u64, "attempt"),
        replay.denied.len(),
        replay.allowed.len(),
        replay.same
    );
    for (why, (attempts, records)) in &replay.unjudged {
        let (attempts, records) = (*attempts as u64, Count(*records, "record"));
        let _infallible = writeln!(
            out,
            "not judged: {} in {records}: {}",
            Count(attempts, "attempt"),
            why.text()
        );
    }
    for (listener, records) in &replay.unknown_listeners {
        let _infallible =
            writeln!(out, "no listener `{listener}` in {file}: {}", Count(*records, "record"));
    }
    if history.refused + history.beside > 0 {
        let _infallible = writeln!(
            out,
            "left aside: {} that came to nothing, {} for other reasons than rules",
            Count(history.refused, "handshake"),
            Count(history.beside, "denial")
        );
    }
    if history.summed_up > 0 {
        let _infallible = writeln!(
            out,
            "not told apart: {} that are on record as sums alone, for there were too many",
            Count(history.summed_up, "denial")
        );
    }
    let observed = config.inbound.iter().filter_map(|one| Some((one, one.observe_until?)));
    for (listener, until) in observed.filter(|(_, until)| *until > clock::now()) {
        let _infallible = writeln!(
            out,
            "note: `{}` denies nothing before {}: policy is only observed until then",
            listener.name,
            until.date()
        );
    }
    out
}

fn changes(out: &mut String, what: &str, changes: &[Change], file: &str) {
    let mut before = None;
    for change in changes {
        if before != Some((&change.listener, &change.who)) {
            let _infallible = writeln!(out, "{what} on {}: {}", change.listener, change.who);
        }
        before = Some((&change.listener, &change.who));
        let tally = change.tally;
        let (first, last) = (tally.first.date(), tally.last.date());
        let when = if first == last { format!("{last}") } else { format!("{first} to {last}") };
        let observed =
            if tally.would_deny > 0 { ", let through while policy was observed" } else { "" };
        let count = Count(tally.count(), "time");
        let _infallible = writeln!(out, "  {}: {count}, {when}{observed}", change.what);
        let _infallible = match &change.verdict {
            Verdict::Denied(denial) => writeln!(
                out,
                "    {} by {}{}: {}",
                denial.label(),
                denial.rule,
                place(file, denial.line),
                denial.why
            ),
            Verdict::Allowed { rule, line } => {
                writeln!(out, "    allowed by {rule}{}", place(file, *line))
            }
            Verdict::Unjudged(why) => writeln!(out, "    {}", why.text()),
        };
    }
}

fn place(file: &str, line: u32) -> String {
    if line > 0 { format!(" ({file}:{line})") } else { String::new() }
}

fn to_json(history: &History, replay: &Replay) -> Value {
    let all = |changes: &[Change]| changes.iter().map(change_json).collect::<Vec<_>>();
    let unjudged: Vec<_> = replay
        .unjudged
        .iter()
        .map(|(why, (attempts, records))| {
            json!({ "why": why.text(), "attempts": attempts, "records": records })
        })
        .collect();
    json!({
        "reading": history.reading,
        "newly_denied": all(&replay.denied),
        "newly_allowed": all(&replay.allowed),
        "same": replay.same,
        "unjudged": unjudged,
        "unknown_listeners": replay.unknown_listeners,
        "refused_handshakes": history.refused,
        "denied_for_other_reasons": history.beside,
        "not_told_apart": history.summed_up,
        "left_out": history.left_out,
    })
}

fn change_json(change: &Change) -> Value {
    let (rule, line) = match &change.verdict {
        Verdict::Denied(denial) => (Some(&denial.rule), Some(denial.line)),
        Verdict::Allowed { rule, line } => (Some(rule), Some(*line)),
        Verdict::Unjudged(_) => (None, None),
    };
    let denial = change.denial();
    let tally = change.tally;
    json!({
        "listener": change.listener,
        "who": change.who,
        "what": change.what,
        "count": tally.count(),
        "observed": tally.would_deny,
        "first": moment(tally.first),
        "last": moment(tally.last),
        "rule": rule,
        "line": line,
        "reason": denial.map(Denial::label),
        "why": denial.map(|denial| &denial.why),
    })
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}
