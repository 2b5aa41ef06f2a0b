//! Sockets that listen already, because another process has bound them.

use std::os::fd::OwnedFd;

use crate::config::ListenAddr;

/// Sockets that listen, until somebody takes them.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Open>);

#[derive(Debug)]
struct Open {
    of: String,
    listen: String,
    socket: OwnedFd,
}

impl Sockets {
    /// Adds the socket of the listener `of`, which has the address `listen` in its configuration.
    pub fn add(&mut self, of: String, listen: String, socket: OwnedFd) {
        self.0.push(Open { of, listen, socket });
    }

    /// Adds all of `others`, to be taken when there is none here.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// The socket for the listener `of` at `address`, if there is one. With port 0 only its own will do: the kernel has chosen
    /// another place for each.
    pub fn take(&mut self, of: &str, address: &ListenAddr) -> Option<OwnedFd> {
        let is_one_place = match address {
            ListenAddr::Tcp(address) => address.port() != 0,
            ListenAddr::Unix(_) => true,
            ListenAddr::Redirected => return None,
        };
        let listen = address.to_string();
        let fits = |open: &Open| open.listen == listen && (is_one_place || open.of == of);
        let at = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(at).socket)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_socket_goes_to_whoever_has_its_address_and_one_with_port_0_to_its_own_listener() {
        let mut sockets = Sockets::default();
        let socket = || OwnedFd::from(File::open("/dev/null").unwrap());
        for (of, listen) in [
            ("old-name", "127.0.0.1:8443"),
            ("a", "127.0.0.1:0"),
            ("b", "127.0.0.1:0"),
            ("c", "unix:/run/c"),
        ] {
            sockets.add(of.to_owned(), listen.to_owned(), socket());
        }
        let tcp = |text: &str| ListenAddr::Tcp(text.parse().unwrap());
        let unix = ListenAddr::Unix(Path::new("/run/c").to_owned());

        assert!(sockets.take("new-name", &tcp("127.0.0.1:8443")).is_some());
        assert!(sockets.take("new-name", &tcp("127.0.0.1:8443")).is_none());
        assert!(sockets.take("c", &tcp("127.0.0.1:0")).is_none());
        assert!(sockets.take("b", &tcp("127.0.0.1:0")).is_some());
        assert!(sockets.take("other", &unix).is_some());
    }
}
