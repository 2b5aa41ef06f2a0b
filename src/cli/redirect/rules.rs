//! What is redirected, whichever program tells the kernel.

use crate::config::{Config, Network};

/// The port of DNS: a workload that resolves nothing connects nowhere.
const DNS: u16 = 53;

/// What is sent to the sidecar, and what is spared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// As whom the sidecar runs, by name or number: its own connections go where they are to go.
    pub(super) user: String,
    /// What the workload opens; `None`: nothing of it is redirected.
    pub(super) outbound: Option<Outgoing>,
    /// What comes in, a listener at a time.
    pub(super) inbound: Vec<Incoming>,
}

/// What the workload opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Where it is sent.
    pub(super) to: u16,
    /// Empty: all ports.
    pub(super) ports: Vec<u16>,
    pub(super) spared_ports: Vec<u16>,
    pub(super) spared: Vec<Network>,
}

/// What peers open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) ports: Vec<u16>,
    /// Where it is sent.
    pub(super) to: u16,
}

impl Rules {
    /// Those of `config`, for a sidecar that runs as `user`; `None` when nothing is redirected.
    pub(super) fn of(config: &Config, user: &str) -> Option<Self> {
        let outbound = config.redirect.as_ref().map(|redirect| Outgoing {
            to: redirect.port,
            ports: sorted(redirect.include_ports.clone()),
            spared_ports: sorted([&[DNS], redirect.exclude_ports.as_slice()].concat()),
            spared: redirect.exclude_addresses.clone(),
        });
        let inbound: Vec<_> = config
            .inbound
            .iter()
            .filter(|listener| !listener.redirect_ports.is_empty())
            .map(|listener| Incoming {
                ports: sorted(listener.redirect_ports.clone()),
                to: listener.listen.port(),
            })
            .collect();
        let is_any = outbound.is_some() || !inbound.is_empty();
        is_any.then(|| Self { user: user.to_owned(), outbound, inbound })
    }

    /// One line for each thing that is redirected.
    pub(super) fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        if let Some(Outgoing { to, ports, .. }) = &self.outbound {
            let which = match ports.as_slice() {
                [] => "all TCP".to_owned(),
                ports => format!("TCP to {}", list(ports)),
            };
            let user = &self.user;
            told.push(format!("{which} that this machine opens, but for {user}'s: to port {to}"));
        }
        for Incoming { ports, to } in &self.inbound {
            told.push(format!("TCP from elsewhere to {}: to port {to}", list(ports)));
        }
        told
    }
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Ports or networks, with commas.
pub(super) fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A user's name or number, as it may stand in a rule.
pub(super) fn user(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_word = text.bytes().all(fits) && !text.starts_with(['-', '.']);
    if !is_word || text.is_empty() || text.len() > 32 {
        return Err("neither a user's name nor a number; write myelin, or 1337".to_owned());
    }
    Ok(text.to_owned())
}
