//! DICOM associations (PS3.8): the request is read and judged before anybody else hears of it, what comes
//! after is moved like any bytes, and only headers and command sets are looked at.
//!
//! A connection has one association. It is over with a release, a rejection or an abort; what breaks the
//! protocol, and what is cut, ends with A-ABORT wherever another PDU can still be put in.

mod ask;
mod part;
mod relay;
mod respond;
mod transfer;

use std::io;
use std::time::Duration;

pub use self::ask::{AssociateRequest, Unasked, ask};
pub use self::part::{Parting, abort, close, reject};
pub use self::relay::relay;
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::{Answer, Commands, Misfit};
use crate::proxy::l4::Moved;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::ListenerMetrics;

/// How long a connection may be without an association, before it and after (the ARTIM timer of PS3.8,
/// 9.1.5, whose value is the implementation's).
const ARTIM: Duration = Duration::from_secs(30);

/// How an association stays: for how long, and where it is counted.
#[derive(Clone, Copy)]
pub struct Stay<'a> {
    /// How long nothing may move.
    pub idle: Duration,
    /// Where bytes are counted.
    pub metrics: &'a ListenerMetrics,
    /// The connection's end.
    pub end: &'a Shutdown,
    /// Whether it ends with a command of the calling side that its presentation context is not for.
    pub is_bound: bool,
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
    /// What was asked for, up and down; `None` without an A-ASSOCIATE-AC.
    pub commands: Option<Box<(Commands, Commands)>>,
    /// The first command of the calling side that its presentation context is not for.
    pub misfit: Option<Misfit>,
}

impl Carried {
    fn up(&mut self, bytes: usize, stay: &Stay<'_>) {
        self.moved.up += bytes as u64;
        stay.metrics.bytes_up.increment(bytes as u64);
    }

    fn down(&mut self, bytes: usize, stay: &Stay<'_>) {
        self.moved.down += bytes as u64;
        stay.metrics.bytes_down.increment(bytes as u64);
    }
}

/// The end of an association.
#[derive(Debug)]
pub struct End {
    /// How the association was over.
    pub how: AssociationEnding,
    /// How the connection was.
    pub ending: Ending,
    /// What else is to be said: codes, or what broke.
    pub message: Option<String>,
    /// The error of the stream that broke, if one did.
    pub cause: Option<io::Error>,
}

#[cfg(test)]
mod tests;
