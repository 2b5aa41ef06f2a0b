//! The commands. The only place that reads the environment and prints.

mod audit;
mod ca;
mod chain;
mod check;
mod console;
mod demo;
mod explain;
mod findings;
mod healthcheck;
mod init;
mod inject;
mod manual;
mod moment;
mod narrowing;
mod policy;
mod probe;
mod put;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, Problems};
use crate::report::Report;
use crate::telemetry::log;

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 failed while running, 2 bad command line, 3 bad configuration or key material";

/// A mutual-TLS sidecar for healthcare services that speak no TLS.
#[derive(Debug, Parser)]
#[command(name = "myelin", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the sidecar until SIGTERM
    Run(run::Arguments),
    /// Finds every problem of a configuration, its files and its certificates
    Check(check::Arguments),
    /// Brings up a sample clinic on loopback and tells what to try
    Demo(demo::Arguments),
    /// Writes a configuration and an authority for a service
    Init(init::Arguments),
    /// Puts the sidecar into the manifest of a Kubernetes workload
    Inject(inject::Arguments),
    /// The authority in a directory: issue, list, revoke
    Ca(ca::Arguments),
    /// Tells which rule lets a peer in, or which came nearest and why it does not
    Explain(Box<explain::Arguments>),
    /// Makes an allowlist of what was seen, and tells what another one would change
    Policy(policy::Arguments),
    /// Shakes hands with a server as this service, and tells what fails, why, and how to mend it
    Probe(probe::Arguments),
    /// Looks at the audit trail
    Audit(audit::Arguments),
    /// Asks a running sidecar whether it is ready; for containers without a shell
    Healthcheck(healthcheck::Arguments),
    /// Prints shell completions
    Completions(manual::Completions),
    /// Writes a manual page for each command; for packages
    #[command(hide = true)]
    Man(manual::Man),
}

impl Command {
    /// What is logged when the environment does not say: what explains itself on its own stays silent.
    fn log_filter(&self) -> &'static str {
        match self {
            Self::Demo(_) => "error",
            Self::Ca(_) => "warn",
            Self::Run(_)
            | Self::Check(_)
            | Self::Init(_)
            | Self::Inject(_)
            | Self::Explain(_)
            | Self::Policy(_)
            | Self::Probe(_)
            | Self::Audit(_)
            | Self::Healthcheck(_)
            | Self::Completions(_)
            | Self::Man(_) => "",
        }
    }
}

/// Which configuration a command works with.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "MYELIN_CONFIG",
        default_value = "/etc/myelin/myelin.yaml"
    )]
    config: PathBuf,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How a command ended: the exit codes of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Fine,
    Failed,
    BadCommand,
    BadConfig,
    /// As the worker of `run` did.
    Worker(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::BadCommand => Self::from(2),
            Exit::BadConfig => Self::from(3),
            Exit::Worker(code) => Self::from(code),
        }
    }
}

/// Runs the command that the arguments name. A bad command line exits with 2.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let format = match log_format() {
        Ok(format) => format,
        Err(problem) => {
            console::error(&format!("error: {problem}"));
            return Exit::BadCommand.into();
        }
    };
    let filter = environment("MYELIN_LOG").unwrap_or_else(|| command.log_filter().to_owned());
    log::start(format, &filter);
    let exit = match command {
        Command::Run(arguments) => run::run(&arguments, format),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Inject(arguments) => inject::run(&arguments),
        Command::Ca(arguments) => ca::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Completions(arguments) => Ok(manual::completions(&arguments)),
        Command::Man(arguments) => manual::pages(&arguments),
    };
    exit.unwrap_or_else(|error| {
        console::error(&format!("error: {}", Report(error.as_ref())));
        Exit::Failed
    })
    .into()
}

/// Waits for `work`, on a runtime of its own.
fn wait<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// Reads the configuration, with the environment to fill in from.
fn load(path: &Path) -> Result<Config, Problems> {
    config::load(path, &environment)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn log_format() -> Result<log::Format, String> {
    match environment("MYELIN_LOG_FORMAT").as_deref() {
        None | Some("") => Ok(log::Format::Text),
        Some(text) => text.parse().map_err(|error: log::FormatError| {
            format!("MYELIN_LOG_FORMAT={} {error}", text.escape_debug())
        }),
    }
}
