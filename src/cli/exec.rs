//! `myelin exec -- APP`: the program that needs the sidecar begins when that is ready.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind, signal};

use super::control::{Answer, Door, ask};
use super::wait::Waiting;
use super::{Exit, console, wait};
use crate::report::Report;

/// As shells say that there is no such program (POSIX.1-2024, XCU 2.8.2).
const NOT_FOUND: u8 = 127;
/// As they say that it cannot be run.
const NOT_EXECUTABLE: u8 = 126;

const EXIT_CODES: &str = "\
Exit codes: those of APP; 127 when it is not there, 126 when it cannot be run, 128 and the number of the signal that has ended it. \
Without a ready sidecar APP is not started: 1, or 3 for a bad configuration";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    waiting: Waiting,
    /// Stay: pass signals on to APP, and end the sidecar when APP has ended. For jobs. Wants `admin.socket`
    #[arg(long)]
    stop_after: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "APP")]
    app: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Some((app, words)) = arguments.app.split_first() else { return Ok(Exit::BadCommand) };
    let mut command = Command::new(app);
    command.args(words);
    let socket = match arguments.stop_after.then(|| arguments.waiting.which.socket()) {
        None => None,
        Some(Ok(socket)) => Some(Door::Socket(socket)),
        Some(Err(none)) => return none.told(),
    };
    if let Some(exit) = arguments.waiting.until_ready()? {
        return Ok(exit);
    }
    match socket {
        None => Ok(not_run(Path::new(app), &command.exec())),
        Some(door) => wait(beside(&mut command, &door))?,
    }
}

fn not_run(app: &Path, error: &io::Error) -> Exit {
    console::error(&console::harmless(&format!("error: {}: {error}", app.display()), ""));
    Exit::Program(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// Runs the program as a child, and ends the sidecar after it.
async fn beside(command: &mut Command, door: &Door) -> anyhow::Result<Exit> {
    let mut signals = Signals::catch()?; // before there is a child that could end
    let exit = match command.spawn() {
        Ok(child) => Exit::Program(code(ended(child, &mut signals).await?)),
        Err(error) => not_run(Path::new(command.get_program()), &error),
    };
    let why = match ask(door, Method::POST, "/drain?wait=no", "").await {
        Ok(Answer { status: StatusCode::OK, .. }) => return Ok(exit),
        Ok(Answer { body, .. }) => body,
        Err(failure) => Report(&failure).to_string(),
    };
    console::error(&format!("warning: the sidecar could not be told to end: {}", why.trim_end()));
    Ok(exit)
}

/// Passes signals on until the child has ended.
async fn ended(mut child: Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    // A terminal sends these to both.
    let both = io::stdin().is_terminal().then_some([Signal::INT, Signal::QUIT]);
    loop {
        let heard = signals.next().await;
        if heard == Signal::CHILD {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        } else if !both.is_some_and(|both| both.contains(&heard)) {
            // It was not waited for: the number is still its own.
            kill_process(Pid::from_child(&child), heard)?;
        }
    }
}

/// As a shell says it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Signals that are heard from when this is made.
pub(super) struct Signals {
    child: unix::Signal,
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user: [unix::Signal; 2],
}

impl Signals {
    /// Catches them, within a runtime. A program that this process becomes has them as they were.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// The next.
    async fn next(&mut self) -> Signal {
        let [first, second] = &mut self.user;
        tokio::select! {
            _ = self.child.recv() => Signal::CHILD,
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = first.recv() => Signal::USR1,
            _ = second.recv() => Signal::USR2,
        }
    }

    /// Waits for one that is to end this process; the code with which a shell would tell of that.
    pub(super) async fn end(&mut self) -> u8 {
        loop {
            let heard = self.next().await;
            if heard != Signal::CHILD {
                return u8::try_from(128 + heard.as_raw()).unwrap_or(1);
            }
        }
    }
}
