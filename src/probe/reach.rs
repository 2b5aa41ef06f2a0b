//! From a name to a socket.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::seen::{Attempt, Resolved, Unreached};
use crate::config::Endpoint;

/// Addresses that are tried of one name.
const ADDRESSES: usize = 16;

/// Looks the name up; an IP address needs no resolver.
pub(super) async fn resolve(to: &Endpoint, limit: Duration) -> Resolved {
    if let Ok(ip) = to.host.parse::<IpAddr>() {
        return Resolved { addresses: vec![SocketAddr::new(ip, to.port)], error: None };
    }
    let failed = |error: String| Resolved { addresses: Vec::new(), error: Some(error) };
    match timeout(limit, lookup_host((&*to.host, to.port))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if addresses.len() < ADDRESSES && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            match addresses.is_empty() {
                true => failed("the name has no address".to_owned()),
                false => Resolved { addresses, error: None },
            }
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(_elapsed) => failed(format!("no answer within {}", humantime::format_duration(limit))),
    }
}

/// Connects to `address`.
pub(super) async fn connect(address: SocketAddr, limit: Duration) -> (Attempt, Option<TcpStream>) {
    let begun = Instant::now();
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let attempt = |failed, error| Attempt { address, milliseconds, failed, error };
    match connected {
        Ok(Ok(socket)) => {
            // Without it the last flight of a handshake may wait for an acknowledgement.
            let _unsupported = socket.set_nodelay(true);
            (attempt(None, None), Some(socket))
        }
        Ok(Err(error)) => (attempt(Some(unreached(&error)), Some(error.to_string())), None),
        Err(_elapsed) => {
            let text = format!("no answer within {}", humantime::format_duration(limit));
            (attempt(Some(Unreached::TimedOut), Some(text)), None)
        }
    }
}

fn unreached(error: &io::Error) -> Unreached {
    match error.kind() {
        ErrorKind::ConnectionRefused => Unreached::Refused,
        ErrorKind::TimedOut => Unreached::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Unreached::NoRoute
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Unreached::Reset,
        ErrorKind::PermissionDenied => Unreached::Forbidden,
        _ => Unreached::Other,
    }
}
