//! DICOM associations (PS3.8): the request is read and judged before anybody else hears of it, what comes
//! after is moved like any bytes, and only the headers of PDUs are looked at.
//!
//! A connection has one association. It is over with a release, a rejection or an abort; what breaks the
//! protocol, and what is cut, ends with A-ABORT wherever another PDU can still be put in.

mod ask;
mod part;
mod relay;
mod respond;
mod transfer;

use std::time::Duration;

pub use self::ask::{Asked, Unasked, ask};
pub use self::part::{Parting, abort, reject};
pub use self::relay::relay;
use crate::outcome::Ending;
use crate::protocol::dicom::Answer;
use crate::proxy::l4::Moved;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// How long a connection may be without an association, before it and after (the ARTIM timer of PS3.8,
/// 9.1.5, whose value is the implementation's).
const ARTIM: Duration = Duration::from_secs(30);

/// What an association needs besides its streams.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How long nothing may move.
    pub idle: Duration,
    /// Where bytes are counted.
    pub metrics: &'a ListenerMetrics,
    /// The connection's end.
    pub end: &'a Shutdown,
}

/// What went through an association, filled while it lives.
#[derive(Debug, Default)]
pub struct Carried {
    /// How many bytes.
    pub moved: Moved,
    /// How many P-DATA-TF up and down.
    pub data_units: (u64, u64),
    /// What became of the contexts; `None` without an A-ASSOCIATE-AC.
    pub answers: Option<Vec<Answer>>,
}

impl Carried {
    fn up(&mut self, bytes: usize, terms: &Terms<'_>) {
        self.moved.up += bytes as u64;
        terms.metrics.bytes_up.increment(bytes as u64);
    }

    fn down(&mut self, bytes: usize, terms: &Terms<'_>) {
        self.moved.down += bytes as u64;
        terms.metrics.bytes_down.increment(bytes as u64);
    }
}

/// How an association that went on was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Both sides agreed that it is over.
    Released,
    /// The called side did not want it.
    Rejected,
    /// The calling side aborted it.
    AbortedByCalling,
    /// The called side aborted it.
    AbortedByCalled,
    /// It was aborted here: cut, idle, or against the protocol.
    Aborted,
    /// A connection ended without a word.
    BrokenOff,
    /// The called side could not be reached.
    Unreachable,
}

impl Fate {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 7] = [
        Self::Released,
        Self::Rejected,
        Self::AbortedByCalling,
        Self::AbortedByCalled,
        Self::Aborted,
        Self::BrokenOff,
        Self::Unreachable,
    ];

    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::AbortedByCalling => "aborted_by_calling",
            Self::AbortedByCalled => "aborted_by_called",
            Self::Aborted => "aborted",
            Self::BrokenOff => "broken_off",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The end of an association.
#[derive(Debug)]
pub struct End {
    /// How the association was over.
    pub fate: Fate,
    /// How the connection was.
    pub ending: Ending,
    /// What else is to be said: codes, or what broke.
    pub message: Option<String>,
}
