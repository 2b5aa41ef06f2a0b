//! What one side has on record of a connection.

use time::{Duration, OffsetDateTime};

use super::exchanges::{Exchanges, goes_up};
use crate::audit::read::Recorded;

/// Refusals and the connections that the other side took them for are no further apart, beside their clocks.
const APART: Duration = Duration::seconds(5);
/// Most refusals that are kept.
const MOST: usize = 100_000;

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    Tcp,
    Http,
    Mllp,
    Dicom,
}

impl Carries {
    fn of(recorded: &Recorded) -> Self {
        match recorded.network.protocol.as_deref() {
            Some("http") => Self::Http,
            Some("mllp") => Self::Mllp,
            Some("dicom") => Self::Dicom,
            _ => Self::Tcp,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: OffsetDateTime,
    /// Both sides of it had said all that they had to say.
    pub(super) is_finished: bool,
    /// Plaintext bytes, up and down.
    pub(super) bytes: [u64; 2],
}

/// What one side has on record of a connection.
#[derive(Debug)]
pub(super) struct Seen {
    /// In which trail of its side.
    pub(super) trail: usize,
    /// When its first record is.
    pub(super) at: OffsetDateTime,
    /// The number of its first record.
    pub(super) sequence: u64,
    pub(super) is_outbound: bool,
    pub(super) carries: Carries,
    /// Whether every exchange on it goes on record.
    pub(super) is_phi: bool,
    /// Who its peer proved to be.
    pub(super) who: Option<u32>,
    /// That it was let in, or not, is on record.
    pub(super) is_begun: bool,
    pub(super) is_allowed: bool,
    pub(super) end: Option<End>,
    /// Up and down.
    pub(super) exchanges: [Exchanges; 2],
    /// It has HL7 batches: records stand for several messages, each side's for as many as its rules say.
    pub(super) has_batches: bool,
}

impl Seen {
    /// Of its first record, which is still to be taken.
    pub(super) fn first(recorded: &Recorded, trail: usize, who: Option<u32>) -> Self {
        Self {
            trail,
            at: recorded.at,
            sequence: recorded.event.sequence,
            is_outbound: recorded.is_outbound(),
            carries: Carries::of(recorded),
            is_phi: false,
            who,
            is_begun: false,
            is_allowed: false,
            end: None,
            exchanges: [Exchanges::default(); 2],
            has_batches: false,
        }
    }

    /// Takes one of its records.
    pub(super) fn take(&mut self, recorded: &Recorded) {
        match recorded.event.action.as_str() {
            "connection-allowed" => {
                (self.is_begun, self.is_allowed) = (true, true);
                self.is_phi = recorded.myelin.phi;
                self.at = recorded.at;
            }
            "connection-denied" => self.is_begun = true,
            "connection-closed" => self.end = Some(End::of(recorded)),
            _ => {
                let [up, down] = &mut self.exchanges;
                if goes_up(recorded) {
                    up.take(recorded)
                } else {
                    down.take(recorded)
                }
                self.has_batches |= recorded.myelin.hl7.as_ref().is_some_and(|hl7| hl7.batch);
            }
        }
    }

    /// `inbound` or `outbound`.
    pub(super) fn direction(&self) -> &'static str {
        if self.is_outbound { "outbound" } else { "inbound" }
    }

    /// Whether something that came was not let through.
    pub(super) fn has_denials(&self) -> bool {
        self.exchanges.iter().any(|exchanges| exchanges.denied > 0)
    }
}

impl End {
    fn of(recorded: &Recorded) -> Self {
        let bytes = |side: &Option<crate::audit::RecordedSide>| {
            side.as_ref().and_then(|side| side.bytes).unwrap_or_default()
        };
        Self {
            at: recorded.at,
            is_finished: recorded.event.reason.as_deref() == Some("finished"),
            bytes: [bytes(&recorded.source), bytes(&recorded.destination)],
        }
    }
}

/// Handshakes that a side refused, and denials that it tells of together. They have no id that the other side knows:
/// in TLS 1.3 a client takes itself for connected before the server has looked at its certificate.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Refusal>);

#[derive(Debug)]
struct Refusal {
    first: OffsetDateTime,
    last: OffsetDateTime,
    left: u64,
}

impl Refusals {
    pub(super) fn take(&mut self, recorded: &Recorded) {
        let is_inbound = !recorded.is_outbound();
        if is_inbound && self.0.len() < MOST {
            let flood = recorded.myelin.flood.as_ref();
            self.0.push(Refusal {
                first: flood.map_or(recorded.at, |flood| flood.first),
                last: flood.map_or(recorded.at, |flood| flood.last),
                left: recorded.count(),
            });
        }
    }

    /// Whether there was one about then. Each is taken once.
    pub(super) fn use_up(&mut self, at: OffsetDateTime) -> bool {
        let near = |refusal: &&mut Refusal| {
            refusal.left > 0 && at - refusal.last <= APART && refusal.first - at <= APART
        };
        self.0.iter_mut().find(near).map(|refusal| refusal.left -= 1).is_some()
    }
}
