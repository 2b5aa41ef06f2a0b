//! `myelin reload`, `drain` and `log-level`: what changes a running sidecar, over its control socket.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use tokio::net::UnixStream;

use super::super::{Exit, console, wait};
use super::{Answer, Door, Failure, NoDoor, Which, ask, follow};
use crate::report::Report;

/// What the sidecar says last.
const OVER: &str = "stopped";
/// From its last word to its end.
const END: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Reload {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Drain {
    #[command(flatten)]
    which: Which,
    /// Tell how many connections are still open, and return when the sidecar has ended
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogLevel {
    /// What is to be logged, like `info` or `myelin::tls=debug,info`; without it: what is logged now
    #[arg(value_name = "LEVEL")]
    filter: Option<String>,
    /// Only for so long, like 15m; then what was logged before is logged again
    #[arg(long = "for", value_name = "TIME", requires = "filter", value_parser = humantime::parse_duration)]
    period: Option<Duration>,
    #[command(flatten)]
    which: Which,
}

pub(in crate::cli) fn reload(arguments: &Reload) -> anyhow::Result<Exit> {
    let socket = match arguments.which.socket() {
        Ok(socket) => Door::Socket(socket),
        Err(none) => return none.told(),
    };
    let answer = wait(ask(&socket, Method::POST, "/reload", ""))?;
    Ok(told(answer))
}

pub(in crate::cli) fn drain(arguments: &Drain) -> anyhow::Result<Exit> {
    let socket = match arguments.which.socket() {
        Ok(socket) => socket,
        Err(none) => return none.told(),
    };
    match wait(drained(socket, arguments.wait))? {
        Ok(exit) => Ok(exit),
        Err(failure) => Ok(failed(&failure)),
    }
}

async fn drained(socket: PathBuf, to_the_end: bool) -> Result<Exit, Failure> {
    let processes = processes(&socket).await.unwrap_or_default();
    let door = Door::Socket(socket);
    if !to_the_end {
        return Ok(told(ask(&door, Method::POST, "/drain?wait=no", "").await));
    }
    let mut is_over = false;
    let status = follow(&door, "/drain", |line| {
        is_over = line.starts_with(OVER);
        console::line(&console::harmless(line, ""));
    })
    .await?;
    if status != StatusCode::OK {
        return Ok(Exit::Failed);
    }
    for process in &processes {
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        let _still_there = poll(&mut ended, Some(&END));
    }
    if is_over {
        return Ok(Exit::Fine);
    }
    Err(Failure::Lost { door: door.to_string(), why: "it broke off before its end".to_owned() })
}

/// The process that listens there, and the parent in front of it. `None` where this machine's numbers of processes say nothing of
/// them.
async fn processes(socket: &Path) -> Option<Vec<OwnedFd>> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let worker = stream.peer_cred().ok()?.pid()?;
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let parent = parent_of(worker).filter(|parent| program(*parent) == program(worker));
    let all = [Some(worker), parent].into_iter().flatten();
    let held = all.filter_map(|pid| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok());
    Some(held.collect())
}

/// The fourth field of `/proc/PID/stat`, behind a name that may have anything in it (proc(5)).
fn parent_of(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

pub(in crate::cli) fn log_level(arguments: &LogLevel) -> anyhow::Result<Exit> {
    let socket = match arguments.which.socket() {
        Ok(socket) => Door::Socket(socket),
        Err(none) => return none.told(),
    };
    let query = arguments.period.map(|period| format!("?for={}s", period.as_secs()));
    let path = format!("/log-level{}", query.unwrap_or_default());
    let answer = wait(match &arguments.filter {
        Some(filter) => ask(&socket, Method::PUT, &path, filter),
        None => ask(&socket, Method::GET, &path, ""),
    })?;
    match answer {
        Ok(Answer { status: StatusCode::OK, body }) => {
            console::line(&console::harmless(
                &serde_json::from_str::<Shown>(&body)?.to_string(),
                "",
            ));
            Ok(Exit::Fine)
        }
        other => Ok(told(other)),
    }
}

/// What is logged.
#[derive(Debug, Deserialize)]
struct Shown {
    filter: String,
    until: Option<String>,
    then: Option<String>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.filter.fmt(f)?;
        match (&self.until, &self.then) {
            (Some(until), Some(then)) => write!(f, " until {until}, then {then}"),
            _ => Ok(()),
        }
    }
}

/// Prints an answer in words.
fn told(answer: Result<Answer, Failure>) -> Exit {
    match answer {
        Ok(Answer { status, body }) if status == StatusCode::OK => {
            console::print(&console::harmless(&body, "\n"));
            Exit::Fine
        }
        Ok(Answer { body, .. }) => {
            console::error(&format!("error: {}", body.trim_end()));
            Exit::Failed
        }
        Err(failure) => failed(&failure),
    }
}

/// Says why nobody was asked, or answered.
pub(in crate::cli) fn failed(failure: &Failure) -> Exit {
    console::error(&format!("error: {}", Report(failure)));
    Exit::Failed
}

impl NoDoor {
    /// Says so.
    pub(in crate::cli) fn told(self) -> anyhow::Result<Exit> {
        match self {
            Self::Problems(problems) => {
                super::super::findings::Findings::of(problems).print(super::super::Format::Text)?;
                console::error(
                    "help: `--socket PATH` asks a running sidecar without its configuration",
                );
                Ok(Exit::BadConfig)
            }
            Self::None(why) => {
                console::error(&format!("error: {why}"));
                Ok(Exit::Failed)
            }
        }
    }
}
