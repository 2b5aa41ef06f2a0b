//! The file system: what the sidecar reads and writes, and nothing beside (landlock).

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, make_bitflags,
};

use super::Needs;

/// What the C library reads: to resolve names and load what resolves them, to tell the time of a place. Nobody's secrets are there but in
/// `/etc`, which cannot be left out: there `resolv.conf` and `hosts` are replaced by new files.
const LIBRARY: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];
/// What the kernel tells of this process and its quotas. Of others it tells a process in landlock only what everybody may know.
const KERNEL: &[&str] = &["/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"];
const DEVICES: &[&str] = &["/dev/null", "/dev/urandom", "/dev/random"];
/// Read although nobody names it.
const RESOLVER: &[&str] = &["/etc/resolv.conf", "/etc/hosts", "/etc/localtime"];
/// Where others have their things, too: nothing is let through as a whole here because something below it might be replaced.
const SHARED: &[&str] = &[
    "/", "/boot", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var",
    "/var/lib", "/var/tmp",
];
/// As many symbolic links are followed as Linux does.
const LINKS: usize = 40;

/// What this release knows of landlock; of a newer kernel's it asks no more, of an older one's it takes what there is.
const KNOWN: ABI = ABI::V6;

/// What the process may get at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// The version of the kernel's landlock, as far as it is used.
    pub abi: u8,
    /// Directories with all that is below, and files, that may be read.
    pub read: BTreeSet<PathBuf>,
    /// Directories in which anything may be read, written, made and removed.
    pub write: BTreeSet<PathBuf>,
    /// Directories in which sockets may be made, and files removed.
    pub listen: BTreeSet<PathBuf>,
}

impl Granted {
    /// The first of `needs` that it does not hold.
    pub fn lacks(&self, needs: &Needs) -> Option<PathBuf> {
        let read = needs.reads.iter().find(|path| !self.holds(path));
        let write = needs.writes.iter().find(|dir| !below(dir, &self.write));
        let listens = |dir: &Path| below(dir, &self.write) || below(dir, &self.listen);
        let listen = needs.listens.iter().find(|dir| !listens(dir));
        read.or(write).or(listen).cloned()
    }

    /// Whether `path` may be read.
    pub fn holds(&self, path: &Path) -> bool {
        below(path, &self.write) || below(path, &self.read)
    }
}

/// Whether what stands at `path`, or would if it were there, is in one of `granted`.
fn below(path: &Path, granted: &BTreeSet<PathBuf>) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    let there = path.ancestors().find_map(|at| at.canonicalize().ok());
    there.is_some_and(|there| there.ancestors().any(|at| granted.contains(at)))
}

/// Lets this thread, and those that it begins, get at `needs` and at what every program needs.
pub(super) fn restrict(needs: &Needs, missing: &mut Vec<String>) -> Option<Granted> {
    let mut granted = grants(needs);
    match enforce(&granted) {
        Ok(Some(abi)) => {
            granted.abi = abi;
            Some(granted)
        }
        Ok(None) => {
            missing.push(
                "files outside of the configuration are not closed (landlock): this kernel does not have it, or it \
                 is not switched on (lsm=landlock,… on its command line)"
                    .to_owned(),
            );
            None
        }
        Err(error) => {
            missing.push(format!(
                "files outside of the configuration are not closed (landlock): {error}"
            ));
            None
        }
    }
}

/// The paths, as the kernel has them. What is not there cannot be named.
fn grants(needs: &Needs) -> Granted {
    let named = needs.reads.iter().map(PathBuf::as_path).chain(RESOLVER.iter().map(Path::new));
    let around = named.flat_map(around);
    let public = [LIBRARY, KERNEL, DEVICES].concat();
    let read = around.chain(public.into_iter().map(PathBuf::from));
    let remade = needs.remakes.iter().flat_map(|dir| above(dir));
    let write = needs.writes.iter().cloned().chain(remade);
    let real = |path: PathBuf| path.canonicalize().ok().filter(|path| path != Path::new("/"));
    Granted {
        abi: 0,
        read: read.filter_map(real).collect(),
        write: write.filter_map(real).collect(),
        listen: needs.listens.iter().cloned().filter_map(real).collect(),
    }
}

/// Where the file at `path` is, and where it will be when somebody has replaced it, or one of the symbolic links on its way: each by
/// another one beside. Never a directory that others share, only the file in it.
fn around(path: &Path) -> Vec<PathBuf> {
    let Ok(path) = std::path::absolute(path) else { return Vec::new() };
    let (mut found, mut links, mut at) = (Vec::new(), 0, PathBuf::from("/"));
    let mut left: VecDeque<PathBuf> = parts(&path).collect();
    while let Some(part) = left.pop_front() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let Ok(metadata) = next.symlink_metadata() else { break }; // it may come
        if metadata.is_symlink() {
            links += 1;
            let Ok(target) = next.read_link() else { break };
            if links > LINKS {
                break;
            }
            found.extend(at.join(&target).parent().map(Path::to_owned));
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            let after = std::mem::take(&mut left);
            left = parts(&target).chain(after).collect();
        } else if left.is_empty() {
            found.push(if is_shared(&at) { next } else { at.clone() });
            found.extend(above(&at).into_iter().next().filter(|_| !is_mounted(&at)));
        } else {
            at = next;
            continue;
        }
    }
    found.push(at);
    found.retain(|dir| !is_shared(dir));
    found
}

