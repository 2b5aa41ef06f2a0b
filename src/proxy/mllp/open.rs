//! One frame of messages that waits for its acknowledgement.

use std::time::Duration;

use tokio::time::Instant;

use super::host::{Flow, MessageEnd};
use crate::outcome::Ending;
use crate::protocol::mllp::AckCode;

/// The digest of a control identifier.
pub(super) type Id = [u8; 16];

/// One frame that waits.
pub(super) struct Open<T> {
    pub(super) id: u64,
    pub(super) flow: Flow,
    /// The messages in it, each type and sender once, in the order of their first.
    kinds: Vec<Messages<T>>,
    /// The identifiers of its messages, each with the number of its kind; `None` for that of the whole batch.
    ids: Vec<(Id, Option<usize>)>,
    begun: Instant,
    /// Bytes of the frame that have passed.
    pub(super) bytes: u64,
    /// Bytes of its acknowledgements.
    answered: u64,
    is_batch: bool,
    /// An application acknowledgement may follow an accept acknowledgement.
    awaits_application: bool,
    /// What the receiver's transport said (MLLP release 2), or its accept acknowledgement, and after how long.
    pub(super) commit: Option<(AckCode, Duration)>,
    answers: Answers,
}

/// Messages of one type and sender.
struct Messages<T> {
    ticket: T,
    count: u32,
    codes: [u32; AckCode::ALL.len()],
}

/// What the acknowledgement in hand says.
#[derive(Default)]
struct Answers {
    count: u32,
    /// The first code.
    code: Option<AckCode>,
    /// It is for the batch as such.
    is_of_batch: bool,
}

/// What is known of a frame when its first message passes.
pub(super) struct Beginning<T> {
    pub(super) flow: Flow,
    /// Of the first message, and of the batches that it is in.
    pub(super) control_id: Option<Id>,
    pub(super) batch_ids: Vec<Id>,
    pub(super) ticket: T,
    pub(super) is_batch: bool,
    pub(super) awaits_application: bool,
}

impl<T> Beginning<T> {
    /// A message further below in a frame, on its own.
    pub(super) fn further(flow: Flow, ticket: T) -> Self {
        let (control_id, batch_ids, awaits_application) = (None, Vec::new(), false);
        Self { flow, control_id, batch_ids, ticket, is_batch: true, awaits_application }
    }
}

impl<T> Open<T> {
    pub(super) fn new(id: u64, beginning: Beginning<T>) -> Self {
        let Beginning { flow, control_id, batch_ids, ticket, is_batch, awaits_application } =
            beginning;
        let own = control_id.map(|id| (id, Some(0)));
        Self {
            id,
            flow,
            kinds: vec![Messages { ticket, count: 1, codes: Default::default() }],
            ids: own.into_iter().chain(batch_ids.into_iter().map(|id| (id, None))).collect(),
            begun: Instant::now(),
            bytes: 0,
            answered: 0,
            is_batch,
            awaits_application,
            commit: None,
            answers: Answers::default(),
        }
    }

    /// Tickets that it holds.
    pub(super) fn tickets(&self) -> usize {
        self.kinds.len()
    }

    /// Identifiers that it holds.
    pub(super) fn ids(&self) -> usize {
        self.ids.len()
    }

    /// Another message in the frame, of a kind that was seen in it before.
    pub(super) fn again(&mut self, kind: usize) {
        self.is_batch = true;
        if let Some(messages) = self.kinds.get_mut(kind) {
            messages.count = messages.count.saturating_add(1);
        }
    }

    /// Another message in the frame, of another kind.
    pub(super) fn also(&mut self, ticket: T) -> usize {
        self.is_batch = true;
        self.kinds.push(Messages { ticket, count: 1, codes: Default::default() });
        self.kinds.len() - 1
    }

    /// The identifier of another message in the frame.
    pub(super) fn knows(&mut self, id: Id, kind: usize) {
        self.ids.push((id, Some(kind)));
    }

    /// Whether an acknowledgement of this identifier is for something in the frame.
    pub(super) fn is_known_by(&self, id: Option<Id>) -> bool {
        id.is_some_and(|id| self.ids.iter().any(|(known, _)| *known == id))
    }

    /// Notes what an acknowledgement says.
    pub(super) fn acknowledge(&mut self, id: Option<Id>, code: Option<AckCode>) {
        let found = self.ids.iter().find(|(known, _)| Some(*known) == id).map(|(_, kind)| *kind);
        self.answers.count = self.answers.count.saturating_add(1);
        self.answers.is_of_batch |= found == Some(None);
        self.answers.code = self.answers.code.or(code);
        let of_kind = found.flatten().and_then(|kind| self.kinds.get_mut(kind));
        let at = AckCode::ALL.iter().position(|known| Some(*known) == code);
        let counter = of_kind.zip(at).and_then(|(kind, at)| kind.codes.get_mut(at));
        if let Some(counter) = counter {
            *counter = counter.saturating_add(1);
        }
    }

    /// Whether the acknowledgement in hand is one that the application's own may follow.
    pub(super) fn is_accepted(&self) -> bool {
        self.answers.code == Some(AckCode::Ca) && self.awaits_application
    }

    /// The acknowledgement has passed, with so many bytes. Whether the application's own may follow.
    pub(super) fn answered(&mut self, bytes: u64) -> bool {
        self.answered += bytes;
        let waits_on = self.is_accepted();
        if waits_on {
            self.commit = Some((AckCode::Ca, self.begun.elapsed()));
            self.unanswered();
            self.awaits_application = false; // a second one is final
        }
        waits_on
    }

    /// What the acknowledgement said is not so: it did not come to its end.
    pub(super) fn unanswered(&mut self) {
        self.answers = Answers::default();
        self.kinds.iter_mut().for_each(|kind| kind.codes = Default::default());
    }

    /// The receiver's transport has, or has not, put it in a safe place.
    pub(super) fn committed(&mut self, is_safe: bool) {
        let code = if is_safe { AckCode::Ca } else { AckCode::Cr };
        self.commit = Some((code, self.begun.elapsed()));
    }

    /// The end of each kind of its messages.
    pub(super) fn ends(self, ending: Ending) -> impl Iterator<Item = (T, MessageEnd)> {
        let (sent_up, sent_down) = match self.flow {
            Flow::Up => (self.bytes, self.answered),
            Flow::Down => (self.answered, self.bytes),
        };
        let Self { commit, answers, is_batch, begun, kinds, .. } = self;
        let is_whole = answers.count <= 1 || answers.is_of_batch;
        let duration = match commit {
            Some((_, after)) if answers.count == 0 => after,
            Some(_) | None => begun.elapsed(),
        };
        kinds.into_iter().map(move |kind| {
            let code = if is_whole { answers.code } else { worst(kind.codes) };
            let end = MessageEnd {
                ending,
                acknowledgement: code.or_else(|| commit.map(|(code, _)| code)),
                accepted: commit.filter(|_| answers.count > 0),
                codes: if is_whole { Default::default() } else { kind.codes },
                is_batch,
                messages: kind.count,
                sent_up,
                sent_down,
                duration,
            };
            (kind.ticket, end)
        })
    }
}

/// Of several codes the one that somebody should look at first.
fn worst(codes: [u32; AckCode::ALL.len()]) -> Option<AckCode> {
    let came = || AckCode::ALL.into_iter().zip(codes).filter(|(_, count)| *count > 0);
    let mut came_to_nothing = came().filter(|(code, _)| code.is_failure());
    came_to_nothing.next().or_else(|| came().next()).map(|(code, _)| code)
}
