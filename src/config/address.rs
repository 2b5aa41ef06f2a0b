//! Addresses that we bind, forward to, or reach over the network, and how they are written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::TextError;
use super::problem::Fault;
use crate::identity::DnsName;

/// An address that we bind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddr {
    /// IP and port. Port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
    /// None of its own: connections come by `redirect.port`.
    Redirected,
    /// None of its own: requests come by `forward_proxy`.
    ForwardProxy,
}

/// As the configuration has it.
impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Redirected => f.write_str("redirect"),
            Self::ForwardProxy => f.write_str("forward_proxy"),
        }
    }
}

/// Where the workload listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// IP and port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// One of the places where an outbound listener's peer may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A DNS name or an IP address.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// Longest path of a unix socket in bytes (`sun_path` without its NUL).
const MAX_SUN_PATH: usize = 107;
/// What a sidecar that takes the place of another has behind the path of its control socket, until its socket is there.
pub const SUCCESSOR: &str = ".new";
/// Longest path of the control socket in bytes: with [`SUCCESSOR`] it must be one that can be bound.
pub const MAX_CONTROL: usize = MAX_SUN_PATH - SUCCESSOR.len();

/// `IP:PORT`. Names are not taken: which address is bound must not depend on a resolver.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_error| {
        Fault::new("is not IP:PORT").hint(
            "names are not accepted here; write 127.0.0.1:8443, 0.0.0.0:8443, or [::]:8443 for IPv6",
        )
    })
}

/// `IP:PORT` or `unix:PATH`, to bind.
pub(super) fn listen(text: &str, base: &Path) -> Result<ListenAddr, Fault> {
    match text.strip_prefix("unix:") {
        Some(path) => unix(path, base).map(ListenAddr::Unix),
        None => text.parse().map(ListenAddr::Tcp).map_err(|_error| neither()),
    }
}

/// `IP:PORT` or `unix:PATH`, to connect to.
pub(super) fn target(text: &str, base: &Path) -> Result<Target, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path, base).map(Target::Unix);
    }
    let address: SocketAddr = text.parse().map_err(|_error| neither())?;
    if address.port() == 0 {
        return Err(Fault::new("has port 0, to which nothing can connect"));
    }
    Ok(Target::Tcp(address))
}

fn neither() -> Fault {
    Fault::new("is neither IP:PORT nor unix:PATH").hint(
        "names are not accepted here; write 127.0.0.1:8080, [::1]:8080, or unix:/run/app.sock",
    )
}

fn unix(path: &str, base: &Path) -> Result<PathBuf, Fault> {
    if path.is_empty() || path.contains('\0') {
        return Err(Fault::new("names no socket").hint("write unix:/run/app.sock"));
    }
    let path = base.join(path);
    if path.as_os_str().len() > MAX_SUN_PATH {
        return Err(Fault::new(format!(
            "is longer than the {MAX_SUN_PATH} bytes that a socket's path may have, with its directory"
        )));
    }
    Ok(path)
}

/// The path of the control socket.
pub(super) fn control(text: &str, base: &Path) -> Result<PathBuf, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Err(Fault::new("is more than a path").quoting(format!("write {path}")));
    }
    let path = unix(text, base)?;
    if path.as_os_str().len() > MAX_CONTROL {
        return Err(Fault::new(format!(
            "is longer than the {MAX_CONTROL} bytes that this socket's path may have, with its directory"
        ))
        .hint(format!(
            "a hand-over binds it with `{SUCCESSOR}` behind; write a shorter one, like /run/myelin/control.sock"
        )));
    }
    Ok(path)
}

/// `unix:///PATH` or `unix:/PATH`, as the SPIFFE Workload Endpoint names its socket (section 4).
pub(super) fn workload_api(text: &str) -> Result<PathBuf, Fault> {
    let wrong = || Fault::new("is not unix: and an absolute path");
    let like = "write unix:///run/spire/agent.sock";
    let Some(path) = text.strip_prefix("unix:") else {
        return Err(match text {
            text if text.starts_with("tcp:") => wrong().hint(
                "only a socket in the file system shows who asks; write unix:///run/spire/agent.sock",
            ),
            text if text.starts_with('/') => wrong().quoting(format!("write unix://{text}")),
            _ => wrong().hint(like),
        });
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(wrong().hint(format!("{like}, with three slashes")));
    }
    unix(path, Path::new("/"))
}

