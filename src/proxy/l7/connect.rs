//! The head of a CONNECT request, read up to its last byte and not beyond: what follows the answer is not HTTP
//! (RFC 9110, 9.3.6).

use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::framing::{Verdicts, Watcher, header_line};
use super::malformed::Malformed;
use crate::config::Limits;
use crate::outcome::Ending;
use crate::protocol::http::{host_name, is_host};

/// No other method begins with this byte that would be carried.
pub const CONNECT_BEGINS: u8 = b'C';

/// Bytes that are read at once.
const PIECE: usize = 4096;
/// What a head ends with.
const END: &[u8] = b"\r\n\r\n";

/// Why nobody knows where a tunnel is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// The connection came to its end before.
    Ended(Ending),
    /// It is no CONNECT, or one that could be read in several ways.
    Malformed(Malformed),
}

/// What `stream` asks for with CONNECT: `HOST:PORT`, as it was written. The head may take `header_timeout`, and
/// `header_bytes`.
///
/// # Errors
///
/// It does not ask for anything, or not in this way.
pub async fn connect_asked<S: AsyncRead + Unpin>(
    stream: &mut S,
    limits: &Limits,
) -> Result<String, Unasked> {
    let deadline = Instant::now() + limits.header_timeout;
    let (mut watcher, verdicts) = (Watcher::new(limits.header_bytes), Verdicts::default());
    let (mut head, mut piece) = (Vec::new(), [0; PIECE]);
    while verdicts.check(1).is_err() {
        if let Some(refused) = verdicts.refused() {
            return Err(Unasked::Malformed(refused.why));
        }
        let read = match timeout_at(deadline, stream.read(&mut piece)).await {
            Ok(Ok(0)) => return Err(Unasked::Ended(Ending::Truncated)),
            Ok(Ok(read)) => piece.get(..read).unwrap_or_default(),
            Ok(Err(_lost)) => return Err(Unasked::Ended(Ending::DownstreamLost)),
            Err(_elapsed) => return Err(Unasked::Ended(Ending::Idle)),
        };
        head.extend_from_slice(read);
        // What is wrong behind the head has no bearing: nothing may stand there.
        let _behind = watcher.feed(read, &verdicts);
    }
    asked(&head).map_err(Unasked::Malformed)
}

