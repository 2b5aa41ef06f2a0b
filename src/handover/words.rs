//! The messages. An old process may start a newer one: what is added must be ignored by those who do not know it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How workers hand over; those that do it in another way do not try.
pub const VERSION: u32 = 1;

/// What the parent wants of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Order {
    /// Here is a socket that the service manager has opened. They come before the order to begin.
    Socket {
        /// What the manager calls it.
        name: String,
    },
    /// Begin. With it comes the way to the worker that serves until now, if there is one.
    Begin {
        /// So often the parent wants to hear that the worker's threads answer, in milliseconds. Absent: never.
        #[serde(default)]
        alive_every: Option<u64>,
    },
    /// Read the configuration again.
    Reload,
    /// Hand over to the worker to which the way comes with this.
    HandOver,
    /// Drain, outbound listeners when the workload is gone, then cut after `drain_timeout`, and end.
    Stop,
    /// End what still drains at once.
    Cut,
    /// Judge what still drains by the configuration as it is now; if that cannot be done, end it at once.
    Judge,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What a worker tells its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Told {
    /// Everything listens: identity, policy and trail are there.
    Ready,
    /// Every thread has answered.
    Alive,
    /// The configuration was read again.
    Reloaded {
        /// The parent has ordered it: it is the answer to that.
        ordered: bool,
        /// Why the old one stays, for the operator.
        refused: Option<String>,
    },
    /// This worker drains and ends, because somebody else than the parent wants it.
    Stopping,
    /// The new worker serves; this one drains.
    HandedOver,
    /// The hand-over is off: this worker goes on.
    Stays,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What a new worker wants of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Wanted {
    /// All sockets on which it listens.
    Sockets {
        /// How the new worker hands over.
        version: u32,
    },
    /// The trail, if it is the one in this directory.
    Trail {
        /// Absent when the new worker keeps none.
        dir: Option<PathBuf>,
    },
    /// Nothing more: the new worker serves.
    Nothing {
        /// Its process.
        process: u32,
    },
    /// It cannot serve.
    Up {
        /// Why not, for the operator.
        why: String,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What a new worker gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Given {
    /// A socket, with this message.
    Socket {
        /// Whose it is.
        of: String,
        /// Its address, as configured: with port 0 the kernel has chosen another.
        listen: String,
    },
    /// There are no more sockets.
    NoMoreSockets,
    /// Nobody writes the trail now. With this comes the way on which the old worker's own records arrive, if it was its trail.
    Trail,
    /// This worker hands over in another way.
    #[serde(other)]
    Unknown,
}
