//! What a way does where a frame begins, where another header comes in it, and where it ends.

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use super::current::{Current, Kind, control_id};
use super::host::{Admission, Flow, Host, Message, No};
use super::open::{Beginning, Id, Open};
use super::way::{Nacks, Shared, Stop, Way};
use crate::outcome::Ending;
use crate::protocol::mllp::{Header, Lead};

impl<H: Host, R, W> Way<'_, H, R, W> {
    /// A message begins: an acknowledgement of what went the other way, or one that has to be admitted.
    pub(super) async fn message(&mut self, lead: &Lead<'_>, is_further: bool) -> Result<(), Stop> {
        if is_further {
            return Box::pin(self.further(lead)).await; // seldom, and large
        }
        if self.flow == Flow::Up && self.shared.end.is_draining() {
            return Err(Stop::Drained);
        }
        self.frame = 0;
        self.headers = 0;
        self.kinds.clear();
        for envelope in lead.envelopes() {
            if let Err(no) = self.envelope(&envelope, false).await {
                return self.refused(no);
            }
        }
        if self.answers(lead) {
            return Ok(());
        }
        match self.admit(&lead.header, false).await {
            Ok((_, ticket)) => {
                let header = &lead.header;
                let batch_ids = lead.envelopes().filter_map(|batch| control_id(batch.control_id));
                let id = self.shared.exchanges.begin(Beginning {
                    flow: self.flow,
                    control_id: control_id(header.control_id),
                    batch_ids: batch_ids.collect(),
                    ticket,
                    is_batch: header.is_batch,
                    awaits_application: header.awaits_application(),
                });
                self.current = Current::Message(id);
                Ok(())
            }
            Err(no) => self.refused(no),
        }
    }

    /// Another message in the same frame.
    async fn further(&mut self, lead: &Lead<'_>) -> Result<(), Stop> {
        if matches!(self.current, Current::Discarded(_)) || self.also_answers(lead) {
            return Ok(());
        }
        let (kind, ticket) = self.admit(&lead.header, true).await.map_err(|_no| Stop::Denied)?;
        if let Current::Message(id) = self.current {
            let message = (kind, control_id(lead.header.control_id));
            self.shared.exchanges.further((self.flow, id), message, ticket);
        }
        Ok(())
    }

    /// The header of a file or a batch further below in a frame. One that cannot be read names nobody.
    pub(super) async fn further_envelope(
        &mut self,
        header: Option<Header<'_>>,
    ) -> Result<(), Stop> {
        if matches!(self.current, Current::Discarded(_)) {
            return Ok(());
        }
        let header = header.unwrap_or_default();
        self.envelope(&header, true).await.map_err(|_no| Stop::Denied)
    }

    async fn admit(
        &mut self,
        header: &Header<'_>,
        is_further: bool,
    ) -> Result<(Kind, H::Ticket), No> {
        self.number += 1;
        let kind = self.kinds.of(header);
        let (number, flow, is_envelope) = (self.number, self.flow, false);
        let (place, is_repeated) = (self.place(), matches!(kind, Kind::Known(_)));
        let message = Message { number, flow, header, is_further, place, is_repeated, is_envelope };
        Ok((kind, self.asked(&message).await?))
    }

    /// Whether the sender that the header of a file or a batch names may send. What the workload has to say is
    /// not judged.
    async fn envelope(&mut self, header: &Header<'_>, is_further: bool) -> Result<(), No> {
        if self.flow == Flow::Down {
            return Ok(());
        }
        let (number, flow, place) = (self.number + 1, self.flow, self.place());
        let (is_repeated, is_envelope) = (false, true);
        let message = Message { number, flow, header, is_further, place, is_repeated, is_envelope };
        self.asked(&message).await.map(drop)
    }

    /// The place in its frame of the header in hand.
    fn place(&mut self) -> u32 {
        self.headers = self.headers.saturating_add(1);
        self.headers
    }

    /// Of many messages that lie in one chunk nothing would be waited for: the others on this thread get their
    /// turn first, and then nothing comes between verdict and passing.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "shared, a way would have to be Sync")]
    async fn asked(&mut self, message: &Message<'_>) -> Result<H::Ticket, No> {
        match self.shared.host.takes_long() {
            true => yield_now().await,
            false => consume_budget().await,
        }
        match self.shared.host.admit(message) {
            Admission::Now(ticket) => Ok(ticket),
            Admission::Recorded(verdict) => verdict.await,
        }
    }

    /// A frame may not pass. With an answer to it, it is taken to its end.
    fn refused(&mut self, no: No) -> Result<(), Stop> {
        match no {
            No::Close => Err(Stop::Denied),
            No::Nack(nack) => {
                self.current = Current::Discarded(nack);
                Ok(())
            }
        }
    }

    /// Whether a message is the answer to what went the other way.
    fn answers(&mut self, lead: &Lead<'_>) -> bool {
        let (id, code) = match &lead.ack {
            Some(ack) => (control_id(ack.control_id), ack.code),
            None if lead.header.code == b"ACK" => (None, None),
            None => return false,
        };
        let accepted = self.accepted(id).map(|mut open| {
            open.acknowledge(id, code);
            open
        });
        let waiting = || self.shared.exchanges.acknowledged(self.flow.other(), id, code);
        if let Some(open) = accepted.or_else(waiting) {
            self.current = Current::Answer(vec![open]);
            return true;
        }
        let is_late = self.flow == Flow::Down && lead.header.code == b"ACK";
        if is_late {
            self.current = Current::Nothing; // or for a message of another connection
        }
        is_late
    }

    /// What was accepted in the same chunk, if more may be said of it.
    fn accepted(&mut self, id: Option<Id>) -> Option<Open<H::Ticket>> {
        let is_it = |open: &Open<_>| open.is_known_by(id) && open.is_accepted();
        let at = self.answered.iter().position(|(open, _)| is_it(open))?;
        let (mut open, bytes) = self.answered.remove(at);
        open.answered(bytes).then_some(open)
    }

    /// Whether a further message in a frame of answers is another one.
    fn also_answers(&mut self, lead: &Lead<'_>) -> bool {
        let (Current::Answer(answered), Some(ack)) = (&mut self.current, &lead.ack) else {
            return self.flow == Flow::Down && matches!(self.current, Current::Nothing);
        };
        let id = control_id(ack.control_id);
        if let Some(open) = answered.iter_mut().find(|open| open.is_known_by(id)) {
            open.acknowledge(id, ack.code);
            return true;
        }
        let open = self.shared.exchanges.acknowledged(self.flow.other(), id, ack.code);
        let is_answer = open.is_some();
        answered.extend(open);
        is_answer || self.flow == Flow::Down
    }

    /// A frame has ended; the answer to it, if it is our own.
    pub(super) fn ended(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Message(id) => self.shared.exchanges.passed(self.flow, id, self.frame),
            Current::Answer(answered) => {
                self.answered.extend(answered.into_iter().map(|open| (open, self.frame)));
            }
            Current::Discarded(nack) => return Some(nack),
        }
        None
    }

    /// Has the other way send a rejection, after the acknowledgements of what came before.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "shared, a way would have to be Sync")]
    pub(super) async fn reject(&mut self, nack: Vec<u8>) -> Result<(), Stop> {
        self.shared.exchanges.settled(self.flow).await;
        match &self.nacks {
            Nacks::To(nacks) => nacks.send(nack).await.map_err(|_gone| Stop::Denied),
            Nacks::From(_) => Err(Stop::Denied),
        }
    }

    /// Tells of what the way was in the middle of when it stopped.
    pub(super) fn give_up(&mut self, ending: Ending) {
        let Shared { exchanges, .. } = self.shared;
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing | Current::Discarded(_) => {}
            Current::Message(id) => exchanges.broken_off(self.flow, id, self.frame, ending),
            Current::Answer(answered) => {
                answered.into_iter().for_each(|open| exchanges.unanswered(open, ending));
            }
        }
        for (open, _) in self.answered.drain(..) {
            exchanges.unanswered(open, ending);
        }
    }
}

impl Flow {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}
