//! Requests, messages and associations of one connection, counted.

use crate::audit::read::Recorded;

/// Those that go one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Exchanges {
    /// Let through.
    pub(super) allowed: u64,
    /// Not let through.
    pub(super) denied: u64,
    /// Let through and answered: the other side has had them.
    pub(super) answered: u64,
}

impl Exchanges {
    /// Counts a record of one.
    pub(super) fn take(&mut self, recorded: &Recorded) {
        match recorded.event.action.as_str() {
            "request-allowed" | "message-allowed" | "association-allowed" => self.allowed += 1,
            "request-denied" | "message-denied" | "association-denied" => self.denied += 1,
            "request-completed" | "message-completed" | "association-completed" => {
                self.answered += u64::from(is_answered(recorded));
            }
            _ => {}
        }
    }

    /// How many came as far as this side.
    pub(super) fn came(self) -> u64 {
        self.allowed + self.denied
    }
}

fn is_answered(recorded: &Recorded) -> bool {
    let asked = &recorded.myelin;
    if let Some(hl7) = &asked.hl7 {
        return hl7.acknowledgement.is_some();
    }
    if let Some(dicom) = &asked.dicom {
        return dicom.result.as_deref() == Some("released");
    }
    let is_whole = recorded.event.reason.as_deref() == Some("finished");
    is_whole && recorded.http.as_ref().is_some_and(|http| http.response.is_some())
}

/// Whether it goes from the side that connected to the other; HL7 messages go both ways.
pub(super) fn goes_up(recorded: &Recorded) -> bool {
    let from = recorded.myelin.hl7.as_ref().map(|hl7| hl7.from.as_str());
    from.is_none_or(|from| (from == "workload") == recorded.is_outbound())
}
