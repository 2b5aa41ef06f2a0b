//! Why an agent was not heard, or what it says cannot be used.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use spiffe::WorkloadApiError;
use spiffe::transport::error::{GrpcStatusCode, GrpcStatusError, TransportError};

use crate::certs::{EnrolError, EnrolFailure};
use crate::report::Report;

/// Why an agent was not heard, or what it says cannot be used.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) error: EnrolError,
    /// The agent is there, and this is its answer. Otherwise it is away.
    pub(super) answered: bool,
    /// Nothing more comes on the same stream.
    pub(super) over: bool,
}

impl Failure {
    /// The agent is away.
    fn away(socket: &Path, kind: EnrolFailure, what: String) -> Self {
        Self { error: error(socket, kind, what), answered: false, over: true }
    }

    /// The agent refuses.
    fn refused(socket: &Path, kind: EnrolFailure, what: String) -> Self {
        Self { error: error(socket, kind, what), answered: true, over: true }
    }

    /// One update is no good; another may follow.
    pub(super) fn bad_update(socket: &Path, what: &str) -> Self {
        let what = format!("the agent's update cannot be used: {what}");
        let error = error(socket, EnrolFailure::BadAnswer, what);
        Self { error, answered: true, over: false }
    }

    pub(super) fn silent(socket: &Path, limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        let what = format!("no answer within {limit}: does the agent run well?");
        Self::away(socket, EnrolFailure::Unreachable, what)
    }

    pub(super) fn ended(socket: &Path) -> Self {
        let what = "the agent ended the stream of updates".to_owned();
        Self::away(socket, EnrolFailure::Unreachable, what)
    }

    /// Of the client.
    pub(super) fn of(socket: &Path, error: &WorkloadApiError) -> Self {
        match error {
            WorkloadApiError::NoIdentityIssued => Self::unregistered(socket, "no identity issued"),
            WorkloadApiError::PermissionDenied(message) => Self::unregistered(socket, message),
            WorkloadApiError::Transport(TransportError::Status(status)) => {
                Self::status(socket, status)
            }
            WorkloadApiError::Transport(error) => Self::connect(socket, error),
            // The rest is about what an update holds. None of these texts has key material in it.
            error => Self::bad_update(socket, &Report(error).to_string()),
        }
    }

    /// The agent knows of no identity for a process like ours. That may still come: registrations take
    /// a while to reach an agent.
    fn unregistered(socket: &Path, message: &str) -> Self {
        let uid = geteuid().as_raw();
        let what = format!(
            "the agent has no identity for this process, whose user id is {uid} ({}): register the \
             workload, as with `spire-server entry create -spiffeID … -parentID … -selector \
             unix:uid:{uid}`",
            message.escape_debug()
        );
        Self::refused(socket, EnrolFailure::Unreachable, what)
    }

    fn status(socket: &Path, status: &GrpcStatusError) -> Self {
        let said = format!("{}: {}", status.code(), status.message().escape_debug());
        match status.code() {
            GrpcStatusCode::Unimplemented | GrpcStatusCode::InvalidArgument => {
                let what = format!(
                    "whoever listens does not offer the Workload API ({said}): is it the agent's \
                     socket for workloads?"
                );
                Self::refused(socket, EnrolFailure::Refused, what)
            }
            GrpcStatusCode::OutOfRange | GrpcStatusCode::ResourceExhausted => {
                let what = format!("the agent's update is too large ({said})");
                Self::refused(socket, EnrolFailure::BadAnswer, what)
            }
            _ => {
                let what = format!("the agent was lost or has failed ({said})");
                Self::away(socket, EnrolFailure::Unreachable, what)
            }
        }
    }

    fn connect(socket: &Path, error: &TransportError) -> Self {
        match io_error(error) {
            Some(error) => Self::io(socket, error),
            None => {
                let what = format!("cannot be connected to ({})", Report(error));
                Self::away(socket, EnrolFailure::Unreachable, what)
            }
        }
    }

    fn io(socket: &Path, error: &io::Error) -> Self {
        let (kind, what) = match error.kind() {
            ErrorKind::NotFound => (
                EnrolFailure::Unreachable,
                "there is no such socket: does the agent run, and is the directory of its socket \
                 mounted here?"
                    .to_owned(),
            ),
            ErrorKind::ConnectionRefused => (
                EnrolFailure::Unreachable,
                "nobody listens on the socket: the agent has ended; start it again".to_owned(),
            ),
            ErrorKind::PermissionDenied => {
                let uid = geteuid().as_raw();
                let what = format!(
                    "this process, whose user id is {uid}, may not open the socket: it needs to \
                     write to it, and to search the directories above"
                );
                (EnrolFailure::Unprepared, what)
            }
            _ => (EnrolFailure::Unprepared, format!("the socket cannot be opened: {error}")),
        };
        Self::away(socket, kind, what)
    }

    /// What is at the socket's path, if nobody could connect to that.
    pub(super) async fn of_path(socket: &Path) -> Option<Self> {
        let kind = match tokio::fs::metadata(socket).await {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Some(Self::io(socket, &error)),
        };
        let what = match kind {
            kind if kind.is_socket() => return None,
            kind if kind.is_dir() => {
                "is a directory, not a socket: container engines make one where the file to be \
                 mounted is not there yet; mount the directory above it instead"
            }
            _ => "is not a socket: identity.spiffe.socket must be the agent's",
        };
        Some(Self::away(socket, EnrolFailure::Unprepared, what.to_owned()))
    }
}

fn error(socket: &Path, kind: EnrolFailure, what: String) -> EnrolError {
    EnrolError { at: at(socket), kind, what }
}

/// The socket as operators write it.
pub(super) fn at(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}
