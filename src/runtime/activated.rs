//! Sockets that the service manager has opened before this process (socket activation, `sd_listen_fds(3)`).
//!
//! They stay the manager's: it holds them when nobody here does, and who connects then waits in vain. So each must be somebody's
//! `listen`, at a start as after a reload.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::SockRef;

use crate::config::{Config, ListenAddr};

/// The sockets, each with its address.
#[derive(Debug, Default)]
pub(super) struct Activated(Vec<Opened>);

#[derive(Debug)]
struct Opened {
    name: String,
    address: ListenAddr,
    socket: OwnedFd,
}

/// A socket of the service manager that is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// Nobody can connect to it.
    #[error(
        "the service manager's socket `{0}` listens for no TCP or unix connections: use ListenStream= and Accept=no"
    )]
    Foreign(String),
    /// It is not in the configuration.
    #[error(
        "the service manager's socket `{name}` listens on {address}, which is the `listen` of no listener: whoever \
         connects would wait for ever. Write the same address in both places (ListenStream= with the IP address), \
         or remove it from the socket unit"
    )]
    Unclaimed {
        /// What it is called (FileDescriptorName=, or else the socket unit's name).
        name: String,
        /// Its address.
        address: String,
    },
}

impl Activated {
    /// `sockets` with their names, once they are found to listen.
    pub(super) fn of(sockets: Vec<(String, OwnedFd)>) -> Result<Self, ActivationError> {
        let opened = sockets.into_iter().map(|(name, socket)| match address(&socket) {
            Some(address) => Ok(Opened { name, address, socket }),
            None => Err(ActivationError::Foreign(name)),
        });
        opened.collect::<Result<_, _>>().map(Self)
    }

    /// Whether `config` has a use for each.
    pub(super) fn fit(&self, config: &Config) -> Result<(), ActivationError> {
        let is_claimed =
            |opened: &&Opened| addresses(config).any(|address| address == opened.address);
        match self.0.iter().find(|opened| !is_claimed(opened)) {
            Some(Opened { name, address, .. }) => {
                Err(ActivationError::Unclaimed { name: name.clone(), address: address.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Whether there is one at `address`.
    pub(super) fn has(&self, address: &ListenAddr) -> bool {
        self.0.iter().any(|opened| opened.address == *address)
    }

    /// The one at `address`, once more. `None` also when the process has no descriptors left: to bind it will say so.
    pub(super) fn socket(&self, address: &ListenAddr) -> Option<OwnedFd> {
        let opened = self.0.iter().find(|opened| opened.address == *address)?;
        opened.socket.try_clone().ok()
    }
}

/// Where something is to listen.
fn addresses(config: &Config) -> impl Iterator<Item = ListenAddr> {
    let inbound = config.inbound.iter().map(|listener| ListenAddr::Tcp(listener.listen));
    let outbound = config.outbound.iter().map(|listener| listener.listen.clone());
    let doors = [config.admin.listen, config.admin.probe_listen].into_iter().flatten();
    inbound.chain(outbound).chain(doors.map(ListenAddr::Tcp))
}

/// The address of a socket that listens for connections.
fn address(socket: &impl AsFd) -> Option<ListenAddr> {
    let socket = SockRef::from(socket);
    if socket.r#type().ok()? != socket2::Type::STREAM || !socket.is_listener().ok()? {
        return None;
    }
    let address = socket.local_addr().ok()?;
    let tcp = address.as_socket().map(|address: SocketAddr| ListenAddr::Tcp(address));
    tcp.or_else(|| Some(ListenAddr::Unix(address.as_pathname()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::*;
    use crate::config;

    fn config(outbound: &str, admin: SocketAddr) -> Config {
        let text = format!(
            "version: 1\nservice: ehr\ntrust_domain: h.example\nidentity: {{embedded: {{dir: authority}}}}\n\
             admin: {{listen: '{admin}'}}\npeers: {{lab: {{dns: lab.example}}}}\noutbound:\n  - {{name: lab, \
             listen: '{outbound}', to: ['lab.example:1'], protocol: tcp, expect: [lab]}}\n"
        );
        config::parse(Path::new("m.yaml"), &text, &|_| None).unwrap_or_else(|p| panic!("{p}"))
    }

    #[test]
    fn each_goes_to_the_listener_of_its_address_and_stays_there_for_the_next() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("lab.sock");
        let (tcp, unix) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let admin = tcp.local_addr().unwrap();
        let opened = vec![("a".to_owned(), tcp.into()), ("b".to_owned(), unix.into())];

        let opened = Activated::of(opened).unwrap();

        opened.fit(&config(&format!("unix:{}", path.display()), admin)).unwrap();
        for address in [ListenAddr::Tcp(admin), ListenAddr::Unix(path)] {
            assert!(opened.socket(&address).is_some() && opened.socket(&address).is_some());
        }
        assert!(opened.socket(&ListenAddr::Tcp("127.0.0.1:1".parse().unwrap())).is_none());
    }

    #[test]
    fn what_nobody_listens_on_is_named() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let opened = Activated::of(vec![("lab.socket".to_owned(), tcp.into())]).unwrap();

        let refused = opened.fit(&config("127.0.0.1:0", "127.0.0.1:1".parse().unwrap()));

        let told = refused.unwrap_err().to_string();
        assert!(told.contains("`lab.socket`") && told.contains(&address.to_string()), "{told}");
    }

    #[test]
    fn what_does_not_listen_for_connections_is_named() {
        let (connected, _other) = UnixStream::pair().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in [connected.into(), datagrams.into()] {
            let refused = Activated::of(vec![("odd".to_owned(), socket)]).unwrap_err();
            assert!(refused.to_string().contains("`odd`"), "{refused}");
        }
    }
}
