//! The connections that hold a permit, as whoever keeps their register tells of them.

use std::net::SocketAddr;
use std::sync::{OnceLock, Weak};

use time::OffsetDateTime;

use crate::identity::PeerName;

/// A connection that holds a permit.
#[derive(Debug, Clone)]
pub struct Open {
    /// `myelin.connection` of its records.
    pub id: String,
    /// The peer's name in `peers`; `None`: it is not listed, and was let in all the same.
    pub peer: Option<PeerName>,
    /// Who connected. `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// Since when it holds it.
    pub since: OffsetDateTime,
    /// Whether the peer came in plaintext.
    pub plaintext: bool,
}

/// A list of connections that hold a permit.
pub trait Roll: Send + Sync {
    /// How many there are, and the `most` newest of them, newest first.
    fn newest(&self, most: usize) -> (usize, Vec<Open>);
}

/// Where a listener's register is found, once it has one.
#[derive(Default)]
pub struct OpenConnections(OnceLock<Weak<dyn Roll>>);

impl OpenConnections {
    /// Here it is. There is one at most.
    pub fn are_in(&self, register: Weak<dyn Roll>) {
        let _first = self.0.set(register);
    }

    /// How many there are, and the `most` newest of them, newest first.
    pub fn newest(&self, most: usize) -> (usize, Vec<Open>) {
        let register = self.0.get().and_then(Weak::upgrade);
        register.map_or_else(Default::default, |register| register.newest(most))
    }
}