/// What a head asks for that the watcher has approved.
fn asked(bytes: &[u8]) -> Result<String, Malformed> {
    let end = bytes.windows(END.len()).position(|four| four == END).ok_or(Malformed::LineEnding)?;
    let (head, behind) = bytes.split_at(end);
    if behind != END {
        return Err(Malformed::BehindUpgrade);
    }
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Only this line and the host have to be text: other headers may be Latin-1 (RFC 9110, 5.5).
    let line = std::str::from_utf8(lines.next().unwrap_or_default());
    let mut words = line.map_err(|_not_ascii| Malformed::Target)?.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != Method::CONNECT.as_str() {
        return Err(Malformed::Method);
    }
    if !is_host(target) || !has_port(target) {
        return Err(Malformed::Target);
    }
    let mut host = None;
    for line in lines {
        let (name, value) = header_line(line)?;
        if name.eq_ignore_ascii_case(b"host") && host.replace(value).is_some() {
            return Err(Malformed::HostRepeated);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Malformed::TransferEncoding);
        }
        if name.eq_ignore_ascii_case(b"content-length") && value != b"0" {
            return Err(Malformed::ContentLength);
        }
    }
    let is_http10 = words.next() == Some("HTTP/1.0");
    match host.map(|host| std::str::from_utf8(host).unwrap_or_default()) {
        None if is_http10 => Ok(target.to_owned()),
        None => Err(Malformed::HostMissing),
        Some(host) if !is_host(host) => Err(Malformed::HostInvalid),
        // Some clients leave out the port.
        Some(host) if host.eq_ignore_ascii_case(target) => Ok(target.to_owned()),
        Some(host) if !has_port(host) && host_name(host) == host_name(target) => {
            Ok(target.to_owned())
        }
        Some(_) => Err(Malformed::HostMismatch),
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    async fn read(head: impl AsRef<[u8]>) -> Result<String, Unasked> {
        let (mut near, mut far) = duplex(1 << 20);
        for piece in head.as_ref().chunks(7) {
            near.write_all(piece).await.unwrap();
        }
        connect_asked(&mut far, &Limits::default()).await
    }

    #[tokio::test]
    async fn it_asks_for_a_host_and_a_port() {
        for head in [
            "CONNECT db.lab.example:5432 HTTP/1.1\r\nHost: db.lab.example:5432\r\n\r\n",
            "CONNECT db.lab.example:5432 HTTP/1.1\r\nHost: DB.lab.example\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            "CONNECT db.lab.example:5432 HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(read(head).await.as_deref(), Ok("db.lab.example:5432"), "{head}");
        }
        let v6 = "CONNECT [fd77::2]:5432 HTTP/1.1\r\nHost: [fd77::2]:5432\r\n\r\n";
        assert_eq!(read(v6).await.as_deref(), Ok("[fd77::2]:5432"));
    }

    #[tokio::test]
    async fn only_the_request_line_and_the_host_have_to_be_text() {
        let with = |line: &[u8]| {
            let connect = b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n";
            [connect, line, b"\r\n\r\n"].concat()
        };
        let asked = read(with(b"User-Agent: Praxis-M\xfcller/1.0")).await;
        assert_eq!(asked.as_deref(), Ok("a.example:1"));

        let host = b"CONNECT a.example:1 HTTP/1.1\r\nHost: \xe4.example:1\r\n\r\n";
        assert_eq!(read(host).await, Err(Unasked::Malformed(Malformed::HostInvalid)));
        let target = b"CONNECT \xe4.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n";
        assert_eq!(read(target).await, Err(Unasked::Malformed(Malformed::Target)));
    }

    #[tokio::test]
    async fn what_could_be_read_in_several_ways_is_refused() {
        let connect = |rest: &str| format!("CONNECT a.example:1 HTTP/1.1\r\n{rest}\r\n");
        for (head, why) in [
            (connect(""), Malformed::HostMissing),
            (connect("Host: b.example:1\r\n"), Malformed::HostMismatch),
            (connect("Host: a.example:2\r\n"), Malformed::HostMismatch),
            (connect("Host: a.example:1\r\nHost: a.example:1\r\n"), Malformed::HostRepeated),
            (connect("Host: a.example:1\r\nContent-Length: 5\r\n"), Malformed::ContentLength),
            (
                connect("Host: a.example:1\r\nTransfer-Encoding: chunked\r\n"),
                Malformed::TransferEncoding,
            ),
            (connect("Host: a.example:1\n"), Malformed::LineEnding),
            (connect("Host : a.example:1\r\n"), Malformed::HeaderSyntax),
            (format!("{}early", connect("Host: a.example:1\r\n")), Malformed::BehindUpgrade),
            ("CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), Malformed::Target),
            (
                "CONNECT u@a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n".to_owned(),
                Malformed::Target,
            ),
            (
                "COPY http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
                Malformed::Method,
            ),
            (connect(&format!("X: {}\r\n", "x".repeat(70_000))), Malformed::TooLarge),
        ] {
            assert_eq!(read(&head).await, Err(Unasked::Malformed(why)), "{}", head.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_not_waited_for() {
        let (mut near, mut far) = duplex(64);
        near.write_all(b"CONNECT a.exa").await.unwrap();

        let ended = connect_asked(&mut far, &Limits::default()).await;

        assert_eq!(ended, Err(Unasked::Ended(Ending::Idle)));
        drop(near);
        let ended = connect_asked(&mut far, &Limits::default()).await;
        assert_eq!(ended, Err(Unasked::Ended(Ending::Truncated)));
    }
}
