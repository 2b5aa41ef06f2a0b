//! Why key material could not be had.

use std::fmt;
use std::path::PathBuf;

use super::check::Unfit;
use super::embedded::AuthorityError;
use super::enrol::{EnrolError, EnrolFailure};
use super::files::FileError;
use super::keys::KeyError;
use crate::outcome::Rejection;
use crate::report::Report;

/// Key material that cannot be used, and why. Changes nothing: the last good one stays.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// The embedded authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority in the directory is not the one whose certificates are in use.
    #[error("{}: holds another authority than the one in use, {lost}, whose peers would be refused: put the old one back, or restart to begin anew with this one", dir.display())]
    OtherAuthority {
        /// The directory.
        dir: PathBuf,
        /// The roots in use that would no longer be trusted.
        lost: String,
    },
    /// It was read, and no peer would accept it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It was read and looks good, and no handshake with it would succeed.
    #[error("{at}: {what}")]
    Preflight {
        /// Where the certificate came from.
        at: String,
        /// Why not.
        what: String,
    },
    /// It no longer has a name that the one in use has.
    #[error(
        "the new certificate, serial {serial}, no longer names {lost}: peers that know us by it would refuse us; if that is meant, SIGHUP or a restart puts it in use"
    )]
    NamesLost {
        /// The serial number of the new certificate.
        serial: String,
        /// The names.
        lost: String,
    },
    /// A key of ours cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Whoever issues it could not be asked, or did not issue it.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The attempt was given up: the file system does not answer.
    #[error("no key material within {0:?}: does the file system answer?")]
    TooSlow(std::time::Duration),
    /// The attempt ended without a result.
    #[error("the attempt to load key material was broken off")]
    BrokenOff,
    /// More than one problem.
    #[error("{0}")]
    Several(Problems),
}

/// Two or more problems, each with its causes.
#[derive(Debug)]
pub struct Problems(Vec<MaterialError>);

impl MaterialError {
    /// Whether the same attempt may succeed a little later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Enrol(error) => error.is_transient(),
            Self::TooSlow(_) | Self::BrokenOff => true,
            Self::File(_)
            | Self::Authority(_)
            | Self::OtherAuthority { .. }
            | Self::Unfit(_)
            | Self::Preflight { .. }
            | Self::NamesLost { .. }
            | Self::Key(_)
            | Self::Several(_) => false,
        }
    }

    /// What kind of failure it is; of several problems, the first one's.
    pub fn reason(&self) -> Rejection {
        match self {
            Self::File(_) => Rejection::Unreadable,
            Self::Authority(error) => error.reason(),
            Self::OtherAuthority { .. } => Rejection::OtherAuthority,
            Self::Unfit(unfit) => unfit.reason(),
            Self::Preflight { .. } => Rejection::Handshake,
            Self::NamesLost { .. } => Rejection::Names,
            Self::Enrol(error) => match error.kind {
                EnrolFailure::Unreachable => Rejection::Unreachable,
                EnrolFailure::Untrusted => Rejection::Untrusted,
                EnrolFailure::Refused => Rejection::Refused,
                EnrolFailure::BadAnswer => Rejection::BadAnswer,
                EnrolFailure::Unprepared => Rejection::Unreadable,
            },
            Self::TooSlow(_) => Rejection::TooSlow,
            Self::Key(KeyError::Unreadable) => Rejection::Unreadable,
            Self::Key(KeyError::Make(_) | KeyError::Use(_)) | Self::BrokenOff => Rejection::Other,
            Self::Several(Problems(problems)) => {
                problems.first().map_or(Rejection::Other, Self::reason)
            }
        }
    }

    /// The same for the same problems, also when they were found at another time.
    pub(super) fn gist(&self) -> Vec<String> {
        match self {
            Self::Several(Problems(problems)) => problems.iter().flat_map(Self::gist).collect(),
            Self::Unfit(unfit) => vec![unfit.gist()],
            // Each attempt may bring a certificate with another serial number.
            Self::NamesLost { lost, .. } => vec![format!("names lost: {lost}")],
            _ => self.problems(),
        }
    }

    /// Whether files may be caught in the middle of being replaced, and there is no other problem.
    pub(super) fn may_be_halfway(&self) -> bool {
        match self {
            Self::File(error) => error.may_pass(),
            Self::Several(Problems(problems)) => problems.iter().all(Self::may_be_halfway),
            _ => false,
        }
    }

    /// Nothing when there is no problem, the problem itself when there is one.
    pub(super) fn unless_none(mut problems: Vec<Self>) -> Result<(), Self> {
        match problems.len() {
            0 | 1 => problems.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(Problems(problems))),
        }
    }

    /// Every problem with its causes, one a text.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Several(Problems(problems)) => problems.iter().flat_map(Self::problems).collect(),
            _ => vec![Report(self).to_string()],
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().flat_map(MaterialError::problems).collect();
        f.write_str(&texts.join("; "))
    }
}
