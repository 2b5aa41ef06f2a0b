//! Sidecars that run: in this process, or as a process of their own.

use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use myelin::config::{self, Config, ListenAddr};
use myelin::runtime::{ReloadError, Sidecar};
use myelin::shutdown::Drained;

use super::mesh::Setup;
use super::outside::Outside;
use super::process::Process;
use super::until;

impl Setup {
    /// Starts the sidecar in this process.
    pub(crate) async fn start(&self) -> Running {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, with certificates that live shorter than a configuration may say.
    pub(crate) async fn start_with_ttl(&self, short: Duration) -> Running {
        let mut config = self.load().unwrap_or_else(|problems| panic!("{problems}"));
        if let config::IdentitySource::Embedded(embedded) = &mut config.identity {
            embedded.ttl = short;
        }
        self.start_from(config).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the sidecar in this process; the error is the operator's text.
    pub(crate) async fn try_start(&self) -> Result<Running, String> {
        let config = self.load().unwrap_or_else(|problems| panic!("{problems}"));
        self.start_from(config).await
    }

    async fn start_from(&self, config: Config) -> Result<Running, String> {
        // Starting blocks until everything listens.
        let sidecar = tokio::task::spawn_blocking(move || Sidecar::start(config)).await.unwrap();
        let sidecar = sidecar.map_err(|error| myelin::report::Report(&error).to_string())?;
        let started = sidecar.started();
        let listeners = started.listeners.iter().map(|(name, address)| {
            let address = match address {
                ListenAddr::Tcp(address) => address.to_string(),
                ListenAddr::Unix(path) => format!("unix:{}", path.display()),
                ListenAddr::Redirected => "redirect".to_owned(),
            };
            (name.to_string(), address)
        });
        let outside = Outside {
            listeners: listeners.collect(),
            admin: started.admin.unwrap_or_else(|| ([127, 0, 0, 1], 9).into()),
            trail: self.trail(),
            config: self.path(),
        };
        Ok(Running { sidecar: Some(sidecar), outside })
    }

    /// Starts the sidecar as a process of its own, and waits until it is ready.
    pub(crate) async fn spawn(&self) -> Spawned {
        self.spawn_by(&mut self.command()).await
    }

    /// The same, with no more than so many open files.
    pub(crate) async fn spawn_with_files(&self, files: usize) -> Spawned {
        let command = self.command();
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
        limited.arg(command.get_program()).args(command.get_args());
        limited.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        self.spawn_by(&mut limited).await
    }

    /// The same, by a command of the test's own making.
    pub(crate) async fn spawn_by(&self, command: &mut Command) -> Spawned {
        let mut process = Process::start(command);
        let output = process.says("\"ready\"").await;
        let mut listeners = Vec::new();
        let mut admin = None;
        for line in output.lines() {
            let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let line = &line["myelin"];
            if let (Some(name), Some(address)) =
                (line["listener"].as_str(), line["listen"].as_str())
            {
                listeners.push((name.to_owned(), address.to_owned()));
            }
            if let Some(text) = line["admin"].as_str() {
                admin = text.trim_start_matches("Some(").trim_end_matches(')').parse().ok();
            }
        }
        let outside = Outside {
            listeners,
            admin: admin.unwrap_or_else(|| ([127, 0, 0, 1], 9).into()),
            trail: self.trail(),
            config: self.path(),
        };
        Spawned { process, outside }
    }

    /// The command that runs this sidecar.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.args(["run", "--config"]).arg(self.write());
        command.env("MYELIN_LOG_FORMAT", "json").env_remove("MYELIN_LOG");
        command
    }
}

/// A sidecar that runs in this process. It ends when it is dropped.
pub(crate) struct Running {
    sidecar: Option<Sidecar>,
    outside: Outside,
}

impl Deref for Running {
    type Target = Outside;

    fn deref(&self) -> &Outside {
        &self.outside
    }
}

impl Running {
    /// Puts another configuration in place.
    pub(crate) async fn reload(&self, setup: &Setup) -> Result<(), ReloadError> {
        self.sidecar.as_ref().unwrap().reload(setup.load()).await
    }

    /// Drains, then cuts.
    pub(crate) async fn stop(mut self) -> Drained {
        self.sidecar.take().unwrap().stop().await
    }
}

/// A sidecar that runs as a process of its own: the parent, which hears the signals, and its worker.
pub(crate) struct Spawned {
    pub(crate) process: Process,
    outside: Outside,
}

impl Spawned {
    /// Hands over, for the `nth` time, and waits until the new worker serves.
    pub(crate) async fn hands_over(&self, nth: usize) {
        let process = &self.process;
        until("few processes to drain", || process.children().len() <= 4).await;
        let count = |words: &str| process.output().matches(words).count();
        let before = count("the hand-over is off");
        process.signal("USR2");
        until("the hand-over", || {
            assert_eq!(count("the hand-over is off"), before, "{}", process.output());
            count("\"handed over\"") >= nth
        })
        .await;
    }

    /// The worker's id: whoever measures the sidecar measures this process.
    pub(crate) fn worker(&self) -> u32 {
        *self.process.children().last().expect("a worker")
    }
}

impl Deref for Spawned {
    type Target = Outside;

    fn deref(&self) -> &Outside {
        &self.outside
    }
}
