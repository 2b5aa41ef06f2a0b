//! The commands. The only place that reads the environment and prints.

mod audit;
mod ca;
mod chain;
mod check;
mod console;
mod control;
mod demo;
mod exec;
mod explain;
mod findings;
mod healthcheck;
mod import;
mod init;
mod inject;
mod manual;
mod moment;
mod narrowing;
mod policy;
mod probe;
mod put;
mod redirect;
mod run;
mod sheet;
mod status;
mod wait;

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
    /// How log lines look, on standard error. Default: MYELIN_LOG_FORMAT, or else auto
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
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
    /// Makes a configuration of what stunnel's says
    Import(import::Arguments),
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
    /// The kernel's rules that send to the sidecar what was to go elsewhere
    Redirect(redirect::Arguments),
    /// Looks at the audit trail
    Audit(audit::Arguments),
    /// Shows what a running sidecar is doing
    Status(status::Arguments),
    /// Returns when the sidecar is ready, so that what needs it can start then
    Wait(wait::Arguments),
    /// Waits until the sidecar is ready, then becomes the program that is named
    Exec(exec::Arguments),
    /// Has a running sidecar read its configuration again, and tells what is in the way
    Reload(control::Reload),
    /// Has a running sidecar finish what is open, and end
    Drain(control::Drain),
    /// Tells or changes what a running sidecar logs
    LogLevel(control::LogLevel),
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
            | Self::Import(_)
            | Self::Inject(_)
            | Self::Explain(_)
            | Self::Policy(_)
            | Self::Probe(_)
            | Self::Redirect(_)
            | Self::Audit(_)
            | Self::Healthcheck(_)
            | Self::Status(_)
            | Self::Wait(_)
            | Self::Exec(_)
            | Self::Reload(_)
            | Self::Drain(_)
            | Self::LogLevel(_)
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

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// `run`: for people on a terminal, else for programs; other commands: for people
    Auto,
    /// For people
    #[value(alias = "text")]
    Human,
    /// For programs: one object a line, in names of the Elastic Common Schema
    Json,
}

/// How a command ended: the exit codes of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Fine,
    Failed,
    BadCommand,
    BadConfig,
    /// A plugin of Nagios has exit codes of its own.
    Plugin(u8),
    /// As the worker of `run` did.
    Worker(u8),
    /// As the program of `exec` did, or as a shell says that there is none.
    Program(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::BadCommand => Self::from(2),
            Exit::BadConfig => Self::from(3),
            Exit::Plugin(code) => Self::from(code),
            Exit::Worker(code) | Exit::Program(code) => Self::from(code),
        }
    }
}

/// Runs the command that the arguments name. A bad command line exits with 2.
pub fn main() -> ExitCode {
    let Arguments { log_format: format, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--nagios") => {
            let text = error.to_string();
            return check::unknown(text.lines().next().unwrap_or("bad command line")).into();
        }
        Err(error) => error.exit(),
    };
    let is_plugin = matches!(&command, Command::Check(arguments) if arguments.is_plugin());
    // To whoever asks as Nagios does, 1 would be WARNING and 2 CRITICAL.
    let failed = |why: &str, exit| {
        if is_plugin {
            return check::unknown(why);
        }
        console::error(&format!("error: {why}"));
        exit
    };
    let logged = log_format(format, &command)
        .and_then(|format| log_filter(&command).map(|filter| (format, filter)));
    let (format, filter) = match logged {
        Ok(logged) => logged,
        Err(problem) => return failed(&problem, Exit::BadCommand).into(),
    };
    log::start(format, &filter);
    done(command, format)
        .unwrap_or_else(|error| failed(&Report(error.as_ref()).to_string(), Exit::Failed))
        .into()
}

fn done(command: Command, format: log::Format) -> anyhow::Result<Exit> {
    match command {
        Command::Run(arguments) => run::run(&arguments, format),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Inject(arguments) => inject::run(&arguments),
        Command::Ca(arguments) => ca::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Redirect(arguments) => redirect::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Wait(arguments) => wait::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
        Command::Reload(arguments) => control::reload(&arguments),
        Command::Drain(arguments) => control::drain(&arguments),
        Command::LogLevel(arguments) => control::log_level(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Completions(arguments) => Ok(manual::completions(&arguments)),
        Command::Man(arguments) => manual::pages(&arguments),
    }
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

fn log_filter(command: &Command) -> Result<log::Filter, String> {
    let text = environment("MYELIN_LOG").unwrap_or_else(|| command.log_filter().to_owned());
    text.parse().map_err(|error| format!("MYELIN_LOG: {error}"))
}

/// What `--log-format` says, or the environment, or else what suits where the log goes.
fn log_format(said: Option<LogFormat>, command: &Command) -> Result<log::Format, String> {
    let said = match (said, environment("MYELIN_LOG_FORMAT")) {
        (Some(said), _) => said,
        (None, Some(text)) if !text.is_empty() => {
            let known = LogFormat::from_str(&text, false);
            known.map_err(|_unknown| {
                format!("MYELIN_LOG_FORMAT={} is neither auto, human nor json", text.escape_debug())
            })?
        }
        (None, _) => LogFormat::Auto,
    };
    Ok(match said {
        LogFormat::Human => log::Format::Text,
        LogFormat::Json => log::Format::Json,
        // What runs for long is read by a program unless somebody looks on.
        LogFormat::Auto if matches!(command, Command::Run(_)) && !console::is_log_seen() => {
            log::Format::Json
        }
        LogFormat::Auto => log::Format::Text,
    })
}
