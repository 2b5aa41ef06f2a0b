//! The rules for `nft`: one table, which takes the place of the one before it in one step.

use super::rules::{Incoming, Outgoing, Rules, list};

/// The table. Nothing else is touched.
pub(super) const TABLE: &str = "inet myelin";

/// Takes the table away, and whatever was in it; that there is none is fine, too.
pub(super) fn removal() -> String {
    format!("table {TABLE}\ndelete table {TABLE}\n")
}

/// The table, in place of the one before it.
pub(super) fn text(rules: &Rules) -> String {
    format!("{}table {TABLE} {{\n{}{}}}\n", removal(), output(rules), prerouting(rules))
}

/// Whether our table, as `nft` lists it, sends something to `port`.
pub(super) fn has(listed: &str, port: u16) -> bool {
    let rule = format!("redirect to :{port}");
    listed.lines().any(|line| line.trim_end().ends_with(&rule))
}

/// What programs of this machine open.
fn output(rules: &Rules) -> String {
    let Some(Outgoing { to, ports, spared_ports, spared }) = &rules.outbound else {
        return String::new();
    };
    let mut lines = vec![
        "type nat hook output priority -100; policy accept;".to_owned(),
        format!("meta skuid \"{}\" return comment \"the sidecar's own\"", rules.user),
        "fib daddr type local return comment \"stays on this machine\"".to_owned(),
    ];
    // A rule for each: a set must not have networks that overlap.
    lines.extend(spared.iter().map(|network| {
        let family = if network.address.is_ipv4() { "ip" } else { "ip6" };
        format!("{family} daddr {network} return")
    }));
    lines.push(format!("tcp dport {{ {} }} return", list(spared_ports)));
    lines.push(match ports.as_slice() {
        [] => format!("meta l4proto tcp redirect to :{to}"),
        ports => format!("tcp dport {{ {} }} redirect to :{to}", list(ports)),
    });
    chain("output", &lines)
}

/// What comes from elsewhere to this machine; what only passes through is not for us.
fn prerouting(rules: &Rules) -> String {
    if rules.inbound.is_empty() {
        return String::new();
    }
    let mut lines = vec!["type nat hook prerouting priority -100; policy accept;".to_owned()];
    lines.extend(rules.inbound.iter().map(|Incoming { ports, to }| {
        let ports = list(ports);
        format!("iifname != \"lo\" fib daddr type local tcp dport {{ {ports} }} redirect to :{to}")
    }));
    chain("prerouting", &lines)
}

fn chain(name: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("\t\t{line}\n")).collect();
    format!("\tchain {name} {{\n{lines}\t}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rule_to_the_whole_port_vouches_for_it() {
        let listed = "\t\tmeta l4proto tcp redirect to :15001\n";

        assert!(has(listed, 15001));
        assert!(!has(listed, 1500) && !has(listed, 5001));
    }
}
