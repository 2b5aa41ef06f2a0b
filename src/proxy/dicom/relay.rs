//! An association from its request to its end.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::part::{Last, Parting};
use super::respond::respond;
use super::transfer::transfer;
use super::{AssociateRequest, Carried, End, Stay};
use crate::authz::Permit;
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::{Abort, Malformed};

/// Hands the request on and relays until the association is over. The permit is proof that the peer may
/// have associations; that it may have this one is for the caller to know.
pub async fn relay<D, U>(
    _permit: &Permit,
    asked: AssociateRequest,
    mut downstream: D,
    mut upstream: U,
    stay: &Stay<'_>,
    carried: &mut Carried,
) -> (End, Parting<D, U>)
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let over = match respond(&mut downstream, &mut upstream, asked, stay, carried).await {
        Ok(contexts) => transfer(&mut downstream, &mut upstream, &contexts, stay, carried).await,
        Err(over) => over,
    };
    let parting = Parting { downstream: (downstream, over.down), upstream: (upstream, over.up) };
    (over.end, parting)
}

/// An association that is over, and what its sides are still to be told.
#[derive(Debug)]
pub(super) struct Over {
    end: End,
    down: Last,
    up: Last,
}

/// Who said or did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Calling,
    Called,
}

impl Over {
    /// Both sides know it, and the calling one is to end its connection.
    pub(super) fn known(how: AssociationEnding, message: Option<String>) -> Self {
        let end = End { how, ending: Ending::Finished, message, cause: None };
        Self { end, down: Last::Linger, up: Last::Leave }
    }

    /// One side has aborted it, and the other one was told.
    pub(super) fn aborted(by: Side, abort: Abort) -> Self {
        let message = format!("A-ABORT with source {}, reason {}", abort.source, abort.reason);
        match by {
            Side::Calling => Self {
                down: Last::Leave,
                ..Self::known(AssociationEnding::AbortedByCalling, Some(message))
            },
            Side::Called => Self::known(AssociationEnding::AbortedByCalled, Some(message)),
        }
    }

    /// It ends here: both sides hear an A-ABORT.
    pub(super) fn ours(ending: Ending) -> Self {
        let words = Last::Say(Abort::UNSPECIFIED.pdu());
        let end = End { how: AssociationEnding::Aborted, ending, message: None, cause: None };
        Self { end, down: words, up: words }
    }

    /// One side broke the rules.
    pub(super) fn malformed(by: Side, malformed: Malformed) -> Self {
        let who = match by {
            Side::Calling => "calling",
            Side::Called => "called",
        };
        let told = Last::Say(malformed.abort().pdu());
        let ours = Self::ours(Ending::ProtocolError);
        let end = End { message: Some(format!("the {who} side: {malformed}")), ..ours.end };
        match by {
            Side::Calling => Self { end, down: told, ..ours },
            Side::Called => Self { end, up: told, ..ours },
        }
    }

    /// The calling side asked for what it may not, and hears of which kind its fault is.
    pub(super) fn misfit() -> Self {
        let ours = Self::ours(Ending::Denied);
        let message = "the calling side: a command that its presentation context is not for";
        let end = End { message: Some(message.to_owned()), ..ours.end };
        Self { end, down: Last::Say(Abort::INVALID_VALUE.pdu()), ..ours }
    }

    /// A connection ended without a word: the other side hears an A-ABORT.
    pub(super) fn broken(ending: Ending, cause: Option<io::Error>) -> Self {
        let message = cause.as_ref().map_or_else(
            || "the connection was ended without a release".to_owned(),
            ToString::to_string,
        );
        let how = AssociationEnding::BrokenOff;
        let end = End { how, ending, message: Some(message), cause };
        Self { end, ..Self::ours(ending) }
    }

    /// Says nothing where no PDU can be put in: the side sees its connection end.
    pub(super) fn where_it_fits(self, down: bool, up: bool) -> Self {
        let fitting = |last, fits: bool| match last {
            Last::Say(_) if !fits => Last::Leave,
            other => other,
        };
        Self { down: fitting(self.down, down), up: fitting(self.up, up), ..self }
    }

    /// The called side has yet to hear it.
    pub(super) fn telling_the_called(self, abort: Abort) -> Self {
        Self { up: Last::Say(abort.pdu()), ..self }
    }
}
