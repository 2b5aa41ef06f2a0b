//! Names for several peers, and lists in which either may stand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::nearest::nearest;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Located, Reader};
use crate::config::scalar::name;
use crate::config::yaml::{Entry, Node, Value};
use crate::identity::PeerName;

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 16;

/// The names in `peers` and `groups`, those of wrong entries too: a rule that names one is not wrong for it.
pub(super) struct Known<'n> {
    peers: BTreeSet<&'n str>,
    groups: BTreeMap<&'n str, Group<'n>>,
    /// The groups that something names.
    used: RefCell<BTreeSet<&'n str>>,
}

struct Group<'n> {
    entry: &'n Entry,
    /// What it lists, peers and groups; `None` when that is wrong.
    listed: Option<Vec<Located<PeerName>>>,
    /// The peers that these come down to.
    members: Option<Vec<PeerName>>,
}

impl<'n> Known<'n> {
    /// The names in `peers` and in `groups`, as far as they are there.
    pub(super) fn of(
        reader: &Reader<'_>,
        peers: Option<&'n Node>,
        groups: Option<&'n Node>,
    ) -> Self {
        let peers = match peers.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.iter().map(|e| e.name.as_str()).collect(),
            _ => BTreeSet::new(),
        };
        let entries = groups.and_then(|node| reader.entries(node)).unwrap_or_default();
        let group = |entry: &'n Entry| (&*entry.name, Group { entry, listed: None, members: None });
        let groups = entries.iter().map(group).collect();
        let mut known = Self { peers, groups, used: RefCell::default() };
        let listed: Vec<_> = entries.iter().map(|entry| known.group(reader, entry)).collect();
        for (group, listed) in known.groups.values_mut().zip(sorted(entries, listed)) {
            group.listed = listed;
        }
        for entry in entries {
            known.flatten(reader, &mut vec![&entry.name]);
        }
        known
    }

    /// Their members, by name. Those of wrong groups are missing.
    pub(super) fn members(&self) -> BTreeMap<PeerName, Vec<PeerName>> {
        let groups = self.groups.iter();
        groups
            .filter_map(|(name, group)| Some((PeerName::new(name), group.members.clone()?)))
            .collect()
    }

    /// Warns of groups that nothing names.
    pub(super) fn check_use(&self, reader: &Reader<'_>) {
        let used = self.used.borrow();
        let good = self.groups.iter().filter(|(_, group)| group.members.is_some());
        for (name, group) in good.filter(|(name, _)| !used.contains(*name)) {
            let fault = Fault::new(format!("group {} is used nowhere", quoted(name)));
            reader.warn(group.entry.at(), fault.hint("name it in an `allow`, or remove it"));
        }
    }

    /// A list of names, each in `peers` or in `groups`, groups replaced by their members.
    pub(super) fn list(&self, reader: &Reader<'_>, node: &Node) -> Option<Vec<Located<PeerName>>> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        let mut whole = true;
        for name in self.listed(reader, node)? {
            let members = match self.groups.get(name.value.as_str()) {
                None => vec![name],
                Some(Group { members: Some(members), .. }) => {
                    members.iter().map(|member| name.holding(member.clone())).collect()
                }
                // What is wrong with it has been said.
                Some(Group { members: None, .. }) => {
                    whole = false;
                    continue;
                }
            };
            all.extend(members.into_iter().filter(|member| seen.insert(member.value.clone())));
        }
        whole.then_some(all)
    }

    /// The names in a list, each once.
    fn listed(&self, reader: &Reader<'_>, node: &Node) -> Option<Vec<Located<PeerName>>> {
        let listed = reader.list(node, |reader, node| self.one(reader, node))?;
        let mut seen = BTreeSet::new();
        let once = listed.into_iter().filter(|name| {
            let first = seen.insert(name.value.clone());
            if !first {
                let fault = Fault::new(format!("{} is listed twice", quoted(&name.written)));
                reader.warn(name.at(), fault.hint("keep one"));
            }
            first
        });
        Some(once.collect())
    }

    fn one(&self, reader: &Reader<'_>, node: &Node) -> Option<Located<PeerName>> {
        let name = reader.located(node, |text| Ok(PeerName::new(text)))?;
        let text = name.value.as_str();
        if let Some((group, _)) = self.groups.get_key_value(text) {
            self.used.borrow_mut().insert(group);
            return Some(name);
        }
        if self.peers.contains(text) {
            return Some(name);
        }
        let fault = Fault::new(format!("peer {} is not in `peers`", quoted(&name.written)));
        let known = self.peers.iter().chain(self.groups.keys()).copied();
        reader.error(
            name.at(),
            match nearest(text, known) {
                Some(known) => fault.hint(format!("did you mean `{known}`?")),
                None => fault.hint("add it there: `peers: { NAME: { spiffe: spiffe://… } }`"),
            },
        );
        None
    }

    /// What the group of `entry` lists.
    fn group(&self, reader: &Reader<'_>, entry: &Entry) -> Option<Vec<Located<PeerName>>> {
        let shown = quoted(&entry.name);
        let mut good = true;
        if let Err(fault) = name(&entry.name) {
            let text = format!("{shown} {}", fault.text);
            reader.error(entry.at(), Fault { text, ..fault });
            good = false;
        } else if self.peers.contains(&*entry.name) {
            let fault = Fault::new(format!("{shown} is a peer and a group"));
            reader.error(
                entry.at(),
                fault.hint("rules could mean either; give the group another name"),
            );
            good = false;
        }
        let listed = self.listed(reader, &entry.node)?;
        if listed.is_empty() {
            let fault = Fault::new(format!("nobody is in group {shown}"));
            reader.warn(entry.at(), fault.hint("name peers in it, or remove it"));
        }
        good.then_some(listed)
    }

    /// Finds the members of the last group of `path`, in which each group lists the next.
    fn flatten(&mut self, reader: &Reader<'_>, path: &mut Vec<&'n str>) -> Option<Vec<PeerName>> {
        let group = self.groups.get(path.last()?)?;
        if group.members.is_some() {
            return group.members.clone();
        }
        let listed = group.listed.clone()?;
        let mut seen = BTreeSet::new();
        let mut members = Vec::new();
        for name in listed {
            let Some((&inner, _)) = self.groups.get_key_value(name.value.as_str()) else {
                members.push(name.value);
                continue;
            };
            if let Some(fault) = endless(path, inner) {
                reader.error(name.at(), fault);
                self.spoil(path);
                return None;
            }
            path.push(inner);
            let found = self.flatten(reader, path);
            path.pop();
            members.extend(found?);
        }
        members.retain(|member| seen.insert(member.clone()));
        let group = self.groups.get_mut(path.last()?)?;
        group.members = Some(members);
        group.members.clone()
    }

    /// Nothing is known of the groups of `path`: one problem is said once.
    fn spoil(&mut self, path: &[&str]) {
        for (_, group) in self.groups.iter_mut().filter(|(name, _)| path.contains(name)) {
            group.listed = None;
        }
    }
}

/// `values`, one for each of `entries`, in the order of the entries' names.
fn sorted<T>(entries: &[Entry], values: Vec<T>) -> impl Iterator<Item = T> {
    entries
        .iter()
        .map(|entry| entry.name.as_str())
        .zip(values)
        .collect::<BTreeMap<_, _>>()
        .into_values()
}

/// Why `inner` cannot stand in the last group of `path`.
fn endless(path: &[&str], inner: &str) -> Option<Fault> {
    if let Some(first) = path.iter().position(|name| *name == inner) {
        let way = path.iter().skip(first).chain(std::iter::once(&inner));
        let way: Vec<_> = way.map(|name| quoted(name)).collect();
        let fault =
            Fault::new(format!("group {} is in itself: {}", quoted(inner), way.join(" has ")));
        return Some(fault.hint("take one of them out of the other"));
    }
    (path.len() >= MAX_DEPTH).then(|| {
        let fault = Fault::new(format!("groups nested deeper than {MAX_DEPTH}"));
        fault.hint("list the peers themselves")
    })
}
