//! Sockets that the service manager has opened before this process (`sd_listen_fds(3)`). They are kept for every worker.

use std::os::fd::OwnedFd;

use listenfd::ListenFd;

use super::ParentError;

/// The sockets, each with its name.
#[derive(Debug, Default)]
pub struct Activation(pub(super) Vec<(String, OwnedFd)>);

impl Activation {
    /// Those that the environment tells of, if they are for this process. Once: they are taken.
    ///
    /// # Errors
    ///
    /// Names one that is neither a TCP nor a unix stream socket.
    pub fn of(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ParentError> {
        let own = std::process::id().to_string();
        if environment("LISTEN_PID") != Some(own) {
            return Ok(Self::default());
        }
        let names = environment("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut opened = ListenFd::from_env();
        let sockets = (0..opened.len()).map(|at| {
            let name = names.next().unwrap_or("unknown").to_owned();
            match take(&mut opened, at) {
                Some(socket) => Ok((name, socket)),
                None => Err(ParentError::Activation(name)),
            }
        });
        sockets.collect::<Result<_, _>>().map(Self)
    }
}

fn take(opened: &mut ListenFd, at: usize) -> Option<OwnedFd> {
    if let Ok(Some(socket)) = opened.take_tcp_listener(at) {
        return Some(socket.into());
    }
    opened.take_unix_listener(at).ok().flatten().map(OwnedFd::from)
}
