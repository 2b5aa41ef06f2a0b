//! The process in front: it starts the worker, which is the sidecar, hears the signals, and ends as the worker does.
//!
//! It loads no configuration, has one thread, and holds no key: whatever else a worker may no longer do once it serves, new
//! ones can be started here.

mod activation;
mod family;
mod manager;
mod program;
mod signals;
mod worker;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::runtime::Builder;

pub use activation::Activation;
pub use manager::Manager;
pub use program::Program;

use family::Parent;
use signals::Signals;

/// Why the parent cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// It has no runtime or no signals.
    #[error("the system gives no signals or descriptors to the parent process")]
    System(#[source] io::Error),
    /// What the service manager has opened is of no use.
    #[error(
        "the service manager's socket `{0}` is neither for TCP nor for unix stream connections: use ListenStream="
    )]
    Activation(String),
    /// There is no worker.
    #[error("the worker process cannot be started from {program}")]
    Start {
        /// Its file.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a process that was started as a worker cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum Orphan {
    /// Whoever it belongs to is not its parent.
    #[error("process {0} is not the parent of this one: workers are started by `myelin run` alone")]
    Foreign(u32),
    /// What the parent leaves it is not there.
    #[error("the parent process cannot be reached")]
    Channel(#[source] io::Error),
}

/// Runs `program` as a worker until it has ended; its exit code, or 128 and the signal that has killed it. `manager` hears
/// how things stand, and has opened `sockets`.
///
/// # Errors
///
/// There is no worker.
pub fn run(program: &Program, manager: &Manager, sockets: &Activation) -> Result<u8, ParentError> {
    let runtime = Builder::new_current_thread().enable_io().build().map_err(ParentError::System)?;
    runtime.block_on(async {
        let signals = Signals::catch().map_err(ParentError::System)?;
        let worker = program.start().map_err(|source| ParentError::Start {
            program: program.path().display().to_string(),
            source,
        })?;
        let parent = Parent::new(program, (manager, sockets), worker);
        Ok(parent.run(signals).await)
    })
}

/// Makes this process a worker of its parent, `parent`: it dies with it. What they talk over.
///
/// # Errors
///
/// It has another parent, or has none any more.
pub fn join(parent: u32) -> Result<OwnedFd, Orphan> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Orphan::Channel(error.into()))?;
    // It may have gone before the kernel was asked.
    let is_parent = |pid: Pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent);
    if !getppid().is_some_and(is_parent) {
        return Err(Orphan::Foreign(parent));
    }
    let taken = || {
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(channel)
    };
    taken().map_err(Orphan::Channel)
}
