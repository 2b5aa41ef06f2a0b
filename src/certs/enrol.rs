//! Why an enrolment came to nothing: the words that all enrolling sources share.

/// Whoever issues certificates could not be asked, or did not issue one.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {what}")]
pub struct EnrolError {
    /// Whom we asked: a URL, a socket or a file.
    pub at: String,
    /// What kind of failure it is.
    pub kind: EnrolFailure,
    /// What happened and what to do.
    pub what: String,
}

/// What kind of failure an enrolment met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolFailure {
    /// Nobody answered, or not in time; or the answer was that there is none at the moment.
    Unreachable,
    /// It does not prove to be whom we trust.
    Untrusted,
    /// It said no.
    Refused,
    /// Its answer cannot be understood.
    BadAnswer,
    /// Something of our own that we need for asking cannot be used: a token, a stored key.
    Unprepared,
}

impl EnrolError {
    /// Whether it may go away by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, EnrolFailure::Unreachable)
    }
}
