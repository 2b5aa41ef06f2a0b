//! Why key material could not be had.

use std::fmt;
use std::path::PathBuf;

use super::check::Unfit;
use super::embedded::AuthorityError;
use super::enrol::EnrolError;
use super::files::FileError;
use super::keys::KeyError;
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
            | Self::Key(_)
            | Self::Several(_) => false,
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
