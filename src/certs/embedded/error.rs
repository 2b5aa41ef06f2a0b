//! Why the embedded authority cannot be used.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::identity::{SpiffeId, TrustDomain};
use crate::outcome::Rejection;

/// Why the embedded authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no authority in the directory.
    #[error("{}: no authority here: put back the one that was, or make a new one with `myelin init`", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// A file of it is missing while others are there.
    #[error("{}: no such file, but other files of the authority are there: restore it, or move the rest away to begin anew", path.display())]
    Incomplete {
        /// The missing file.
        path: PathBuf,
    },
    /// The issuing authority is not whole or ends soon, and the root cannot sign another.
    #[error("{why}; a new issuing authority cannot be made either: {root}: restore one of them")]
    NoIssuing {
        /// Why another is needed.
        why: String,
        /// What is wrong with the root's certificate or key.
        root: String,
    },
    /// Others may see or change it.
    #[error("{}: other users may use it (mode {mode:04o}), and it holds an authority's keys: chmod {wanted} it", path.display())]
    Exposed {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: &'static str,
    },
    /// It is no directory.
    #[error("{}: is no directory", dir.display())]
    NoDirectory {
        /// What stands there.
        dir: PathBuf,
    },
    /// The system does not let us.
    #[error("{}: cannot be {what}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// It, or a directory on the way to it, is another user's.
    #[error("{}: cannot be {what}: the permissions of {} forbid it (mode {mode:04o}, owned by user {owner}): run as that user, or chown it to the user that myelin runs as", path.display(), at.display())]
    Forbidden {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Whose permissions are in the way.
        at: PathBuf,
        /// Their mode.
        mode: u32,
        /// The user who owns it.
        owner: u32,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process does not let go of it.
    #[error("{}: locked by another process for more than 10 s", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file of it is not what it was when we wrote it.
    #[error("{}: is damaged: restore it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is another trust domain's.
    #[error("{}: holds the authority of another trust domain ({held}), not of {trust_domain}: set identity.embedded.dir to a directory of its own", dir.display())]
    OtherTrustDomain {
        /// The directory.
        dir: PathBuf,
        /// The root's subject.
        held: String,
        /// The trust domain that was asked for.
        trust_domain: TrustDomain,
    },
    /// Its root is over.
    #[error("{}: expired at {at}: move the authority away to begin anew, and give its new root to all peers", path.display())]
    RootExpired {
        /// The root's certificate.
        path: PathBuf,
        /// The end of its validity.
        at: String,
    },
    /// A leaf was asked for that it does not stand for.
    #[error("{name} is not of the authority's trust domain {trust_domain}")]
    Foreign {
        /// What was asked for.
        name: SpiffeId,
        /// The authority's own.
        trust_domain: TrustDomain,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A key that was just made cannot be used.
    #[error("cannot use a new key")]
    Key(#[source] rustls::Error),
    /// The system has no random numbers.
    #[error("no random numbers from the system")]
    Random,
}

impl AuthorityError {
    /// What kind of failure it is.
    pub(in crate::certs) fn reason(&self) -> Rejection {
        match self {
            Self::RootExpired { .. } => Rejection::Expired,
            Self::OtherTrustDomain { .. } => Rejection::OtherAuthority,
            Self::Locked { .. } => Rejection::TooSlow,
            Self::Foreign { .. } => Rejection::Names,
            Self::Make(_) | Self::Key(_) | Self::Random => Rejection::Other,
            _ => Rejection::Unreadable,
        }
    }

    /// The system's refusal to do `what` with `path`; names whose permissions are in the way, if any.
    pub(super) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        let seen = path.ancestors().find_map(|at| Some((at.to_owned(), fs::metadata(at).ok()?)));
        match seen.filter(|_| source.kind() == ErrorKind::PermissionDenied) {
            Some((at, metadata)) => {
                let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
                Self::Forbidden { path, what, at, mode, owner, source }
            }
            None => Self::Io { path, what, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::certs::embedded::Authority;
    use crate::report::Report;

    fn domain() -> TrustDomain {
        TrustDomain::parse("hospital.example").unwrap()
    }

    fn error(result: Result<Authority, AuthorityError>, dir: &Path) -> String {
        Report(&result.err().unwrap()).to_string().replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn what_cannot_be_seen_is_not_taken_for_missing() {
        let parent = TempDir::new().unwrap();
        let dir = parent.path().join("loop");
        std::os::unix::fs::symlink(&dir, &dir).unwrap();

        for result in [
            Authority::open_or_create(&dir, &domain()),
            Authority::open(&dir, &domain()),
            Authority::look(&dir, &domain()),
        ] {
            let text = error(result, &dir);
            assert!(
                text.starts_with("DIR: cannot be read: Too many levels of symbolic links"),
                "{text}"
            );
        }
    }

    /// Nothing is forbidden to root, who therefore runs the test again as somebody else.
    #[test]
    fn permissions_that_are_in_the_way_are_named_with_their_owner() {
        let our = |path: &str| fs::metadata(path).unwrap().uid();
        if our("/proc/self") == 0 {
            let name = thread::current().name().unwrap().to_owned();
            let output = Command::new("/proc/self/exe")
                .args(["--exact", &name])
                .env_remove("TMPDIR")
                .current_dir("/")
                .uid(65534)
                .gid(65534)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let parent = TempDir::new().unwrap();
        let dir = parent.path().join("authority");
        Authority::open_or_create(&dir, &domain()).unwrap();
        let forbid = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        let me = our("/proc/self");
        let forbidden = |what: &str, at: &str| {
            format!(
                "{what}: the permissions of {at}, owned by user {me}): run as that user, or chown it to \
                 the user that myelin runs as: Permission denied (os error 13)"
            )
        };

        forbid(&dir, 0o000).unwrap();
        let texts = [
            error(Authority::look(&dir, &domain()), &dir),
            error(Authority::open(&dir, &domain()), &dir),
        ];
        forbid(&dir, 0o700).unwrap();
        let wanted = forbidden("DIR/root.crt: cannot be read", "DIR forbid it (mode 0000");
        assert_eq!(texts, [wanted.clone(), wanted]);

        forbid(&dir.join("issuing.key"), 0o000).unwrap();
        assert_eq!(
            error(Authority::look(&dir, &domain()), &dir),
            forbidden("DIR/issuing.key: cannot be read", "DIR/issuing.key forbid it (mode 0000")
        );

        fs::remove_file(dir.join("issuing.key")).unwrap();
        forbid(&dir, 0o500).unwrap();
        let text = error(Authority::open(&dir, &domain()), &dir);
        forbid(&dir, 0o700).unwrap();
        let wanted = forbidden("DIR: cannot be written to", "DIR forbid it (mode 0500");
        assert!(text.starts_with(&wanted), "{text}");
    }
}
