//! One direction of an association that was accepted: headers and command sets are looked at, everything
//! else goes by.

use super::messages::Messages;
use super::pdu::{Abort, Header, Kind, LENGTH_OF_HEADER, Malformed};
use super::{Commands, Contexts, Misfit};

/// How far one direction has come.
pub struct Transfer<'a> {
    head: [u8; LENGTH_OF_HEADER],
    /// How many bytes of `head` there are, while a header is being read.
    have: usize,
    /// How many bytes of the current PDU are to come.
    left: u32,
    /// The current PDU, once its header was read.
    within: Option<Kind>,
    /// The last bytes of an A-ABORT.
    tail: [u8; 4],
    messages: Messages<'a>,
    units: u64,
    requested: bool,
    stage: Stage,
}

/// What may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Data,
    /// It has asked for the release.
    ReleaseRequested,
    /// It has agreed to the release: nothing follows.
    ReleaseReplied,
    /// It has aborted: nothing follows.
    Aborted,
}

/// Why a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// By an A-ABORT, of which all bytes may go on.
    Aborted(Abort),
    /// By something that may not go on.
    Malformed(Malformed),
    /// By a command that its presentation context is not for.
    Misfit,
}

impl<'a> Transfer<'a> {
    /// Nothing has come yet. `is_bound`: it ends with a command that its context is not for.
    pub fn new(contexts: &'a Contexts, is_bound: bool) -> Self {
        Self {
            head: [0; LENGTH_OF_HEADER],
            have: 0,
            left: 0,
            within: None,
            tail: [0; 4],
            messages: Messages::new(contexts, is_bound),
            units: 0,
            requested: false,
            stage: Stage::default(),
        }
    }

    /// Looks at the next `bytes`: how many of them may go on, and why no more of them if it is not all. Of
    /// the PDU that is at fault nothing goes on that has not before, and never all of it.
    pub fn pass(&mut self, bytes: &[u8]) -> (usize, Option<Stopped>) {
        let (mut rest, mut begins) = (bytes, None);
        loop {
            if self.is_between() {
                begins = Some(bytes.len() - rest.len());
            }
            match self.step(&mut rest) {
                Ok(()) if rest.is_empty() && !self.is_aborted() => return (bytes.len(), None),
                Ok(()) if self.is_aborted() => {
                    let [_, _, source, reason] = self.tail;
                    let abort = Stopped::Aborted(Abort { source, reason });
                    return (bytes.len() - rest.len(), Some(abort));
                }
                Ok(()) => {}
                Err(stopped) => return (self.step_back(begins), Some(stopped)),
            }
        }
    }

    /// To where the current PDU begins, if that is among the bytes that have just come.
    fn step_back(&mut self, begins: Option<usize>) -> usize {
        let Some(begins) = begins else { return 0 };
        self.units -= u64::from(self.left > 0 && self.within == Some(Kind::Data));
        (self.have, self.left) = (0, 0);
        begins
    }

    /// How many P-DATA-TF have begun.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// What was asked for.
    pub fn commands(&self) -> &Commands {
        &self.messages.commands
    }

    /// The first command that its context is not for.
    pub fn misfit(&self) -> Option<&Misfit> {
        self.messages.misfit.as_ref()
    }

    /// Whether another PDU could be put in here.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether this side has asked for the release.
    pub fn has_requested_release(&self) -> bool {
        self.requested
    }

    /// Whether this side has agreed to the release.
    pub fn has_replied_to_release(&self) -> bool {
        self.stage == Stage::ReleaseReplied && self.is_between()
    }

    fn is_aborted(&self) -> bool {
        self.stage == Stage::Aborted && self.is_between()
    }

    /// To the end of a header, of a PDU or of `rest`.
    fn step(&mut self, rest: &mut &[u8]) -> Result<(), Stopped> {
        if self.left > 0 {
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let (body, after) = rest.split_at(here);
            match self.within {
                Some(Kind::Data) => self.messages.read(body, self.left)?,
                Some(Kind::Abort) => self.keep(body),
                Some(_) | None => {}
            }
            self.left -= u32::try_from(here).unwrap_or(self.left);
            *rest = after;
            return Ok(());
        }
        // Who may not speak is stopped at the first byte.
        if let (0, Some(first)) = (self.have, rest.first()) {
            let begun = Kind::of(*first).and_then(|kind| self.may_begin(kind));
            begun.map_err(Stopped::Malformed)?;
        }
        let wanted = self.head.get_mut(self.have..).unwrap_or_default();
        let here = wanted.len().min(rest.len());
        let (head, after) = rest.split_at(here);
        wanted.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        self.have += here;
        if self.have == LENGTH_OF_HEADER {
            self.begin(Header::read(self.head).map_err(Stopped::Malformed)?);
        }
        *rest = after;
        Ok(())
    }

    fn may_begin(&self, kind: Kind) -> Result<(), Malformed> {
        let fits = match (self.stage, kind) {
            (Stage::Data, Kind::Data | Kind::ReleaseRequest | Kind::ReleaseReply) => true,
            // Both have asked at once.
            (Stage::ReleaseRequested, Kind::ReleaseReply) => true,
            (Stage::Data | Stage::ReleaseRequested, Kind::Abort) => true,
            (Stage::ReleaseReplied, Kind::Abort) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(Malformed::UnexpectedPdu) }
    }

    fn begin(&mut self, header: Header) {
        (self.have, self.left, self.within) = (0, header.length, Some(header.kind));
        match header.kind {
            Kind::Data => self.units += 1,
            Kind::ReleaseRequest => {
                self.stage = Stage::ReleaseRequested;
                self.requested = true;
            }
            Kind::ReleaseReply => self.stage = Stage::ReleaseReplied,
            Kind::Abort => self.stage = Stage::Aborted,
            Kind::AssociateRequest | Kind::AssociateAccept | Kind::AssociateReject => {}
        }
    }

    /// Keeps the last four bytes of `body`, wherever it was torn apart.
    fn keep(&mut self, body: &[u8]) {
        for byte in body.iter().take(self.tail.len()) {
            self.tail.rotate_left(1);
            if let Some(last) = self.tail.last_mut() {
                *last = *byte;
            }
        }
    }
}
