//! Why a trail cannot be opened, and why a permit is not on it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A trail that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or locked.
    #[error("cannot use {} for the audit trail", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may write to the directory.
    #[error(
        "{} has mode {mode:04o}: others could change the audit trail; chmod 0700 mends it",
        dir.display()
    )]
    Exposed {
        /// Which.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has the trail open.
    #[error("another process writes the audit trail in {}; each needs a directory of its own", dir.display())]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// The trail that is there cannot be read, or its torn end cannot be kept.
    #[error("cannot go on with the audit trail in {}", dir.display())]
    Read {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the audit writer")]
    Thread(#[source] io::Error),
}

/// A permit whose record could not be made durable: nothing may pass on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAudited {
    /// There is no trail.
    #[error("there is no audit trail")]
    NoTrail,
    /// The trail cannot be written.
    #[error("the audit trail fails: {0}")]
    Failing(Arc<str>),
    /// There was no place in the queue in time.
    #[error("the audit trail takes no records")]
    NoPlace,
    /// The disk did not answer in time.
    #[error("the audit trail's disk did not answer in time")]
    TooSlow,
}
