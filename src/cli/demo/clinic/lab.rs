//! A laboratory system that takes HL7 v2 messages over MLLP and acknowledges each.
//!
//! A frame is `0x0B`, a message, `0x1C 0x0D`; a message is segments that end with `0x0D`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Journal;
use crate::shutdown::Shutdown;

const BEGIN: u8 = 0x0b;
const END: &[u8] = b"\x1c\r";
/// Connections at once.
const CONNECTIONS: usize = 64;
/// A message.
const LONGEST: usize = 64 * 1024;
/// Interfaces are silent for long; a demonstration is not.
const IDLE: Duration = Duration::from_secs(600);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the drain begins: by then the sidecar in front has ended.
pub(super) async fn serve(listener: TcpListener, shutdown: Shutdown, journal: Journal) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
        let (slot, accepted) = tokio::select! {
            () = shutdown.draining() => return,
            next = next => next,
        };
        let Ok((socket, _caller)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let (journal, end) = (journal.clone(), shutdown.clone());
        shutdown.spawn(async move {
            tokio::select! {
                () = end.draining() => {}
                ended = conversation(socket, &journal) => if let Err(error) = ended {
                    tracing::debug!(%error, "sample service: conversation broke off");
                }
            }
            drop(slot);
        });
    }
}

/// Frames in, acknowledgements out, until the caller has no more.
async fn conversation(mut socket: TcpStream, journal: &Journal) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        while let Some((message, rest)) = first_frame(&held) {
            let answer = acknowledge(&String::from_utf8_lossy(message), journal);
            held = rest.to_vec();
            socket.write_all(&answer).await?;
        }
        if held.len() > LONGEST {
            return Err(io::Error::other("longer than any message"));
        }
        if timeout(IDLE, socket.read_buf(&mut held)).await?? == 0 {
            return socket.shutdown().await;
        }
    }
}

/// The first whole message, and what comes after its frame.
fn first_frame(held: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = held.windows(END.len()).position(|bytes| bytes == END)?;
    let (framed, rest) = (held.get(..end)?, held.get(end + END.len()..)?);
    let begin = framed.iter().position(|byte| *byte == BEGIN).map_or(0, |at| at + 1);
    Some((framed.get(begin..)?, rest))
}

/// `AA` for whatever has a header; `AR` for all else.
fn acknowledge(message: &str, journal: &Journal) -> Vec<u8> {
    let header = message.split('\r').find(|segment| segment.starts_with("MSH|"));
    // MSH-1 is the separator itself: what follows the n-th `|` is MSH-(n + 1).
    let fields: Vec<&str> = header.unwrap_or("MSH|").split('|').collect();
    let field = |number: usize| fields.get(number - 1).copied().unwrap_or("");
    let (kind, control) = (field(9), field(10));
    let event = kind.split('^').nth(1).unwrap_or("");
    let code = if header.is_some() && !control.is_empty() { "AA" } else { "AR" };
    journal.note(if kind.is_empty() { "no HL7 message".to_owned() } else { kind.to_owned() }, None);
    let answer = format!(
        "MSH|^~\\&|LAB|CLINIC|{}|{}|||ACK^{event}^ACK|{control}|P|2.5\rMSA|{code}|{control}\r",
        field(3),
        field(4),
    );
    [&[BEGIN], answer.as_bytes(), END].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_acknowledged_under_its_own_number() {
        let message = "MSH|^~\\&|BILLING|CLINIC|LAB|CLINIC|||ADT^A08|MSG7|P|2.5\rPID|1||4711\r";
        let journal = Journal::default();

        let answer = String::from_utf8(acknowledge(message, &journal)).unwrap();

        assert!(answer.contains("|ACK^A08^ACK|MSG7|") && answer.contains("\rMSA|AA|MSG7\r"));
        assert_eq!(journal.seen().what, "ADT^A08");
    }

    #[test]
    fn what_is_no_message_is_rejected() {
        let answer = String::from_utf8(acknowledge("hello", &Journal::default())).unwrap();

        assert!(answer.contains("\rMSA|AR|\r"), "{answer}");
    }

    #[test]
    fn frames_are_cut_where_they_end_and_not_before() {
        assert_eq!(first_frame(b"\x0bone\x1c\r\x0btw"), Some((&b"one"[..], &b"\x0btw"[..])));
        assert_eq!(first_frame(b"\x0btw"), None);
    }
}
