//! What stands where in a configuration file, so that two of them can be told apart on record.
//!
//! A record of what is new must not give away a secret, and names nobody: only the values of keys that can hold neither are
//! shown, of others only where they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::yaml::{Node, Value};
use crate::identity::Fingerprint;

/// Before the path of a file of policy, in place of a key.
const POLICY_FILE: &str = "policy file ";
/// Most differences that are named.
const MOST: usize = 100;
/// Longest value that is shown, in bytes.
const LONGEST: usize = 128;
/// Keys whose values are shown.
const SHOWN: &[&str] = &[
    "algorithm",
    "allow",
    "associations",
    "batch",
    "compress",
    "confirm",
    "enforce",
    "exclude_addresses",
    "exclude_ports",
    "expect",
    "expires",
    "feed",
    "fips",
    "format",
    "forward",
    "forward_anywhere",
    "include_ports",
    "interval",
    "keep_undelivered",
    "key_lifetime",
    "listen",
    "listen_anywhere",
    "messages",
    "methods",
    "mode",
    "name",
    "on_denied",
    "on_failure",
    "path",
    "phi",
    "plaintext",
    "port",
    "ports",
    "probe_listen",
    "profile",
    "protocol",
    "redirect",
    "redirect_ports",
    "resources",
    "retention",
    "review_by",
    "sample",
    "sandbox",
    "segment_size",
    "service",
    "since",
    "socket",
    "to",
    "trust_domain",
    "ttl",
    "until",
    "version",
    "workers",
];
/// Where `address` is a network; elsewhere it may be a URL with a password in it.
const DESTINATIONS: &str = ".destinations[";
/// Mappings of which every value is shown.
const SHOWN_WHOLE: &[&str] = &["limits"];

/// What stands where in a configuration file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outline(BTreeMap<String, String>);

/// A key whose value is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where it stands, like `inbound[fhir].mode`; items of lists by their names, where they have some.
    pub key: String,
    /// What stood there, if something did and it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What stands there now, if something does and it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// What is different, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first hundred.
    pub named: Vec<Change>,
    /// How many there are beside these.
    pub more: usize,
}

/// It may hold secrets.
impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outline({} keys)", self.0.len())
    }
}

impl Outline {
    /// Of a file whose whole is `root`, as it was written: before anything is put in.
    pub(super) fn of(root: &Node) -> Self {
        let mut outline = Self::default();
        outline.add("", root);
        outline
    }

    /// Adds a file of policy; its digest stands for it.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) {
        let digest = format!("sha256:{}", Fingerprint::of(text.as_bytes()));
        self.0.insert(format!("{POLICY_FILE}{}", path.display()), digest);
    }

    /// What is different in `new`.
    pub fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        let keys = self.0.keys().chain(new.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut keys: Vec<_> = keys.filter(|key| self.0.get(*key) != new.0.get(*key)).collect();
        keys.sort_unstable();
        changes.more = keys.len().saturating_sub(MOST);
        changes.named = keys.into_iter().take(MOST).map(|key| self.change(key, new)).collect();
        changes
    }

    fn change(&self, key: &str, new: &Self) -> Change {
        let shown = |of: &Self| of.0.get(key).filter(|text| may_be_shown(key, text)).cloned();
        Change { key: key.to_owned(), old: shown(self), new: shown(new) }
    }

    fn add(&mut self, key: &str, node: &Node) {
        match &node.value {
            Value::Text(text) => drop(self.0.insert(key.to_owned(), text.clone())),
            Value::Null | Value::Refused => drop(self.0.insert(key.to_owned(), String::new())),
            Value::Map(entries) => {
                let dot = if key.is_empty() { "" } else { "." };
                for entry in entries {
                    self.add(&format!("{key}{dot}{}", entry.name), &entry.node);
                }
            }
            Value::List(items) => self.add_list(key, items),
        }
    }

    /// A list of texts is one value.
    fn add_list(&mut self, key: &str, items: &[Node]) {
        let texts: Option<Vec<&str>> = items.iter().map(text).collect();
        if let Some(texts) = texts {
            self.0.insert(key.to_owned(), texts.join(", "));
            return;
        }
        for (index, item) in items.iter().enumerate() {
            match name(item) {
                Some(name) => self.add(&format!("{key}[{name}]"), item),
                None => self.add(&format!("{key}[{index}]"), item),
            }
        }
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Refused => None,
    }
}

/// The `name` of an item, if it has one that looks like a name.
fn name(item: &Node) -> Option<&str> {
    let Value::Map(entries) = &item.value else { return None };
    let name =
        entries.iter().find(|entry| entry.name == "name").and_then(|entry| text(&entry.node));
    name.filter(|name| super::scalar::name(name).is_ok())
}

