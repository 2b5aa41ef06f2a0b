//! The first PDU of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::ARTIM;
use crate::protocol::dicom::{
    Header, Kind, LENGTH_OF_HEADER, LONGEST_ASSOCIATE, Malformed, Request, request,
};
use crate::shutdown::Shutdown;

/// Room for a usual one. More is made as bytes come, not because they were announced.
const ROOM: usize = 4 * 1024;

/// An A-ASSOCIATE-RQ.
pub struct AssociateRequest {
    pub(super) request: Request,
    /// As it came, header included. It may say who the user is, and with which password.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl AssociateRequest {
    /// What it asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// Why there is no request.
#[derive(Debug)]
pub enum Unasked {
    /// The connection ended before its first byte, or had not asked for anything when a drain began.
    Nothing,
    /// It did not come to its end in time.
    TooSlow,
    /// It is no request, or a malformed one.
    Malformed(Malformed),
    /// The connection broke.
    Lost(io::Error),
}

impl Unasked {
    /// What is to be said about the end of the connection.
    pub fn message(&self) -> Option<String> {
        let too_slow = matches!(self, Self::TooSlow);
        too_slow.then(|| format!("no association was asked for within {}s", ARTIM.as_secs()))
    }
}

/// Reads the A-ASSOCIATE-RQ, and nothing that comes after it.
///
/// # Errors
///
/// Says why there is none. Nothing was answered yet.
pub async fn ask<D: AsyncRead + Unpin>(
    downstream: &mut D,
    end: &Shutdown,
) -> Result<AssociateRequest, Unasked> {
    match timeout(ARTIM, read(downstream, end)).await {
        Ok(asked) => asked,
        Err(_elapsed) => Err(Unasked::TooSlow),
    }
}

async fn read<D: AsyncRead + Unpin>(
    downstream: &mut D,
    end: &Shutdown,
) -> Result<AssociateRequest, Unasked> {
    let first = tokio::select! {
        first = downstream.read_u8() => first,
        () = end.draining() => return Err(Unasked::Nothing),
    };
    let first = match first {
        Ok(first) => first,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Unasked::Nothing),
        Err(error) => return Err(Unasked::Lost(error)),
    };
    // Whoever speaks something else need not send six bytes of it to be told.
    if Kind::of(first).map_err(Unasked::Malformed)? != Kind::AssociateRequest {
        return Err(Unasked::Malformed(Malformed::UnexpectedPdu));
    }
    let bytes = pdu(first, downstream).await?;
    let request = request(bytes.get(LENGTH_OF_HEADER..).unwrap_or_default());
    Ok(AssociateRequest { request: request.map_err(Unasked::Malformed)?, bytes })
}

/// The same bytes with more room. A vector that grows by itself would leave a copy of them behind.
fn moved(bytes: &[u8], room: usize) -> Zeroizing<Vec<u8>> {
    let mut moved = Zeroizing::new(Vec::with_capacity(room));
    moved.extend_from_slice(bytes);
    moved
}

/// The rest of an A-ASSOCIATE, after its first byte; with it.
pub(super) async fn pdu<S: AsyncRead + Unpin>(
    first: u8,
    stream: &mut S,
) -> Result<Zeroizing<Vec<u8>>, Unasked> {
    let mut head = [first; LENGTH_OF_HEADER];
    if let Some((_, rest)) = head.split_first_mut() {
        stream.read_exact(rest).await.map_err(Unasked::Lost)?;
    }
    let header = Header::read(head).map_err(Unasked::Malformed)?;
    let length = usize::try_from(header.length.min(LONGEST_ASSOCIATE)).unwrap_or_default();
    let whole = LENGTH_OF_HEADER + length;
    let mut bytes = Zeroizing::new(Vec::with_capacity(whole.min(ROOM)));
    bytes.extend_from_slice(&head);
    let mut rest = stream.take(length as u64);
    while rest.limit() > 0 {
        if bytes.len() == bytes.capacity() {
            bytes = moved(&bytes, whole.min(2 * bytes.len()));
        }
        if rest.read_buf(&mut *bytes).await.map_err(Unasked::Lost)? == 0 {
            return Err(Unasked::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// Gives its bytes in pieces, and notes for how many there was room at once.
    struct Slow {
        given: usize,
        most: usize,
        bytes: Vec<u8>,
    }

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let given = self.given;
            let come = given + 1; // one was read before
            assert!(buffer.remaining() <= ROOM.max(come), "{come}: {}", buffer.remaining());
            self.most = self.most.max(buffer.remaining());
            let end = self.bytes.len().min(given + buffer.remaining().min(1000));
            buffer.put_slice(&self.bytes[given..end]);
            self.given = end;
            Poll::Ready(Ok(()))
        }
    }

    fn announcing(length: u32, come: usize) -> Slow {
        let head = [&[0], length.to_be_bytes().as_slice()].concat();
        let rest = (0_u8..251).cycle().take(come);
        Slow { given: 0, most: 0, bytes: head.into_iter().chain(rest).collect() }
    }

    #[tokio::test]
    async fn room_is_made_for_what_has_come_and_not_for_what_was_announced() {
        let mut stream = announcing(LONGEST_ASSOCIATE, 10);
        assert!(matches!(pdu(1, &mut stream).await, Err(Unasked::Lost(_))));
        assert!(stream.most <= ROOM);

        for length in [200, 5000, LONGEST_ASSOCIATE] {
            let mut stream = announcing(length, length as usize);
            let bytes = pdu(1, &mut stream).await.unwrap();
            assert_eq!((bytes[0], &bytes[1..]), (1, &*stream.bytes));
            assert!(bytes.capacity() <= LENGTH_OF_HEADER + length as usize);
        }
    }
}
