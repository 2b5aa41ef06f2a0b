//! Capabilities, privileges by starting programs, and core dumps.

use std::fs::{Metadata, read_dir};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getegid, geteuid, getgroups, getrlimit,
    set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::Needs;

/// By these a process gets at files whatever their mode says.
const OVER_MODES: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER);
/// So many entries of a directory are looked at.
const ENTRIES: usize = 10_000;

/// Keeps the memory of this process out of files; whether it could still come into one.
pub(super) fn no_core_dumps(missing: &mut Vec<String>) -> bool {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if getrlimit(Resource::Core) != none
        && let Err(error) = setrlimit(Resource::Core, none)
    {
        tracing::debug!(%error, "the limit on core dumps stays as it is");
    }
    // This alone is enough, also where a program takes the dumps (`kernel.core_pattern` with a pipe).
    let asked = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let dumps = dumpable_behavior() != Ok(DumpableBehavior::NotDumpable);
    if dumps {
        let why = asked.err().map(|error| format!(": {error}")).unwrap_or_default();
        missing.push(format!("core dumps cannot be turned off{why}"));
    }
    dumps
}

/// Has programs that this process might start get no privilege by their files; whether it is so.
pub(super) fn no_new_ones(missing: &mut Vec<String>) -> bool {
    let asked = set_no_new_privs(true);
    let held = no_new_privs().unwrap_or(false);
    if !held {
        let why = asked.err().map(|error| format!(": {error}")).unwrap_or_default();
        missing.push(format!("no_new_privs cannot be set{why}"));
    }
    held
}

/// Drops all capabilities but those without which it would not get at its files; the names of what is left.
pub(super) fn drop(needs: &Needs, missing: &mut Vec<String>) -> Vec<String> {
    let Ok(before) = capabilities(None) else {
        missing.push("the capabilities of this process cannot be read".to_owned());
        return Vec::new();
    };
    let over_modes = before.effective & OVER_MODES;
    let closed = if over_modes.is_empty() { None } else { closed(needs, &Whoever::this()) };
    let kept = if closed.is_some() { over_modes } else { CapabilitySet::empty() };
    if let Some(path) = closed {
        missing.push(format!(
            "capabilities are kept, to get at {}, which belongs to another user: run the sidecar as that user, or \
             give it the file",
            path.display()
        ));
    }
    let left =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    if before == left {
        return names(kept);
    }
    // Of no use without programs to start, so it is no fault if they stay: a kernel may not know them.
    let _ambient = clear_ambient_capability_set();
    for (_, capability) in CapabilitySet::all().iter_names() {
        let _bound = remove_capability_from_bounding_set(capability);
    }
    if let Err(error) = set_capabilities(None, left) {
        missing.push(format!("capabilities cannot be dropped: {error}"));
    }
    names(capabilities(None).map_or(before.permitted, |now| now.permitted))
}

/// As `capabilities(7)` calls them.
fn names(set: CapabilitySet) -> Vec<String> {
    set.iter_names().map(|(name, _)| format!("cap_{}", name.to_ascii_lowercase())).collect()
}

/// A user with their groups.
struct Whoever {
    user: u32,
    groups: Vec<u32>,
}

impl Whoever {
    fn this() -> Self {
        let mut groups: Vec<_> =
            getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
        groups.push(getegid().as_raw());
        Self { user: geteuid().as_raw(), groups }
    }

    /// Whether a file's mode lets them have `wanted` (4: read, 2: write, 1: search).
    fn may(&self, wanted: u32, metadata: &Metadata) -> bool {
        let mode = metadata.mode();
        let bits = if metadata.uid() == self.user {
            mode >> 6
        } else if self.groups.contains(&metadata.gid()) {
            mode >> 3
        } else {
            mode
        };
        bits & wanted == wanted
    }

    /// Whether they may go down to `path`.
    fn get_to(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|dir| dir.metadata().map_or(true, |is| self.may(1, &is)))
    }
}

/// Something of what is needed that modes alone keep `who` from.
fn closed(needs: &Needs, who: &Whoever) -> Option<PathBuf> {
    let to_read = needs.reads.iter().filter(|path| is_closed(path, 4, who));
    // What is no directory is of no use, with a capability or without.
    let dirs = needs.writes.iter().filter(|dir| dir.is_dir());
    let to_write = dirs.filter(|dir| is_closed(dir, 7, who) || has_foreign(dir, who));
    let to_listen = needs.listens.iter().filter(|dir| is_closed(dir, 3, who));
    // Who makes a socket later is not known; their directory says who may.
    let to_connect = needs.connects.iter().filter(|path| match path.metadata() {
        Ok(_) => is_closed(path, 2, who),
        Err(_) => {
            path.parent().is_some_and(|dir| dir.metadata().is_ok_and(|is| is.uid() != who.user))
        }
    });
    to_read.chain(to_write).chain(to_listen).chain(to_connect).next().cloned()
}

fn is_closed(path: &Path, wanted: u32, who: &Whoever) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let there = path.metadata().map_or(true, |is| who.may(wanted, &is));
    !(there && who.get_to(&path))
}

/// Whether something in `dir`, or the directory itself, belongs to somebody else.
fn has_foreign(dir: &Path, who: &Whoever) -> bool {
    let is_foreign = |metadata: Metadata| metadata.uid() != who.user;
    let entries = read_dir(dir).into_iter().flatten().take(ENTRIES).flatten();
    dir.metadata().is_ok_and(is_foreign)
        || entries.filter_map(|entry| entry.metadata().ok()).any(is_foreign)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn needs(reads: &[PathBuf], writes: &[PathBuf]) -> Needs {
        let set = |paths: &[PathBuf]| paths.iter().cloned().collect();
        Needs { reads: set(reads), writes: set(writes), ..Needs::default() }
    }

    #[test]
    fn what_a_mode_keeps_from_a_user_is_found_and_what_it_opens_is_not() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let (key, open) = (dir.path().join("key"), dir.path().join("open"));
        for (path, mode) in [(&key, 0o600), (&open, 0o644)] {
            write(path, "").unwrap();
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let metadata = key.metadata().unwrap();
        let owner = Whoever { user: metadata.uid(), groups: Vec::new() };
        let other = Whoever { user: metadata.uid() + 1, groups: Vec::new() };
        let all = [key.clone(), open.clone(), dir.path().join("missing")];

        assert_eq!(closed(&needs(&all, &[]), &other), Some(key));
        assert_eq!(closed(&needs(&all, &[dir.path().into()]), &owner), None);
        assert_eq!(closed(&needs(&all[1..], &[]), &other), None);
        assert_eq!(closed(&needs(&[], &[dir.path().into()]), &other), Some(dir.path().into()));
        assert_eq!(closed(&needs(&[], &[all[1].clone()]), &owner), None);
        set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed(&needs(std::slice::from_ref(&open), &[]), &other), Some(open));
    }
}