/// `HOST:PORT`, the host a DNS name or an IP address, IPv6 in brackets.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Fault> {
    let wrong = || {
        Fault::new("is not HOST:PORT")
            .hint("write lab.example:8443, 10.0.0.7:8443, or [2001:db8::7]:8443 for IPv6")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().filter(IpAddr::is_ipv6).ok_or_else(wrong)?.to_string(),
        None => name_or_v4(host).ok_or_else(wrong)?,
    };
    Ok(Endpoint { host: host.into(), port })
}

impl FromStr for Endpoint {
    type Err = TextError;

    /// `HOST:PORT` as it stands in `to`: a DNS name or an IP address, IPv6 in brackets.
    fn from_str(text: &str) -> Result<Self, TextError> {
        endpoint(text).map_err(TextError::of)
    }
}

/// A DNS name, which a resolver has addresses for.
pub(super) fn host(text: &str) -> Result<String, Fault> {
    let found = name_or_v4(text).filter(|name| name.parse::<IpAddr>().is_err());
    found.ok_or_else(|| {
        Fault::new("is not a DNS name")
            .hint("write lab.example; addresses go into `address`, like 10.0.0.7")
    })
}

fn name_or_v4(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_ipv4().then(|| address.to_string());
    }
    let name = DnsName::parse(host).ok()?;
    // A number at the end is a mistyped address, which a resolver might read in its own way.
    let numeric = name.as_str().rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit());
    (!numeric && !name.as_str().starts_with("*.")).then(|| name.as_str().to_owned())
}

/// Whether two addresses cannot be bound at the same time, or one reaches what the other bound.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let family = a.is_ipv4() == b.is_ipv4();
    let same = a == b || (family && (a.is_unspecified() || b.is_unspecified()));
    same && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_endpoint_is_a_name_or_an_address_with_a_port() {
        let host = |text: &str| endpoint(text).unwrap().host.to_string();

        assert_eq!(host("LIS1.lab.example:8443"), "lis1.lab.example");
        assert_eq!(host("10.0.0.7:8443"), "10.0.0.7");
        assert_eq!(host("[2001:db8::7]:8443"), "2001:db8::7");
        for wrong in [
            "lab.example",
            "lab.example:0",
            "lab.example:70000",
            ":8443",
            "2001:db8::7:8443",
            "[10.0.0.7]:1",
            "*.lab.example:1",
            "10.0.0.300:1",
            "https://lab.example:1",
            "a:b:1",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_unix_path_is_short_and_relative_to_the_file() {
        let base = Path::new("/etc/myelin");

        assert_eq!(target("unix:app.sock", base), Ok(Target::Unix("/etc/myelin/app.sock".into())));
        assert_eq!(listen("unix:/run/a", base), Ok(ListenAddr::Unix("/run/a".into())));
        assert!(target("unix:", base).is_err());
        assert!(target(&format!("unix:/{}", "a".repeat(107)), base).is_err());
        assert!(target("localhost:80", base).is_err());
        assert!(target("127.0.0.1:0", base).is_err());
    }

    #[test]
    fn the_control_sockets_path_leaves_room_for_a_successors() {
        let (longest, base) = (format!("/{}", "a".repeat(MAX_CONTROL - 1)), Path::new("/etc"));

        assert_eq!(control(&longest, base).unwrap(), Path::new(&longest));
        let told = control(&format!("{longest}b"), base).unwrap_err();
        assert!(told.text.contains("103 bytes"), "{}", told.text);
        assert!(target(&format!("unix:{longest}bcde"), base).is_ok(), "others have none");
    }

    #[test]
    fn a_workload_endpoint_is_an_absolute_path() {
        for good in ["unix:///run/spire/agent.sock", "unix:/run/spire/agent.sock"] {
            assert_eq!(workload_api(good).unwrap(), Path::new("/run/spire/agent.sock"));
        }
        for wrong in [
            "unix://run/agent.sock",
            "unix:run/agent.sock",
            "unix:",
            "unix:////run/a",
            "/run/agent.sock",
            "tcp://127.0.0.1:8000",
            &format!("unix:///{}", "a".repeat(107)),
        ] {
            assert!(workload_api(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_overlap_through_the_unspecified_one() {
        assert!(overlap(at("0.0.0.0:1"), at("127.0.0.1:1")));
        assert!(overlap(at("[::1]:1"), at("[::]:1")));
        assert!(!overlap(at("0.0.0.0:1"), at("0.0.0.0:2")));
        assert!(!overlap(at("127.0.0.1:1"), at("127.0.0.2:1")));
        assert!(!overlap(at("127.0.0.1:0"), at("127.0.0.1:0")));
    }
}
