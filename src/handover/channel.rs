//! A way between two processes for messages and descriptors: a pair of sockets that keep each message whole (`SOCK_SEQPACKET`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, Socket, Type};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// More than any message has; a longer one is an error, and never cut.
const MESSAGE_BYTES: usize = 64 * 1024;

/// One end. Its other end is in another process.
#[derive(Debug)]
pub struct Channel {
    /// No stream: it is waited for as one, and read and written message by message.
    socket: UnixStream,
}

/// Why a message did not go through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The process at the other end has ended, or has closed its end.
    #[error("the process at the other end has gone")]
    Gone,
    /// The system does not let it through.
    #[error("the channel between the processes fails")]
    Io(#[from] io::Error),
    /// It is none of ours.
    #[error("a message between the processes is not understood")]
    Foreign(#[source] serde_json::Error),
}

impl Channel {
    /// A channel, and its other end for another process. Belongs to the runtime that it is made on.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((Self::new(own)?, other.into()))
    }

    /// Two ends for two other processes.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn ends() -> io::Result<(OwnedFd, OwnedFd)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((one.into(), other.into()))
    }

    /// The end that another process has made.
    ///
    /// # Errors
    ///
    /// It is no such end.
    pub fn over(end: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(end);
        if socket.r#type()? != Type::SEQPACKET {
            return Err(io::Error::other("no end of a channel"));
        }
        Self::new(socket)
    }

    fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(StdUnixStream::from(OwnedFd::from(socket)))?;
        Ok(Self { socket })
    }

    /// Sends `message`, and a descriptor with it: the other process gets one of its own.
    ///
    /// # Errors
    ///
    /// It did not go through.
    pub async fn send(
        &self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message).map_err(ChannelError::Foreign)?;
        loop {
            self.socket.writable().await?;
            let sending = || send(self.socket.as_fd(), &bytes, descriptor);
            match self.socket.try_io(Interest::WRITABLE, sending) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent.map_err(gone),
            }
        }
    }

    /// Waits for a message, and for what came with it. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    ///
    /// The other end is closed, or what came is no message.
    pub async fn receive<T: DeserializeOwned>(&self) -> Result<(T, Option<OwnedFd>), ChannelError> {
        loop {
            self.socket.readable().await?;
            let receiving = || receive(self.socket.as_fd());
            let (bytes, descriptor) = match self.socket.try_io(Interest::READABLE, receiving) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                received => received.map_err(gone)?,
            };
            if bytes.is_empty() {
                return Err(ChannelError::Gone);
            }
            let message = serde_json::from_slice(&bytes).map_err(ChannelError::Foreign)?;
            return Ok((message, descriptor));
        }
    }
}

fn gone(error: io::Error) -> ChannelError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ChannelError::Gone,
        _ => ChannelError::Io(error),
    }
}

fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let rights = descriptor.as_slice();
    if !rights.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(rights)) {
        return Err(io::Error::other("a descriptor does not fit into a message"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::Error::other("a message is too long"));
    }
    bytes.truncate(received.bytes);
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptor = descriptors.next().and_then(|mut rights| rights.next());
    Ok((bytes, descriptor))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::handover::Order;

    #[tokio::test]
    async fn messages_stay_whole_and_descriptors_come_with_them() {
        let (own, other) = Channel::pair().unwrap();
        let other = Channel::over(other).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();

        own.send(&Order::Reload, None).await.unwrap();
        own.send(&Order::Stop, Some(writer.as_fd())).await.unwrap();
        drop(writer);

        let (first, none): (Order, _) = other.receive().await.unwrap();
        assert_eq!((first, none.is_none()), (Order::Reload, true));
        let (second, passed): (Order, _) = other.receive().await.unwrap();
        assert_eq!(second, Order::Stop);
        File::from(passed.unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[tokio::test]
    async fn the_end_of_the_other_process_is_heard() {
        let (own, other) = Channel::pair().unwrap();
        drop(other);

        assert!(matches!(own.receive::<Order>().await, Err(ChannelError::Gone)));
        assert!(matches!(own.send(&Order::Stop, None).await, Err(ChannelError::Gone)));
    }

    #[tokio::test]
    async fn what_a_later_version_says_is_no_error() {
        let (own, other) = Channel::pair().unwrap();
        let other = Channel::over(other).unwrap();

        own.send(&serde_json::json!({ "say": "dance", "steps": 3 }), None).await.unwrap();

        assert_eq!(other.receive::<Order>().await.unwrap().0, Order::Unknown);
    }

    #[tokio::test]
    async fn what_is_no_end_of_a_channel_is_not_taken() {
        assert!(Channel::over(File::open("/dev/null").unwrap().into()).is_err());
    }
}
