//! The rules for `iptables-restore --noflush` and its twin for IPv6: chains of our own in the table `nat`, and a jump to each.

use super::rules::{Incoming, Outgoing, Rules};

/// Our chain, the chain of the kernel that jumps to it, and what jumps.
const CHAINS: [(&str, &str, &str); 2] =
    [("MYELIN_OUTPUT", "OUTPUT", "-p tcp"), ("MYELIN_PREROUTING", "PREROUTING", "! -i lo -p tcp")];

/// One of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn restore(self) -> &'static str {
        match self {
            Self::V4 => "iptables-restore",
            Self::V6 => "ip6tables-restore",
        }
    }

    pub(super) fn save(self) -> &'static str {
        match self {
            Self::V4 => "iptables-save",
            Self::V6 => "ip6tables-save",
        }
    }
}

/// The rules, in place of those that `saved` (what `iptables-save` says) has of ours.
pub(super) fn text(rules: &Rules, family: Family, saved: &str) -> String {
    let mut lines = vec!["*nat".to_owned()];
    lines.extend(CHAINS.iter().map(|(chain, ..)| format!(":{chain} - [0:0]")));
    lines.extend(jumps(saved));
    lines.extend(output(rules, family));
    for Incoming { ports, to } in &rules.inbound {
        lines.extend(ports.iter().map(|port| {
            format!(
                "-A MYELIN_PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport {port} \
                 -j REDIRECT --to-ports {to}"
            )
        }));
    }
    lines.extend(CHAINS.iter().map(|(chain, of, what)| format!("-I {of} {what} -j {chain}")));
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

/// Takes away what `saved` has of ours; `None` when that is nothing.
pub(super) fn removal(saved: &str) -> Option<String> {
    let has = |chain: &str| saved.lines().any(|line| line.starts_with(&format!(":{chain} ")));
    let ours: Vec<_> = CHAINS.iter().map(|(chain, ..)| *chain).filter(|chain| has(chain)).collect();
    if ours.is_empty() {
        return None;
    }
    let mut lines = vec!["*nat".to_owned()];
    lines.extend(jumps(saved));
    lines.extend(ours.iter().map(|chain| format!("-F {chain}")));
    lines.extend(ours.iter().map(|chain| format!("-X {chain}")));
    lines.push("COMMIT\n".to_owned());
    Some(lines.join("\n"))
}

/// Whether a chain of ours in `saved` sends something to `port`.
pub(super) fn has(saved: &str, port: u16) -> bool {
    let port = port.to_string();
    saved.lines().any(|line| {
        let mut words = line.split_whitespace();
        let chain = (words.next() == Some("-A")).then(|| words.next()).flatten();
        let is_ours = CHAINS.iter().any(|(ours, ..)| chain == Some(*ours));
        is_ours && words.any(|word| word == "--to-ports") && words.next() == Some(port.as_str())
    })
}

/// Takes away the jumps to our chains.
fn jumps(saved: &str) -> impl Iterator<Item = String> {
    let is_jump = |rule: &&str| {
        CHAINS.iter().any(|(chain, of, _)| {
            rule.starts_with(&format!("{of} ")) && rule.ends_with(&format!(" -j {chain}"))
        })
    };
    saved
        .lines()
        .filter_map(|line| line.strip_prefix("-A "))
        .filter(is_jump)
        .map(|rule| format!("-D {rule}"))
}

/// What programs of this machine open.
fn output(rules: &Rules, family: Family) -> Vec<String> {
    let Some(Outgoing { to, ports, spared_ports, spared }) = &rules.outbound else {
        return Vec::new();
    };
    let mut what = vec![
        format!("-m owner --uid-owner {} -j RETURN", rules.user),
        "-m addrtype --dst-type LOCAL -j RETURN".to_owned(),
    ];
    let of_family = spared.iter().filter(|n| n.address.is_ipv4() == (family == Family::V4));
    what.extend(of_family.map(|network| format!("-d {network} -j RETURN")));
    what.extend(spared_ports.iter().map(|port| format!("-p tcp --dport {port} -j RETURN")));
    if ports.is_empty() {
        what.push(format!("-p tcp -j REDIRECT --to-ports {to}"));
    }
    what.extend(
        ports.iter().map(|port| format!("-p tcp --dport {port} -j REDIRECT --to-ports {to}")),
    );
    what.into_iter().map(|what| format!("-A MYELIN_OUTPUT {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_of_ours_to_the_whole_port_vouch_for_it() {
        let ours = "-A MYELIN_OUTPUT -p tcp -j REDIRECT --to-ports 15001\n";
        let others = "-A OUTPUT -j MYELIN_OUTPUT\n-A PREROUTING -p tcp -j REDIRECT --to-ports 15001\n\
                      -A MYELINS -p tcp -j REDIRECT --to-ports 15001\n";

        assert!(has(&format!("{others}{ours}"), 15001));
        assert!(!has(ours, 1500) && !has(ours, 5001));
        assert!(!has(others, 15001));
    }
}
