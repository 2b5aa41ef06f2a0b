//! Ports that are easy to remember, or others when those are taken.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Where to look for ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// Wanted ports are counted from here; 0 leaves all to the kernel.
    base: u16,
}

impl Ports {
    /// Ports after `base`; 0 leaves all to the kernel.
    pub(super) fn after(base: u16) -> Self {
        Self { base }
    }

    /// Addresses on loopback that are free at this moment: `base` plus each of the offsets where that is
    /// possible, and what the kernel chooses elsewhere.
    pub(super) fn choose<const N: usize>(self, offsets: [u16; N]) -> io::Result<[SocketAddr; N]> {
        let mut chosen = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
        let mut held = Vec::with_capacity(N); // to the end, so that no port is chosen twice
        for (address, offset) in chosen.iter_mut().zip(offsets) {
            let listener = self.bind(offset)?;
            *address = listener.local_addr()?;
            held.push(listener);
        }
        Ok(chosen)
    }

    fn bind(self, offset: u16) -> io::Result<TcpListener> {
        let wanted = if self.base == 0 { None } else { self.base.checked_add(offset) };
        wanted
            .and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .map_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_replaced_and_none_comes_twice() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = taken.local_addr().unwrap().port();

        let [first, second] = Ports::after(base).choose([0, 0]).unwrap();

        assert!(first.port() != base && second.port() != base && first != second);
    }

    #[test]
    fn ports_beyond_the_last_are_left_to_the_kernel() {
        let [chosen] = Ports::after(65_530).choose([20]).unwrap();

        assert_ne!(chosen.port(), 0);
    }
}