fn may_be_shown(key: &str, text: &str) -> bool {
    let mut parts = key.split('.').map(|part| part.split('[').next().unwrap_or(part));
    let within_shown = key.split('.').any(|part| SHOWN_WHOLE.contains(&part));
    let last = parts.next_back().unwrap_or_default();
    let is_network = last == "address" && key.contains(DESTINATIONS);
    // What is put in by a reference is not here, but where it comes from may be telling, too.
    let is_plain = text.len() <= LONGEST && !text.contains("${");
    is_plain
        && (within_shown || is_network || SHOWN.contains(&last) || key.starts_with(POLICY_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn outline(text: &str) -> Outline {
        Outline::of(&yaml::read(text).0.unwrap())
    }

    #[test]
    fn what_is_new_is_told_by_its_key_and_values_only_where_they_can_be_no_secret() {
        let old = outline(
            "inbound:\n  - {name: fhir, mode: strict, allow: [a, b]}\nlimits: {connections: 10}\n\
             identity: {vault: {auth: {token: hvs.old}}}\npeers: {a: {dns: a.example}}\n",
        );
        let new = outline(
            "inbound:\n  - {name: fhir, mode: permissive, allow: [a]}\nlimits: {connections: 20}\n\
             identity: {vault: {auth: {token: hvs.new}}}\npeers: {a: {dns: b.example}}\n",
        );

        let changes = old.changes(&new);

        let change = |key: &str, old: Option<&str>, new: Option<&str>| Change {
            key: key.to_owned(),
            old: old.map(ToOwned::to_owned),
            new: new.map(ToOwned::to_owned),
        };
        assert_eq!(
            changes.named,
            [
                change("identity.vault.auth.token", None, None),
                change("inbound[fhir].allow", Some("a, b"), Some("a")),
                change("inbound[fhir].mode", Some("strict"), Some("permissive")),
                change("limits.connections", Some("10"), Some("20")),
                change("peers.a.dns", None, None),
            ]
        );
        assert!(!format!("{old:?}").contains("hvs"));
    }

    #[test]
    fn where_redirection_sends_is_shown() {
        let old = outline(
            "redirect: {port: 15001, exclude_ports: [22]}\nidentity: {vault: {address: https://u:p@bao}}\n\
             outbound: [{name: lab, destinations: [{address: 10.0.0.0/8, ports: [80, 81], port: 8443}]}]\n\
             inbound: [{name: fhir, redirect_ports: [80]}]\n",
        );
        let new = outline(
            "redirect: {port: 15002, include_ports: [80], exclude_addresses: [10.0.0.1]}\n\
             identity: {vault: {address: https://u:q@bao}}\n\
             outbound: [{name: lab, redirect: transparent, \
             destinations: [{address: 10.1.0.0/16, ports: [80], port: 9443}]}]\n\
             inbound: [{name: fhir, redirect_ports: [80, 81]}]\n",
        );

        let changes = old.changes(&new).named.into_iter();

        let told: Vec<_> = changes.map(|it| (it.key, it.old, it.new)).collect();
        let expected = [
            ("identity.vault.address", None, None),
            ("inbound[fhir].redirect_ports", Some("80"), Some("80, 81")),
            ("outbound[lab].destinations[0].address", Some("10.0.0.0/8"), Some("10.1.0.0/16")),
            ("outbound[lab].destinations[0].port", Some("8443"), Some("9443")),
            ("outbound[lab].destinations[0].ports", Some("80, 81"), Some("80")),
            ("outbound[lab].redirect", None, Some("transparent")),
            ("redirect.exclude_addresses", None, Some("10.0.0.1")),
            ("redirect.exclude_ports", Some("22"), None),
            ("redirect.include_ports", None, Some("80")),
            ("redirect.port", Some("15001"), Some("15002")),
        ];
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        assert_eq!(told, expected.map(|(key, old, new)| (key.to_owned(), owned(old), owned(new))));
    }

    #[test]
    fn where_something_comes_from_is_not_shown() {
        let changes = outline("listen: 1").changes(&outline("listen: ${file:/run/secret}"));

        assert_eq!((changes.named[0].old.as_deref(), &changes.named[0].new), (Some("1"), &None));
    }

    #[test]
    fn of_many_changes_a_hundred_are_named() {
        let many: String = (0..150).map(|n| format!("k{n}: 1\n")).collect();

        let changes = Outline::default().changes(&outline(&many));

        assert_eq!((changes.named.len(), changes.more), (100, 50));
    }
}
