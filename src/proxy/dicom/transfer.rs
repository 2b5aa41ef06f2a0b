//! From the acceptance of an association to its end: bytes go by, their headers and command sets are looked at.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::relay::{Over, Side};
use super::{Carried, Stay};
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::{Contexts, Stopped, Transfer};
use crate::proxy::l4::{IdleWatch, Look, Moved, Way};
use crate::proxy::stream::Broken;

/// Relays until the association is over.
pub(super) async fn transfer<D, U>(
    downstream: &mut D,
    upstream: &mut U,
    contexts: &Contexts,
    stay: &Stay<'_>,
    carried: &mut Carried,
) -> Over
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut both = Both::new(contexts, stay.is_bound);
    let mut idle = IdleWatch::new(stay.idle);
    let begun = carried.moved;
    let relaying = poll_fn(|cx| {
        let before = (both.up.way.moved, both.down.way.moved);
        let verdict = both.poll(cx, downstream, upstream);
        let (up, down) = (both.up.way.moved, both.down.way.moved);
        if before != (up, down) {
            stay.metrics.bytes_up.increment(up - before.0);
            stay.metrics.bytes_down.increment(down - before.1);
            carried.moved = Moved { up: begun.up + up, down: begun.down + down };
            carried.data_units = (both.up.seen.transfer.units(), both.down.seen.transfer.units());
            idle.moved();
        }
        match verdict {
            Some(over) => Poll::Ready(over),
            None => idle.poll(cx).map(|()| Over::ours(Ending::Idle)),
        }
    });
    let over = tokio::select! {
        biased;
        over = relaying => over,
        () = stay.end.cutting() => Over::ours(Ending::Cut),
    };
    let (up, down) = (&both.up.seen.transfer, &both.down.seen.transfer);
    carried.commands = Some(Box::new((up.commands().clone(), down.commands().clone())));
    carried.misfit = up.misfit().cloned();
    over.where_it_fits(both.down.is_open(), both.up.is_open())
}

/// The two directions.
struct Both<'a> {
    up: Directed<'a>,
    down: Directed<'a>,
}

/// One direction: who reads its end is told by the way, what passes by the headers.
struct Directed<'a> {
    way: Way,
    seen: Seen<'a>,
    has_ended: bool,
}

struct Seen<'a> {
    transfer: Transfer<'a>,
    stopped: Option<Stopped>,
}

impl Look for Seen<'_> {
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let (passing, stopped) = self.transfer.pass(bytes);
        self.stopped = stopped;
        passing
    }

    fn is_over(&self) -> bool {
        self.stopped.is_some()
    }

    fn keeps_writer(&self) -> bool {
        true
    }
}

impl<'a> Directed<'a> {
    fn new(contexts: &'a Contexts, is_bound: bool) -> Self {
        let seen = Seen { transfer: Transfer::new(contexts, is_bound), stopped: None };
        Self { way: Way::default(), seen, has_ended: false }
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<(), Broken>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if let Poll::Ready(moved) = self.way.poll(cx, reader, writer, &mut self.seen) {
            moved?;
            self.has_ended = !self.way.is_stopped();
        }
        Ok(())
    }

    /// Whether another PDU can be put in.
    fn is_open(&self) -> bool {
        self.way.is_clear() && self.seen.transfer.is_between()
    }

    /// Why nothing more may go on, once the reader has what came before.
    fn stopped(&self) -> Option<Stopped> {
        self.seen.stopped.filter(|_| self.way.is_stopped())
    }
}

impl<'a> Both<'a> {
    /// Rules are for the calling side: the called one may say what it likes on a context that it accepted.
    fn new(contexts: &'a Contexts, is_bound: bool) -> Self {
        Self { up: Directed::new(contexts, is_bound), down: Directed::new(contexts, false) }
    }

    /// Moves what can be moved; the end, if it has come.
    fn poll<D, U>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Option<Over>
    where
        D: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let up = self.up.poll(cx, downstream, upstream);
        let down = self.down.poll(cx, upstream, downstream);
        for (by, stopped) in
            [(Side::Calling, self.up.stopped()), (Side::Called, self.down.stopped())]
        {
            match stopped {
                Some(Stopped::Aborted(abort)) => return Some(Over::aborted(by, abort)),
                Some(Stopped::Malformed(malformed)) => return Some(Over::malformed(by, malformed)),
                Some(Stopped::Misfit) => return Some(Over::misfit()),
                None => {}
            }
        }
        if self.is_released() {
            return Some(Over::known(AssociationEnding::Released, None));
        }
        for (broken, is_up) in [(up, true), (down, false)] {
            if let Err(broken) = broken {
                let (ending, cause) = broken.ending(is_up);
                return Some(Over::broken(ending, Some(cause)));
            }
        }
        self.ended()
    }

    /// Whether each who has asked for the release was answered, and has heard it.
    fn is_released(&self) -> bool {
        let (up, down) = (&self.up.seen.transfer, &self.down.seen.transfer);
        let answered = |asked: &Transfer<'_>, by: &Transfer<'_>| {
            !asked.has_requested_release() || by.has_replied_to_release()
        };
        (up.has_requested_release() || down.has_requested_release())
            && answered(up, down)
            && answered(down, up)
            && self.up.way.is_clear()
            && self.down.way.is_clear()
    }

    /// A connection that has ended without a word. A side that has asked for the release may end its half
    /// before the answer.
    fn ended(&self) -> Option<Over> {
        let gone = |this: &Directed<'_>, other: &Directed<'_>| {
            this.has_ended && (other.has_ended || !this.seen.transfer.has_requested_release())
        };
        if gone(&self.up, &self.down) {
            Some(Over::broken(Ending::DownstreamLost, None))
        } else if gone(&self.down, &self.up) {
            Some(Over::broken(Ending::UpstreamLost, None))
        } else {
            None
        }
    }
}
