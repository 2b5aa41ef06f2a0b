//! From the request that goes on to the answer of the called side.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::ask::{self, Unasked};
use super::relay::{Over, Side};
use super::{AssociateRequest, Carried, Stay};
use crate::outcome::{AssociationEnding, Ending};
use crate::protocol::dicom::{
    Abort, Answer, Contexts, Kind, LENGTH_OF_HEADER, Malformed, Reject, accept, reject,
};

/// Hands the request on, and the answer back: on which contexts something may be said.
///
/// # Errors
///
/// It was over before it began.
pub(super) async fn respond<D, U>(
    downstream: &mut D,
    upstream: &mut U,
    asked: AssociateRequest,
    stay: &Stay<'_>,
    carried: &mut Carried,
) -> Result<Contexts, Over>
where
    D: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let responding = async {
        write(upstream, &asked.bytes).await.map_err(lost(Ending::UpstreamLost))?;
        carried.up(asked.bytes.len(), stay);
        let AssociateRequest { request, bytes } = asked;
        drop(bytes);
        let (bytes, answered) = tokio::select! {
            biased;
            answer = answer(upstream) => answer?,
            over = impatient(downstream) => return Err(over),
        };
        write(downstream, &bytes).await.map_err(lost(Ending::DownstreamLost))?;
        carried.down(bytes.len(), stay);
        match answered {
            Answered::Accepted(answers) => {
                let contexts = Contexts::accepted(request, &answers);
                carried.answers = Some(answers);
                Ok(contexts)
            }
            Answered::Rejected(Reject { result, source, reason }) => {
                let message = format!(
                    "A-ASSOCIATE-RJ with result {result}, source {source}, reason {reason}"
                );
                Err(Over::known(AssociationEnding::Rejected, Some(message)))
            }
            Answered::Aborted(abort) => Err(Over::aborted(Side::Called, abort)),
        }
    };
    tokio::select! {
        biased;
        responded = timeout(stay.idle, responding) => {
            responded.unwrap_or_else(|_elapsed| Err(Over::ours(Ending::Idle)))
        }
        () = stay.end.cutting() => Err(Over::ours(Ending::Cut)),
    }
}

fn lost(ending: Ending) -> impl Fn(io::Error) -> Over {
    move |error| Over::broken(ending, Some(error))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

enum Answered {
    Accepted(Vec<Answer>),
    Rejected(Reject),
    Aborted(Abort),
}

/// What the called side says first.
async fn answer<U: AsyncRead + Unpin>(upstream: &mut U) -> Result<(Vec<u8>, Answered), Over> {
    let malformed = |malformed| Over::malformed(Side::Called, malformed);
    let first = upstream.read_u8().await.map_err(lost(Ending::UpstreamLost))?;
    let kind = Kind::of(first).map_err(malformed)?;
    if !matches!(kind, Kind::AssociateAccept | Kind::AssociateReject | Kind::Abort) {
        return Err(malformed(Malformed::UnexpectedPdu));
    }
    let bytes = whole(first, upstream, Side::Called).await?;
    let body = bytes.get(LENGTH_OF_HEADER..).unwrap_or_default();
    let answered = match kind {
        Kind::AssociateAccept => accept(body).map(Answered::Accepted),
        Kind::AssociateReject => reject(body).map(Answered::Rejected),
        _abort => Abort::read(body).map(Answered::Aborted),
    };
    Ok((bytes, answered.map_err(malformed)?))
}

/// The calling side does not wait for the answer: it may abort, and nothing else.
async fn impatient<D: AsyncRead + Unpin>(downstream: &mut D) -> Over {
    let malformed = |malformed| Over::malformed(Side::Calling, malformed);
    let first = match downstream.read_u8().await {
        Ok(first) => first,
        Err(error) => return Over::broken(Ending::DownstreamLost, Some(error)),
    };
    match Kind::of(first) {
        Ok(Kind::Abort) => {}
        Ok(_) => return malformed(Malformed::UnexpectedPdu),
        Err(unrecognized) => return malformed(unrecognized),
    }
    let bytes = match whole(first, downstream, Side::Calling).await {
        Ok(bytes) => bytes,
        Err(over) => return over,
    };
    match Abort::read(bytes.get(LENGTH_OF_HEADER..).unwrap_or_default()) {
        Ok(abort) => Over::aborted(Side::Calling, abort).telling_the_called(abort),
        Err(wrong) => malformed(wrong),
    }
}

async fn whole<S: AsyncRead + Unpin>(first: u8, stream: &mut S, by: Side) -> Result<Vec<u8>, Over> {
    let ending = match by {
        Side::Calling => Ending::DownstreamLost,
        Side::Called => Ending::UpstreamLost,
    };
    match ask::pdu(first, stream).await {
        Ok(mut bytes) => Ok(std::mem::take(&mut *bytes)),
        Err(Unasked::Malformed(malformed)) => Err(Over::malformed(by, malformed)),
        Err(Unasked::Lost(error)) => Err(Over::broken(ending, Some(error))),
        Err(Unasked::Nothing | Unasked::TooSlow) => Err(Over::broken(ending, None)),
    }
}
