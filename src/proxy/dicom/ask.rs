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

/// An A-ASSOCIATE-RQ.
pub struct Asked {
    request: Request,
    /// As it came, header included. It may say who the user is, and with which password.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Asked {
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

/// Reads the A-ASSOCIATE-RQ, and nothing that comes after it.
///
/// # Errors
///
/// Says why there is none. Nothing was answered yet.
pub async fn ask<D: AsyncRead + Unpin>(
    downstream: &mut D,
    end: &Shutdown,
) -> Result<Asked, Unasked> {
    match timeout(ARTIM, read(downstream, end)).await {
        Ok(asked) => asked,
        Err(_elapsed) => Err(Unasked::TooSlow),
    }
}

async fn read<D: AsyncRead + Unpin>(downstream: &mut D, end: &Shutdown) -> Result<Asked, Unasked> {
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
    Ok(Asked { request: request.map_err(Unasked::Malformed)?, bytes })
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
    // Made once, so that no copy of it is left behind; memory that is not filled costs nothing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH_OF_HEADER + length));
    bytes.extend_from_slice(&head);
    let mut rest = stream.take(length as u64);
    while rest.limit() > 0 {
        if rest.read_buf(&mut *bytes).await.map_err(Unasked::Lost)? == 0 {
            return Err(Unasked::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(bytes)
}
