//! The writer leaves the trail to another process of this sidecar, and goes on by how that ends.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

/// What the writer is asked for.
pub(super) struct Turn {
    /// Told once nobody holds the trail, or why it stays.
    pub(super) left: oneshot::Sender<Result<(), Arc<str>>>,
    /// The way to the process that writes instead; its end when there is none. Records wait until then.
    pub(super) outcome: Receiver<UnixStream>,
}

/// The trail that nobody writes. Dropped, in whatever way, this process goes on with it.
#[must_use = "records wait until it is known who writes the trail"]
pub struct Left {
    outcome: Sender<UnixStream>,
}

impl Turn {
    pub(super) fn new() -> (Self, Left, oneshot::Receiver<Result<(), Arc<str>>>) {
        let (left, leaving) = oneshot::channel();
        let (sender, outcome) = channel();
        (Self { left, outcome }, Left { outcome: sender }, leaving)
    }
}

impl Left {
    /// Another process writes: records go to it over `stream`.
    pub fn taken(self, stream: UnixStream) {
        // A writer that is gone has said so.
        let _gone = self.outcome.send(stream);
    }
}
