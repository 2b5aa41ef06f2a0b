//! `myelin wait`: returns when a sidecar is ready, for what must not start before it.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};

use super::control::{Answer, Door, Failure, NoDoor, Which, ask, awaited, reachable};
use super::exec::Signals;
use super::{Exit, console, wait};
use crate::config::Config;

/// From one question to the next: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];
/// For one answer, at least and at most.
const ANSWER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    waiting: Waiting,
}

/// Which sidecar is waited for, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct Waiting {
    #[command(flatten)]
    pub(super) which: Which,
    /// Ask there, without a configuration: like http://127.0.0.1:9901
    #[arg(long, value_name = "URL", value_parser = address, conflicts_with = "socket")]
    url: Option<SocketAddr>,
    /// Give up after this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// `http://IP:PORT`, or `IP:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let place = text.strip_prefix("http://").unwrap_or(text);
    let place = place.split('/').next().unwrap_or_default().replace("localhost", "127.0.0.1");
    place.parse().map_err(|_no_address| "http://IP:PORT is wanted".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    Ok(arguments.waiting.until_ready()?.unwrap_or(Exit::Fine))
}

impl Waiting {
    /// Waits until the sidecar is ready; if it is not, says why, and how to exit.
    pub(super) fn until_ready(&self) -> anyhow::Result<Option<Exit>> {
        let (door, config) = match self.door() {
            Ok(found) => found,
            Err(none) => return none.told().map(Some),
        };
        wait(async {
            let mut signals = Signals::catch()?;
            let sought = Sought { door, awaited: config.map(|config| awaited(&config)) };
            tokio::select! {
                ready = sought.is_ready_within(self.timeout) => match ready {
                    Ok(()) => Ok(None),
                    Err(why) => {
                        console::error(&format!("error: {why}"));
                        Ok(Some(Exit::Failed))
                    }
                },
                // As process 1 of a container nobody else would obey it.
                code = signals.end() => Ok(Some(Exit::Program(code))),
            }
        })?
    }

    /// Where readiness is told to whoever asks; the control socket, which is not for everybody, comes after that.
    fn door(&self) -> Result<(Door, Option<Config>), NoDoor> {
        if let Some(address) = self.url {
            return Ok((Door::Admin(reachable(address)), None));
        }
        if let Some(path) = &self.which.socket {
            return Ok((Door::Socket(path.clone()), None));
        }
        let config = self.which.config()?;
        let listens = |address: Option<SocketAddr>| {
            let known = address.filter(|address| address.port() != 0)?;
            Some(Door::Admin(reachable(known)))
        };
        let door = listens(config.admin.listen)
            .or_else(|| config.admin.socket.clone().map(Door::Socket))
            .or_else(|| listens(config.admin.probe_listen));
        Ok((door.ok_or_else(|| self.which.is_closed())?, Some(config)))
    }
}

struct Sought {
    door: Door,
    /// What it may be waiting for itself.
    awaited: Option<String>,
}

/// What an attempt came to.
enum Found {
    Ready,
    /// What is missing yet.
    NotYet(String),
    /// Waiting does not help.
    Never(String),
}

impl Sought {
    async fn is_ready_within(&self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let [mut pause, longest] = PAUSES;
        let mut progress = console::Progress::new();
        loop {
            let why = match self.ask(deadline.saturating_duration_since(Instant::now())).await {
                Found::Ready => return Ok(()),
                Found::NotYet(why) => why,
                Found::Never(why) => return Err(why),
            };
            if Instant::now() >= deadline {
                return Err(format!(
                    "not ready within {}: {why}",
                    humantime::format_duration(limit)
                ));
            }
            progress.show(|| console::harmless(&format!("waiting: {why}"), ""));
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = longest.min(pause * 2);
        }
    }

    async fn ask(&self, left: Duration) -> Found {
        let door = &self.door;
        let [shortest, longest] = ANSWER;
        match timeout(left.clamp(shortest, longest), ask(door, Method::GET, "/ready", "")).await {
            Ok(Ok(Answer { status: StatusCode::OK, .. })) => Found::Ready,
            Ok(Ok(Answer { status: StatusCode::FORBIDDEN, body })) => {
                Found::Never(format!("{door}: {}", body.trim_end()))
            }
            Ok(Ok(Answer { body, .. })) => {
                Found::NotYet(body.trim_end().trim_start_matches("not ready: ").to_owned())
            }
            Ok(Err(failure @ Failure::Forbidden { .. })) => Found::Never(failure.to_string()),
            Ok(Err(Failure::Nobody { .. })) => Found::NotYet(match &self.awaited {
                Some(awaited) => format!(
                    "nobody answers on {door} yet: the sidecar does not run, or waits for {awaited}"
                ),
                None => format!("nobody answers on {door} yet"),
            }),
            Ok(Err(failure @ Failure::Lost { .. })) => Found::NotYet(failure.to_string()),
            Err(_late) => Found::NotYet(format!("{door} gives no answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_what_makes_it_a_url() {
        let is = |text: &str| address(text).map(|address| address.to_string());

        for text in ["http://127.0.0.1:9901", "http://127.0.0.1:9901/ready", "127.0.0.1:9901"] {
            assert_eq!(is(text).unwrap(), "127.0.0.1:9901");
        }
        assert_eq!(is("http://localhost:9901/").unwrap(), "127.0.0.1:9901");
        assert_eq!(is("http://[::1]:9901").unwrap(), "[::1]:9901");
        for text in ["https://127.0.0.1:9901", "127.0.0.1", "sidecar:9901", ""] {
            assert!(is(text).is_err(), "{text}");
        }
    }
}
