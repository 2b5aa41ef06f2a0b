//! `myelin run`: the sidecar itself, in a worker process, and the parent in front of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::findings::Findings;
use super::{ConfigFile, Exit, Format, console, environment, load};
use crate::config::{Config, Problems};
use crate::parent::{self, Activation, Manager, Program};
use crate::report::Report;
use crate::runtime::{
    Inheritance, Obstacle, Orders, Sidecar, StartError, bind_early, confine, decline, raise_limit,
    until_stopped,
};
use crate::sandbox::{Needs, Sandbox};
use crate::shutdown::Drained;
use crate::telemetry::log;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Started by the parent process, which has this id
    #[arg(long, value_name = "PID", hide = true)]
    worker_of: Option<u32>,
    /// Ends well unless the system ends whoever asks for a sandbox
    #[arg(long, hide = true)]
    try_sandbox: bool,
}

pub(super) fn run(arguments: &Arguments, log: log::Format) -> anyhow::Result<Exit> {
    if arguments.try_sandbox {
        let _put_on = Sandbox::put_on(&Needs::default());
        return Ok(Exit::Fine);
    }
    match arguments.worker_of {
        None => front(),
        Some(parent) => worker(arguments, parent, log),
    }
}

/// The parent process.
fn front() -> anyhow::Result<Exit> {
    let program = Program::this(std::env::args_os(), environment("PATH").map(Into::into));
    let manager = Manager::of(&environment).context("NOTIFY_SOCKET names no socket")?;
    let sockets = Activation::of(&environment)?;
    Ok(Exit::Worker(parent::run(&program, &manager, &sockets)?))
}

/// The worker: the sidecar.
fn worker(arguments: &Arguments, parent: u32, log: log::Format) -> anyhow::Result<Exit> {
    let channel = parent::join(parent)?;
    let path = &arguments.file.config;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (orders, inheritance) = runtime.block_on(async {
        let orders = Orders::over(channel)?;
        let inheritance = orders.begin().await;
        anyhow::Ok((orders, inheritance))
    })?;
    let config = match load(path) {
        Ok(config) => config,
        Err(problems) => {
            if let Some(predecessor) = inheritance.predecessor {
                runtime.block_on(decline(predecessor, problems.one_line()));
            }
            Findings::of(problems).print(Format::Text)?;
            return Ok(Exit::BadConfig);
        }
    };
    warn(&Findings::of(config.warnings.clone()), log)?;
    serve(&runtime, orders, (config, inheritance), path, log)
}

fn serve(
    runtime: &Runtime,
    orders: Orders,
    (config, mut inheritance): (Config, Inheritance),
    path: &Path,
    log: log::Format,
) -> anyhow::Result<Exit> {
    let descriptors = raise_limit(&config);
    if let Err(why) = prepare(&config, &mut inheritance) {
        if let Some(predecessor) = inheritance.predecessor {
            runtime.block_on(decline(predecessor, why.clone()));
        }
        console::error(&format!("error: {why}"));
        return Ok(Exit::Failed);
    }
    let sidecar = match runtime.block_on(Sidecar::start_unless(&orders, config, inheritance)) {
        Ok(Some(sidecar)) => sidecar,
        Ok(None) => {
            tracing::info!("stopped before anything had started");
            return Ok(Exit::Fine);
        }
        Err(error) => {
            for problem in problems(&error) {
                console::error(&format!("error: {problem}"));
            }
            return Ok(exit_of(&error));
        }
    };
    let mut found = Findings::of(Problems::none(path));
    for warning in &sidecar.started().warnings {
        found.warn("identity", warning.clone());
    }
    warn(&found, log)?;
    if let Err(too_few) = descriptors {
        tracing::warn!("{too_few}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listeners = sidecar.started().listeners.len(),
        admin = sidecar.started().admin.map(tracing::field::display),
        control =
            sidecar.started().control.as_ref().map(|path| tracing::field::display(path.display())),
        process = std::process::id(),
        "ready"
    );
    let drained = runtime.block_on(async {
        orders.ready().await;
        until_stopped(sidecar, orders, || load(path)).await
    });
    match drained {
        Drained::Clean => tracing::info!("stopped; everything had finished"),
        Drained::Cut(left) => tracing::warn!(left, "stopped; what had not finished was cut"),
    }
    Ok(Exit::Fine)
}

/// Takes what needs a privilege, and then gives up whatever the work does not need, before a second thread begins.
fn prepare(config: &Config, inheritance: &mut Inheritance) -> Result<(), String> {
    inheritance.early =
        bind_early(config, inheritance).map_err(|error| Report(&error).to_string())?;
    let sandbox = confine(config, rehearse).map_err(|incomplete| incomplete.to_string())?;
    for text in &sandbox.missing {
        tracing::warn!("sandbox: {text}");
    }
    inheritance.sandbox = sandbox.into();
    Ok(())
}

/// Whether a process lives that asks for a sandbox. It is tried by another one: filters that kill tell nobody before.
fn rehearse() -> bool {
    let mut other = Command::new("/proc/self/exe");
    other.args(["run", "--try-sandbox"]).stdin(Stdio::null()).stdout(Stdio::null());
    other.status().is_ok_and(|ended| ended.success())
}

/// Tells what deserves a look: as `check` does, unless a program reads the log.
fn warn(findings: &Findings, log: log::Format) -> anyhow::Result<()> {
    match log {
        log::Format::Text => findings.print(Format::Text),
        log::Format::Json => {
            findings.log();
            Ok(())
        }
    }
}

/// What is in the way, one a text; of key material and trail the same as `check` says.
fn problems(error: &StartError) -> Vec<String> {
    match error {
        StartError::Obstacle(Obstacle::Material(error)) => error.problems(),
        StartError::Audit(error) => vec![Report(error).to_string()],
        StartError::Pseudonyms(error) => vec![Report(error).to_string()],
        StartError::Obstacle(Obstacle::Rego(error)) => vec![error.to_string()],
        StartError::Obstacle(
            Obstacle::Service(_) | Obstacle::Build(_) | Obstacle::Bind(_) | Obstacle::Activation(_),
        )
        | StartError::Predecessor(_)
        | StartError::Threads(_)
        | StartError::Metrics(_)
        | StartError::Lost => vec![Report(error).to_string()],
    }
}

/// Key material and configuration are for the operator to mend; the rest is the machine's.
fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::Obstacle(
            Obstacle::Material(_)
            | Obstacle::Rego(_)
            | Obstacle::Service(_)
            | Obstacle::Build(_)
            | Obstacle::Activation(_),
        )
        | StartError::Pseudonyms(_) => Exit::BadConfig,
        StartError::Obstacle(Obstacle::Bind(_))
        | StartError::Predecessor(_)
        | StartError::Threads(_)
        | StartError::Audit(_)
        | StartError::Metrics(_)
        | StartError::Lost => Exit::Failed,
    }
}
