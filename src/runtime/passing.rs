//! The listeners' sockets, passed on to another process.

use std::io;
use std::os::fd::OwnedFd;

use super::listeners::Listeners;
use super::running::Socket;
use crate::config::Config;
use crate::identity::ListenerName;
use crate::listener::Passing;

impl Listeners {
    /// The sockets on which they listen, for a process that is to listen on them: whose each is, and its address as
    /// configured.
    pub(super) fn sockets(&self) -> impl Iterator<Item = io::Result<(String, String, OwnedFd)>> {
        let own =
            self.open().map(|(name, socket, passing)| (name.clone(), &socket.address, passing));
        let name = Config::redirect_name();
        let redirected =
            self.redirected.iter().map(move |(at, passing)| (name.clone(), at, passing));
        own.chain(redirected).filter_map(|(name, address, passing)| {
            let descriptor = passing.descriptor()?;
            Some(descriptor.map(|fd| (name.to_string(), address.to_string(), fd)))
        })
    }

    /// The files of unix sockets are another process's from now on.
    pub(super) fn files_stay(&self) {
        self.open().for_each(|(_, _, passing)| passing.file_stays());
    }

    /// The files of unix sockets are this process's from now on, but for what the service manager has opened.
    pub(super) fn files_go(&self) {
        let own = self.open().filter(|(_, socket, _)| !self.activated.has(&socket.address));
        own.for_each(|(_, _, passing)| passing.file_goes());
    }

    fn open(&self) -> impl Iterator<Item = (&ListenerName, &Socket, &Passing)> {
        let inbound = self.inbound.iter().map(|(name, r)| (name, &r.socket, &r.passing));
        let outbound = self.outbound.iter().map(|(name, r)| (name, &r.socket, &r.passing));
        inbound.chain(outbound)
    }
}
