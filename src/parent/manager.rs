//! The service manager (systemd), if it wants to hear how things stand: `sd_notify(3)`.
//!
//! The parent alone talks to it, so `NotifyAccess=main` is enough: a worker, which has strangers' bytes in its hands, can
//! neither name another main process nor keep the watchdog quiet when it does not answer any more.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What tells a program of its service manager. It is for the parent, and for no process that this one starts.
pub(super) const ENVIRONMENT: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A worker is asked for a sign of life at least so often.
const ALIVE: Duration = Duration::from_secs(10);
/// After one, the manager waits so long for the next, when it waits for an end of something.
const MORE: Duration = Duration::from_secs(60);
/// A manager that takes nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, or nobody.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment tells of.
    ///
    /// # Errors
    ///
    /// Its address is none, or the system gives no descriptor.
    pub fn of(environment: &dyn Fn(&str) -> Option<String>) -> io::Result<Self> {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let watchdog = watchdog(environment, std::process::id());
        Ok(Self { socket: Some((socket, address)), watchdog })
    }

    /// So often a worker has to say that it is alive: twice while the watchdog waits once. Never without a manager.
    pub(super) fn alive_every(&self) -> Option<Duration> {
        self.socket.as_ref()?;
        Some(self.watchdog.map_or(ALIVE, |watchdog| ALIVE.min(watchdog / 2)))
    }

    /// Everything listens, or goes on after a reload.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// How things stand.
    pub(super) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// The configuration is read again; [`Self::ready`] ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        let status = "reading the configuration again";
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS={status}"));
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// The worker that serves is alive.
    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// It is, and what the manager waits for goes on.
    pub(super) fn goes_on(&self) {
        self.tell(&format!("WATCHDOG=1\nEXTEND_TIMEOUT_USEC={}", MORE.as_micros()));
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) does not hear: {}", one_line(state));
        }
    }
}

/// How long the watchdog waits, if it is for the process `id`.
fn watchdog(environment: &dyn Fn(&str) -> Option<String>, id: u32) -> Option<Duration> {
    let whose = environment("WATCHDOG_PID");
    if whose.is_some_and(|whose| whose.parse() != Ok(id)) {
        return None;
    }
    let micros = environment("WATCHDOG_USEC")?.parse().ok().filter(|micros| *micros > 1)?;
    Some(Duration::from_micros(micros))
}

/// A line is one variable: another would be taken for another.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_that_waits_for_another_process_or_for_nothing_is_none_of_ours() {
        let with = |pid: Option<&str>, micros: Option<&str>| {
            let (pid, micros) = (pid.map(str::to_owned), micros.map(str::to_owned));
            let environment = move |name: &str| match name {
                "WATCHDOG_PID" => pid.clone(),
                "WATCHDOG_USEC" => micros.clone(),
                _ => None,
            };
            watchdog(&environment, 7)
        };

        assert_eq!(with(Some("7"), Some("30000000")), Some(Duration::from_secs(30)));
        assert_eq!(with(None, Some("30000000")), Some(Duration::from_secs(30)));
        for (pid, micros) in [
            (Some("8"), Some("30000000")),
            (Some("x"), Some("30000000")),
            (Some("7"), Some("0")),
            (Some("7"), Some("soon")),
            (Some("7"), None),
        ] {
            assert_eq!(with(pid, micros), None, "{pid:?} {micros:?}");
        }
    }

    #[test]
    fn a_reason_of_several_lines_is_one_variable() {
        let (socket, ours) = (UnixDatagram::unbound().unwrap(), tempfile::TempDir::new().unwrap());
        let path = ours.path().join("notify");
        let hears = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        let manager = Manager { socket: Some((socket, address)), watchdog: None };

        manager.status("refused:\n  line 3\nMAINPID=1");

        let mut heard = [0; 100];
        let bytes = hears.recv(&mut heard).unwrap();
        assert_eq!(&heard[..bytes], b"STATUS=refused:; line 3; MAINPID=1");
    }
}
