//! A record as whoever counts accesses sees it.

use crate::audit::forms::happened::{Happened, How, Of};
use crate::audit::read::Recorded;

/// A record, and what it is to a report.
pub(super) struct Seen<'a> {
    pub(super) record: &'a Recorded,
    pub(super) happened: Happened,
    /// `inbound` or `outbound`; empty for what is on no connection.
    pub(super) direction: &'static str,
    /// `tcp`, `http`, `mllp` or `dicom`; empty likewise.
    pub(super) protocol: &'a str,
}

impl<'a> Seen<'a> {
    pub(super) fn of(record: &'a Recorded) -> Self {
        let direction = match record.network.direction {
            None => "",
            Some(_) if record.is_outbound() => "outbound",
            Some(_) => "inbound",
        };
        let protocol = match direction {
            "" => "",
            _ => record.network.protocol.as_deref().unwrap_or("tcp"),
        };
        Self { record, happened: Happened::of(record), direction, protocol }
    }

    /// Whether it is about what one access is: a request of HTTP, a message of HL7 v2, an association of DICOM, and
    /// of all else a connection.
    fn is_unit(&self) -> bool {
        let unit = match self.protocol {
            "http" => Of::Request,
            "mllp" => Of::Message,
            "dicom" => Of::Association,
            _ => Of::Connection,
        };
        self.happened.of == unit
    }

    /// For how many accesses that were allowed it stands.
    pub(super) fn allowed(&self) -> u64 {
        if self.is_unit() && self.happened.how == How::Allowed { self.record.count() } else { 0 }
    }

    /// For how many attempts that came to nothing it stands, whichever step they failed at.
    pub(super) fn denied(&self) -> u64 {
        match self.happened.how {
            How::Denied | How::Refused => self.record.count(),
            _ => 0,
        }
    }

    /// Whether it lets a connection in.
    pub(super) fn opens(&self) -> bool {
        self.happened == Happened { of: Of::Connection, how: How::Allowed }
    }

    /// What client and server sent, where an access is over.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        let sent = |side: &Option<_>| match side {
            Some(crate::audit::read::RecordedSide { bytes, .. }) => bytes.unwrap_or(0),
            None => 0,
        };
        let is_over = self.is_unit() && self.happened.how == How::Ended;
        is_over.then(|| (sent(&self.record.source), sent(&self.record.destination)))
    }

    pub(super) fn service(&self) -> &'a str {
        &self.record.service.name
    }

    pub(super) fn listener(&self) -> &'a str {
        self.record.myelin.listener.as_deref().unwrap_or_default()
    }

    /// The peer's name in `peers`; empty unless it was recognized.
    pub(super) fn peer(&self) -> &'a str {
        self.record.myelin.peer.as_deref().unwrap_or_default()
    }

    /// Who the peer proved to be; empty unless it did.
    pub(super) fn identity(&self) -> &'a str {
        self.record.myelin.identity.as_deref().unwrap_or_default()
    }

    /// The best name that was proven; what else there is to say of whoever has none.
    pub(super) fn who(&self) -> &'a str {
        match (self.peer(), self.identity()) {
            ("", "") if self.record.myelin.plaintext => PLAINTEXT,
            ("", "") => STRANGER,
            ("", identity) => identity,
            (peer, _) => peer,
        }
    }

    pub(super) fn reason(&self) -> &'a str {
        self.record.event.reason.as_deref().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &'a str {
        self.record.message.as_deref().unwrap_or_default()
    }
}

/// Who proved nothing.
pub(super) const STRANGER: &str = "(not authenticated)";
/// Who was let in without TLS.
pub(super) const PLAINTEXT: &str = "(in plaintext)";
