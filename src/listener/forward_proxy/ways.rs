//! What the forward proxy leads to.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Led, Limits, Protocol};
use crate::listener::goal::Goal;
use crate::listener::outbound::{OutboundHttp, OutboundListener};
use crate::listener::redirect::Door;
use crate::live::Generation;
use crate::protocol::http::host_name;
use crate::traces::Tracer;

/// The port that stands behind no host (RFC 9110, 4.2.1).
const HTTP: u16 = 80;

/// What it leads to, and within which bounds.
pub struct ForwardWays {
    /// Bounds on its connections.
    pub limits: Limits,
    /// Those who take what it is asked for, in the order of the configuration.
    pub ways: Vec<ForwardWay>,
}

/// A listener to which requests come, or connections.
pub struct ForwardWay {
    /// It takes requests where it carries HTTP.
    pub listener: Arc<OutboundListener>,
    /// It takes connections by this where it does not.
    pub door: Door,
}

/// What the workload asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    host: Cow<'a, str>,
    port: u16,
}

impl<'a> Asked<'a> {
    /// What `authority` names, which is a host with an optional port.
    pub(super) fn of(authority: &'a str) -> Self {
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Self { host: host_name(authority), port: port.unwrap_or(HTTP) }
    }

    /// `HOST:PORT`, as far as a name may be long: what is longer is nobody's.
    pub(super) fn text(&self) -> Arc<str> {
        let shown = self.host.get(..253).unwrap_or(&self.host);
        format!("{shown}:{}", self.port).into()
    }
}

impl ForwardWays {
    /// What takes the spans of requests: all listeners have the same.
    pub(super) fn tracer(&self) -> Option<Arc<Tracer>> {
        self.ways.first()?.listener.state().value.tracer.clone()
    }

    /// Who takes a request for `asked` that came from `source`.
    pub(super) fn requests(
        &self,
        asked: &Asked<'_>,
        source: Option<SocketAddr>,
    ) -> Option<(OutboundHttp, Generation)> {
        let (way, led, judged) = self.way(asked, Protocol::Http)?;
        let goal = Goal::asked(asked.text(), led, false);
        Some((way.listener.http(source, Some(goal)), judged))
    }

    /// Who takes a tunnel to `asked`.
    pub(super) fn tunnel(&self, asked: &Asked<'_>) -> Option<(&Door, Goal)> {
        let (way, led, _judged) = self.way(asked, Protocol::Tcp)?;
        Some((&way.door, Goal::asked(asked.text(), led, true)))
    }

    /// Whether requests for `asked` would be taken.
    pub(super) fn has_requests(&self, asked: &Asked<'_>) -> bool {
        self.way(asked, Protocol::Http).is_some()
    }

    /// Whether a tunnel to `asked` would be taken.
    pub(super) fn has_tunnels(&self, asked: &Asked<'_>) -> bool {
        self.way(asked, Protocol::Tcp).is_some()
    }

    /// The first listener whose destinations have it, and the generation of them. No name is resolved for that.
    fn way(&self, asked: &Asked<'_>, protocol: Protocol) -> Option<(&ForwardWay, Led, Generation)> {
        self.ways.iter().find_map(|way| {
            let now = way.listener.state();
            let config = &now.value.config;
            let mut destinations =
                config.destinations.iter().filter(|_| config.protocol == protocol);
            let led = destinations.find_map(|to| to.leads(&asked.host, asked.port))?;
            Some((way, led, now.generation))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_a_name_in_lower_case_and_a_port() {
        for (authority, text) in [
            ("lis.lab.example", "lis.lab.example:80"),
            ("LIS.lab.example.:8080", "lis.lab.example:8080"),
            ("[fd77::2]", "[fd77::2]:80"),
            ("[fd77::2]:8080", "[fd77::2]:8080"),
            ("10.1.0.7:1", "10.1.0.7:1"),
        ] {
            assert_eq!(&*Asked::of(authority).text(), text, "{authority}");
        }
        assert_eq!(Asked::of(&"a".repeat(9000)).text().len(), 253 + 3);
    }
}
