//! The first byte of a connection: TLS, or something else.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::HandshakeFailed;

/// With this every TLS connection begins: a record that holds a handshake message (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Whether `socket` begins with TLS, as soon as its first byte is there, which it must be within `limit`.
/// Nothing is taken from the socket. One that ends without a byte is left for the handshake to refuse.
///
/// # Errors
///
/// Nothing came in time, or the connection was lost.
pub async fn begins_with_tls(socket: &TcpStream, limit: Duration) -> Result<bool, HandshakeFailed> {
    let mut first = [HANDSHAKE];
    match timeout(limit, socket.peek(&mut first)).await {
        Ok(Ok(_at_most_one)) => Ok(first == [HANDSHAKE]),
        Ok(Err(error)) => Err(HandshakeFailed::from_io(&error)),
        Err(_elapsed) => Err(HandshakeFailed::silent(limit)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::outcome::Refusal;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn one_byte_tells_tls_from_all_else_and_stays_where_it_is() {
        for (byte, expected) in [(0x16, true), (b'G', false), (0x0B, false), (0x01, false)] {
            let (mut client, mut server) = pair().await;
            client.write_all(&[byte]).await.unwrap();

            assert_eq!(begins_with_tls(&server, Duration::from_secs(30)).await.unwrap(), expected);

            client.shutdown().await.unwrap();
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut server, &mut all).await.unwrap();
            assert_eq!(all, [byte]);
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let (_client, server) = pair().await;

        let failed = begins_with_tls(&server, Duration::from_millis(1)).await.unwrap_err();

        assert_eq!(failed.refusal, Refusal::TooSlow);
    }

    #[tokio::test]
    async fn who_ends_at_once_is_left_to_the_handshake() {
        let (client, server) = pair().await;
        drop(client);

        assert!(begins_with_tls(&server, Duration::from_secs(30)).await.unwrap());
    }
}