/// The directories in which another could take the place of `dir`, or of the disk that it is on. A rule is about what it was made for, not about
/// what has its name later.
fn above(dir: &Path) -> Vec<PathBuf> {
    let Some(first) = dir.parent() else { return Vec::new() };
    let second = first.parent().filter(|_| is_mounted(first));
    let both = [Some(first), second].into_iter().flatten();
    both.filter(|dir| !is_shared(dir)).map(Path::to_owned).collect()
}

fn is_shared(dir: &Path) -> bool {
    SHARED.iter().any(|shared| dir == Path::new(shared))
}

/// Whether another disk begins at `dir`. Nobody can rename it then.
fn is_mounted(dir: &Path) -> bool {
    let disk = |path: &Path| path.metadata().ok().map(|is| is.dev());
    dir.parent().is_some_and(|parent| disk(dir) != disk(parent))
}

/// The names of a path, and `..`.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// The version of landlock that is used; `None` without one.
fn enforce(granted: &Granted) -> Result<Option<u8>, RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let never = make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | IoctlDev});
    let write = AccessFs::from_all(KNOWN) & !never;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?;
    let listen = make_bitflags!(AccessFs::{MakeSock | RemoveFile | ReadDir});
    let rules = rules(&granted.read, read)
        .chain(rules(&granted.write, write))
        .chain(rules(&granted.listen, listen));
    let status = ruleset.create()?.add_rules(rules)?.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u8,
        _ => 0,
    };
    Ok((status.ruleset != RulesetStatus::NotEnforced).then_some(abi))
}

/// A rule for each path that can be opened.
fn rules(
    paths: &BTreeSet<PathBuf>,
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<PathBeneath<PathFd>, RulesetError>> {
    paths.iter().filter_map(move |path| {
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
        Some(Ok(PathBeneath::new(PathFd::new(path).ok()?, access)))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names in `root` of what is let through for the file.
    fn found(root: &Path, file: &str) -> BTreeSet<String> {
        let inside =
            |path: &PathBuf| path.strip_prefix(root).ok().map(|path| path.display().to_string());
        around(&root.join(file)).iter().filter_map(inside).collect()
    }

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn a_file_is_let_through_with_whatever_may_take_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        create_dir_all(root.join("volume/..1")).unwrap();
        create_dir_all(root.join("generations/7")).unwrap();
        create_dir_all(root.join("etc")).unwrap();
        write(root.join("volume/..1/tls.crt"), "").unwrap();
        write(root.join("generations/7/key"), "").unwrap();
        symlink("..1", root.join("volume/..data")).unwrap();
        symlink("..data/tls.crt", root.join("volume/tls.crt")).unwrap();
        symlink(root.join("generations/7"), root.join("secrets")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        assert!(found(&root, "volume/tls.crt").is_superset(&names(["volume", "volume/..1"])));
        assert!(found(&root, "secrets/key").is_superset(&names(["generations", "generations/7"])));
        assert_eq!(found(&root, "etc/not-yet/there"), names(["etc"]));
        assert!(found(&root, "loop").len() <= 1);
        assert_eq!(around(Path::new("/no-such-file")), Vec::<PathBuf>::new());
    }

    #[test]
    fn nothing_is_let_through_as_a_whole_where_others_have_their_things() {
        assert_eq!(above(Path::new("/var/lib")), Vec::<PathBuf>::new());
        assert_eq!(above(Path::new("/var/log/myelin")), [PathBuf::from("/var/log")]);
        assert!(around(Path::new("/etc/hostname")).iter().all(|path| !is_shared(path)));
        assert!(around(Path::new("/var/lib")).is_empty());
        assert!(around(Path::new("/run/no-such-directory/key")).is_empty());
    }

    #[test]
    fn what_lies_elsewhere_is_found_also_behind_a_link_and_before_it_is_there() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(other.path().join("key"), "").unwrap();
        symlink(other.path().join("key"), own.path().join("key")).unwrap();
        let needs = |reads: &[PathBuf]| Needs {
            reads: reads.iter().cloned().collect(),
            ..Needs::default()
        };
        let granted =
            Granted { read: [own.path().canonicalize().unwrap()].into(), ..Granted::default() };

        assert_eq!(granted.lacks(&needs(&[own.path().join("a/b")])), None);
        for outside in [own.path().join("key"), other.path().join("key"), other.path().join("a/b")]
        {
            assert_eq!(granted.lacks(&needs(std::slice::from_ref(&outside))), Some(outside));
        }
    }
}
