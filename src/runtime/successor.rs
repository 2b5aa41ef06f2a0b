//! The worker that is to serve instead of this one: what it wants, and what becomes of it.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::assemble::DoorSockets;
use super::supervisor::Supervisor;
use super::{HandOver, records};
use crate::audit::Left;
use crate::export::Exports;
use crate::handover::{Channel, ChannelError, Given, VERSION, Wanted};
use crate::report::Report;

/// It reads its configuration, waits for its key material and listens within this.
const PATIENCE: Duration = Duration::from_secs(120);
/// With nobody to write the trail, it serves within this.
const WITHOUT_TRAIL: Duration = Duration::from_secs(10);
const LATE: &str = "the new process did not begin to serve in time";
/// What the exports have begun to deliver.
const EXPORTS: Duration = Duration::from_secs(1);

/// The worker that is to serve.
pub(super) struct Successor {
    channel: Channel,
    deadline: Instant,
    /// The trail was left to it; this process's own records go to it by the way beside.
    trail: Option<(Left, UnixStream)>,
    answer: oneshot::Sender<HandOver>,
}

impl Successor {
    /// At the other end of `end`, within a runtime. `answer` hears what becomes of it.
    pub(super) fn over(end: OwnedFd, answer: oneshot::Sender<HandOver>) -> std::io::Result<Self> {
        let (channel, deadline) = (Channel::over(end)?, Instant::now() + PATIENCE);
        Ok(Self { channel, deadline, trail: None, answer })
    }

    async fn give(&self, given: &Given, descriptor: Option<&OwnedFd>) -> Result<(), String> {
        let sending = self.channel.send(given, descriptor.map(AsFd::as_fd));
        match timeout_at(self.deadline, sending).await {
            Ok(sent) => sent.map_err(|error| gone(&error)),
            Err(_) => Err(LATE.to_owned()),
        }
    }
}

fn gone(error: &ChannelError) -> String {
    match error {
        ChannelError::Gone => {
            "the new process ended before it could serve; its log says why".to_owned()
        }
        other => Report(other).to_string(),
    }
}

/// What the successor wants next, or why there will be none. Never comes back while there is none.
pub(super) async fn wants(successor: Option<&Successor>) -> Result<Wanted, String> {
    let Some(Successor { channel, deadline, .. }) = successor else {
        return std::future::pending().await;
    };
    match timeout_at(*deadline, channel.receive()).await {
        Ok(Ok((wanted, _))) => Ok(wanted),
        Ok(Err(error)) => Err(gone(&error)),
        Err(_) => Err(LATE.to_owned()),
    }
}

impl Supervisor {
    /// Begins to hand over to the worker at the other end of `end`.
    pub(super) async fn begin_to_hand_over(
        &mut self,
        end: OwnedFd,
        answer: oneshot::Sender<HandOver>,
    ) {
        match Successor::over(end, answer) {
            Ok(successor) => self.successor = Some(successor),
            Err(error) => self.stays(error.to_string()).await,
        }
    }

    /// Does what the successor wants. The process that serves instead, once it does.
    pub(super) async fn serve_successor(&mut self, wanted: Result<Wanted, String>) -> Option<u32> {
        let done = match wanted {
            Ok(Wanted::Sockets { version: VERSION }) => self.give_sockets().await,
            Ok(Wanted::Trail { dir }) => self.give_trail(dir.as_deref()).await,
            Ok(Wanted::Nothing { process }) => {
                self.handed_over(process);
                return Some(process);
            }
            Ok(Wanted::Up { why }) | Err(why) => Err(why),
            Ok(Wanted::Sockets { .. } | Wanted::Unknown) => {
                Err("the new process hands over in another way: restart this sidecar".to_owned())
            }
        };
        if let Err(why) = done {
            self.stays(why).await;
        }
        None
    }

    async fn give_sockets(&self) -> Result<(), String> {
        let Some(successor) = &self.successor else { return Ok(()) };
        for socket in self.listeners.sockets().chain(self.doors.sockets()) {
            let (of, listen, socket) = socket.map_err(|error| error.to_string())?;
            successor.give(&Given::Socket { of, listen }, Some(&socket)).await?;
        }
        successor.give(&Given::NoMoreSockets, None).await
    }

    /// Leaves the trail, if it is the one in `dir`. What exports deliver next, the successor's do.
    async fn give_trail(&mut self, dir: Option<&Path>) -> Result<(), String> {
        let own = self.config.audit.as_ref().map(|audit| audit.dir.as_path());
        let is_same = own.zip(dir).is_some_and(|(own, other)| is_same(own, other));
        let mut theirs = None;
        if is_same {
            let (ours, other) = UnixStream::pair().map_err(|error| error.to_string())?;
            self.exports.drain(EXPORTS).await;
            let left = self.audit.leave().await?;
            theirs = Some(OwnedFd::from(other));
            if let (Some(left), Some(successor)) = (left, &mut self.successor) {
                successor.trail = Some((left, ours));
                successor.deadline = Instant::now() + WITHOUT_TRAIL;
            }
        }
        let Some(successor) = &self.successor else { return Ok(()) };
        successor.give(&Given::Trail, theirs.as_ref()).await
    }

    /// The successor serves: its records are written by it, and its sockets' files are its own.
    fn handed_over(&mut self, process: u32) {
        let Some(Successor { trail, answer, .. }) = self.successor.take() else { return };
        if let Some((left, records)) = trail {
            left.taken(records);
        }
        self.listeners.files_stay();
        self.doors = DoorSockets::default(); // to whoever listens there from now on
        tracing::info!(to = process, process = std::process::id(), "handed over");
        // Without the parent nobody needs to know.
        let _gone = answer.send(HandOver::Done);
    }

    /// The hand-over is off, and this process goes on as it was.
    pub(super) async fn stays(&mut self, why: String) {
        tracing::error!("the hand-over is off, this process goes on: {why}");
        self.metrics.handed_over(false);
        if let Some(Successor { trail, answer, .. }) = self.successor.take() {
            let _gone = answer.send(HandOver::Off);
            drop(trail); // and so it comes back
        }
        if self.exports.are_drained() {
            let (audit, material) = (self.audit.clone(), self.material.clone());
            self.exports = Exports::new(audit, material, self.metrics.clone());
            self.exports.put_in_place(&self.config);
        }
        self.audit.note(records::not_handed_over(&self.config, &why)).await;
        self.last_failure = Some(format!("hand-over: {why}"));
        self.show();
    }
}

/// Whether both are one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |dir: &Path| dir.metadata().ok().map(|is| (is.dev(), is.ino()));
    place(one).is_some_and(|one| place(other) == Some(one))
}
