//! Why the embedded authority cannot be used.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ledger::SerialError;
use super::request::RequestError;
use crate::certs::keys::KeyError;
use crate::identity::{CertificateError, SpiffeId, TrustDomain};
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
    /// A line of its record is not what it was when we wrote it.
    #[error("{}: line {line} is damaged: restore the file; without it nothing can be issued or revoked here", path.display())]
    DamagedLine {
        /// The record.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A newer Myelin has written its record.
    #[error("{}: was written by a newer version of myelin (form {version}): use that one", path.display())]
    NewerLedger {
        /// The record.
        path: PathBuf,
        /// The form that it has.
        version: u32,
    },
    /// More certificates are alive than are kept on record.
    #[error("{}: is longer than {most} bytes, all of them about certificates that are valid: who enrols without an end?", path.display())]
    FullLedger {
        /// The record.
        path: PathBuf,
        /// Its greatest length, in bytes.
        most: u64,
    },
    /// There is one already.
    #[error("{}: holds an authority already: choose another directory, or move it away", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// A certificate that is to be revoked is not one of its own.
    #[error("no certificate {what} is on record here: see `myelin ca list`")]
    NotIssued {
        /// Which was meant.
        what: String,
    },
    /// A certificate that is to be revoked was revoked before, or what another one is asked for with was.
    #[error("certificate {what} is revoked already")]
    AlreadyRevoked {
        /// Its serial number.
        what: String,
    },
    /// A step of the exchange of the root broke off, and has to be repeated first.
    #[error("the exchange of the root is half switched: repeat `myelin ca roll --switch`")]
    HalfSwitched,
    /// The exchange of the root is not as far, or further.
    #[error("the exchange of the root is {what}: `myelin ca roll` tells the next step")]
    NotNow {
        /// How far it is.
        what: &'static str,
    },
    /// The old root is still needed.
    #[error(
        "{number} certificates under the old root are still valid, and peers would refuse them: wait until they are renewed (`myelin ca roll` counts them), or say --force"
    )]
    StillAlive {
        /// How many.
        number: usize,
    },
    /// More DNS names are asked for than a certificate gets.
    #[error("a certificate gets no more than {} DNS names, not {number}", super::Grant::MOST_NAMES)]
    TooManyNames {
        /// How many were asked for.
        number: usize,
    },
    /// No kind of key is configured.
    #[error("no kind of key to make a certificate for")]
    NoKind,
    /// Somebody's request is not to be answered with a certificate.
    #[error("certificate request refused: {0}")]
    Request(#[from] RequestError),
    /// A certificate cannot be understood.
    #[error("the certificate cannot be used")]
    Unfit(#[source] CertificateError),
    /// A serial number cannot be understood.
    #[error(transparent)]
    Serial(#[from] SerialError),
    /// A key cannot be made.
    #[error(transparent)]
    NoKey(#[from] KeyError),
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
            Self::Make(_) | Self::NoKey(_) | Self::Random => Rejection::Other,
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
mod tests;
