//! An orderly end, which proves that everything was read.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::export::dial::{Dialed, Stream, socket};
use crate::export::failure::Failure;
use crate::outcome::Undelivered;

/// A receiver ends its side within this time.
const LIMIT: Duration = Duration::from_secs(10);
/// A reset that was on its way is here by then, beside the way there and back.
const MARGIN: Duration = Duration::from_millis(50);

/// Ends our side of a connection, and waits until the receiver has ended its own.
///
/// # Errors
///
/// It does not, or by a reset: then nobody knows how much of what was sent it has read.
pub(super) async fn part(dialed: Dialed) -> Result<(), Failure> {
    let Dialed { mut stream, round_trip, .. } = dialed;
    let unconfirmed = |what: String| Failure::new(Undelivered::Unconfirmed, what);
    let disorderly = |error: io::Error| {
        unconfirmed(format!(
            "the connection did not come to an orderly end ({error}): what was sent is sent again"
        ))
    };
    let ending = timeout(LIMIT, end(&mut stream)).await;
    ending
        .map_err(|_elapsed| {
            unconfirmed(format!(
                "the receiver does not end the connection within {} after we did, so nobody knows \
                 whether it has read everything: what was sent is sent again",
                humantime::format_duration(LIMIT)
            ))
        })?
        .map_err(disorderly)?;
    // The two ends may have crossed: then the receiver's kernel answers our last bytes with a reset. The receiver has no
    // part in this wait, so its limit has none either.
    sleep(round_trip * 2 + MARGIN).await;
    socket(&stream).take_error().and_then(|error| error.map_or(Ok(()), Err)).map_err(disorderly)
}

async fn end(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?; // close_notify, then FIN
    let mut rest = [0; 512];
    loop {
        match stream.read(&mut rest).await {
            Ok(0) => break,
            Ok(_) => {}
            // Many receivers end TCP without TLS' own farewell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    until_end(socket(stream)).await
}

/// Reads until the end of TCP itself, behind the end of TLS.
async fn until_end(tcp: &TcpStream) -> io::Result<()> {
    let mut rest = [0; 512];
    loop {
        tcp.ready(Interest::READABLE).await?;
        match tcp.try_read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::live::live;

    #[tokio::test]
    async fn a_long_way_there_and_back_is_no_fault_of_the_receiver() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        theirs.shutdown().await.unwrap();
        ours.readable().await.unwrap();
        let (stream, generation) = (Stream::Left(ours), live(()).1.generation());
        let dialed = Dialed { stream, generation, round_trip: LIMIT };

        tokio::time::pause();
        let parted = part(dialed).await;

        assert!(parted.is_ok(), "{parted:?}");
    }
}
