//! `myelin explain`: which rule lets this peer do this, or which came nearest, and why each does not.

mod answer;
mod listeners;
mod question;
mod who;

use std::sync::Arc;

use time::OffsetDateTime;

use self::answer::{Answer, Asking};
pub(super) use self::listeners::known;
use self::question::What;
use self::who::{Peers, Who};
use super::findings::Findings;
use super::narrowing::narrowing;
use super::{ConfigFile, Exit, Format, console, load};
use crate::authz::RegoPolicy;
use crate::clock;
use crate::config::{Config, read_moment};

const EXIT_CODES: &str = "\
Exit codes: 0 allowed on every listener asked about, 1 denied on one of them, 2 a bad argument, such as \
a peer that is not in the configuration, 3 bad configuration or key material";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    who: Who,
    /// The listener; without it all inbound ones of the question's protocol
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    #[command(flatten)]
    what: What,
    /// When: a date, which is the end of that day in UTC, or a moment like 2027-06-30T18:00:00Z [default: now]
    #[arg(long, value_name = "WHEN", value_parser = read_moment)]
    at: Option<OffsetDateTime>,
    /// How to print the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Why there is no answer.
struct Unanswered {
    exit: Exit,
    problems: Vec<String>,
}

impl Unanswered {
    fn argument(problem: String) -> Self {
        Self { exit: Exit::BadCommand, problems: vec![problem] }
    }

    fn material(problems: Vec<String>) -> Self {
        Self { exit: Exit::BadConfig, problems }
    }
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
    let answers = match answers(&config, rego.as_ref(), arguments) {
        Ok(answers) => answers,
        Err(Unanswered { exit, problems }) => {
            for problem in problems {
                console::error(&format!("error: {problem}"));
            }
            return Ok(exit);
        }
    };
    match arguments.format {
        Format::Text => answers.iter().for_each(|answer| console::line(&answer.to_string())),
        Format::Json => {
            let values: Vec<_> = answers.iter().map(Answer::json).collect();
            console::line(&serde_json::to_string_pretty(&values)?);
        }
    }
    Ok(if answers.iter().all(|answer| answer.allowed) { Exit::Fine } else { Exit::Failed })
}

fn answers(
    config: &Config,
    rego: Option<&Arc<RegoPolicy>>,
    arguments: &Arguments,
) -> Result<Vec<Answer>, Unanswered> {
    let question = &arguments.what.question();
    let listeners = listeners::asked(config, arguments.listener.as_deref(), question)?;
    let now = arguments.at.unwrap_or_else(clock::now);
    let peers = Peers::of(config, &arguments.who, now)?;
    let answers = listeners.into_iter().map(|listener| {
        let seen = peers.seen_by(config, listener, now)?;
        Ok(Asking { config, rego, listener, question, now }.answer(&seen))
    });
    answers.collect()
}
