//! The handshake itself, and the second after it.
//!
//! rustls is driven by hand: what a server said that is no TLS, or said before it fell silent, would be
//! lost inside a stream that fails.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, InvalidMessage, PeerIncompatible,
    ProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Question;
use super::plain::{Spoken, excerpt};
use super::seen::{Answer, Negotiated, Outcome, Shaken, Stage};
use super::watch::Watched;

/// A TLS 1.3 server refuses a client's certificate after the client's handshake has succeeded: so long its
/// answer is waited for.
const ANSWER: Duration = Duration::from_secs(1);
/// So long a server that is not understood may go on talking.
const WORDS: Duration = Duration::from_secs(1);
/// What is kept of a server's first words, in bytes.
const KEPT: usize = 1024;

/// Why a handshake went no further.
enum Broke {
    Tls(Error),
    Closed,
    Reset,
    Silent,
}

/// One connection and what came over it.
struct Wire {
    socket: TcpStream,
    /// The server's first words, as they came.
    words: Vec<u8>,
}

/// Shakes hands on `socket` within `limit`, and waits for the server's answer.
pub(super) async fn shake(
    question: &Question,
    config: ClientConfig,
    socket: TcpStream,
    watched: &Watched,
    limit: Duration,
) -> Shaken {
    let mut wire = Wire { socket, words: Vec::new() };
    let begun = Instant::now();
    let name = server_name(question);
    let mut tls = match ClientConnection::new(Arc::new(config), name) {
        Ok(tls) => tls,
        Err(error) => return unspoken(&error),
    };
    let deadline = begun + limit;
    let shaken = wire.handshake(&mut tls, deadline).await;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (outcome, answer) = match shaken {
        Ok(()) => (Outcome::Established, Some(wire.answer(&mut tls).await)),
        Err(broke) => (wire.outcome(broke, watched).await, None),
    };
    Shaken { outcome, negotiated: negotiated(&tls), asked: watched.asked(), answer, milliseconds }
}

/// The name sent as SNI, as outbound listeners send it.
fn server_name(question: &Question) -> ServerName<'static> {
    let host = question.to.host.to_string();
    ServerName::try_from(host).unwrap_or_else(|_no_name| std::net::Ipv4Addr::UNSPECIFIED.into())
}

/// rustls would not even begin.
fn unspoken(error: &Error) -> Shaken {
    Shaken {
        outcome: Outcome::Protocol { message: error.to_string() },
        negotiated: Negotiated::default(),
        asked: None,
        answer: None,
        milliseconds: 0,
    }
}

impl Wire {
    async fn handshake(
        &mut self,
        tls: &mut ClientConnection,
        deadline: Instant,
    ) -> Result<(), Broke> {
        loop {
            self.flush(tls, deadline).await?;
            if !tls.is_handshaking() {
                return Ok(());
            }
            self.hear(tls, deadline).await?;
        }
    }

    /// Sends what rustls has to say. A server that takes no more may have said why.
    async fn flush(&mut self, tls: &mut ClientConnection, deadline: Instant) -> Result<(), Broke> {
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).map_err(|error| lost(&error))?;
        }
        match timeout_at(deadline, self.socket.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match self.hear(tls, deadline).await {
                Ok(_bytes) => Err(lost(&error)),
                Err(said) => Err(said),
            },
            Err(_elapsed) => Err(Broke::Silent),
        }
    }

    /// Reads once, and gives it to rustls; the answer is how many bytes of plaintext there are.
    async fn hear(
        &mut self,
        tls: &mut ClientConnection,
        deadline: Instant,
    ) -> Result<usize, Broke> {
        let mut buffer = vec![0; 16 * 1024];
        let count = match timeout_at(deadline, self.socket.read(&mut buffer)).await {
            Ok(Ok(0)) => return Err(Broke::Closed),
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return Err(lost(&error)),
            Err(_elapsed) => return Err(Broke::Silent),
        };
        let mut rest = buffer.get(..count).unwrap_or_default();
        self.keep(rest);
        let mut plaintext = 0;
        while !rest.is_empty() {
            tls.read_tls(&mut rest).map_err(|error| lost(&error))?;
            match tls.process_new_packets() {
                Ok(state) => {
                    plaintext = state.plaintext_bytes_to_read();
                    if state.peer_has_closed() {
                        return Err(Broke::Closed);
                    }
                }
                Err(error) => {
                    self.say_why(tls).await;
                    return Err(Broke::Tls(error));
                }
            }
        }
        Ok(plaintext)
    }

    /// The server is to hear our alert, if it still listens.
    async fn say_why(&mut self, tls: &mut ClientConnection) {
        let mut bytes = Vec::new();
        while tls.wants_write() && tls.write_tls(&mut bytes).is_ok() {}
        let _it_is_gone = timeout_at(Instant::now() + WORDS, self.socket.write_all(&bytes)).await;
    }

    fn keep(&mut self, heard: &[u8]) {
        let room = KEPT.saturating_sub(self.words.len());
        self.words.extend(heard.iter().take(room));
    }

    /// What the server does now that it has all of ours. Nothing is sent.
    async fn answer(&mut self, tls: &mut ClientConnection) -> Answer {
        let deadline = Instant::now() + ANSWER;
        // What came with the last of the handshake has been taken in already.
        let early = tls.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read());
        let answer = loop {
            if early > 0 {
                break Answer::Speaks { bytes: early };
            }
            match self.hear(tls, deadline).await {
                Ok(0) => {}
                Ok(bytes) => break Answer::Speaks { bytes },
                Err(Broke::Tls(Error::AlertReceived(alert))) => break Answer::Alert { alert },
                Err(Broke::Tls(_)) => break Answer::Reset,
                Err(Broke::Closed) => break Answer::Closed,
                Err(Broke::Reset) => break Answer::Reset,
                Err(Broke::Silent) => break Answer::Waits,
            }
        };
        tls.send_close_notify();
        self.say_why(tls).await;
        answer
    }

    async fn outcome(&mut self, broke: Broke, watched: &Watched) -> Outcome {
        if matches!(broke, Broke::Tls(Error::InvalidCertificate(_))) && watched.has_refused() {
            return Outcome::ServerRefused;
        }
        if !watched.has_judged()
            && let Some(outcome) = self.spoken(&broke).await
        {
            return outcome;
        }
        let stage = self.stage(watched);
        match broke {
            Broke::Tls(error) => of_tls(error, stage),
            Broke::Closed => Outcome::Closed { stage },
            Broke::Reset => Outcome::Reset { stage },
            Broke::Silent => Outcome::Silent { stage },
        }
    }

    /// What the server spoke, if that was no TLS. One that is silent gets the end of our side to answer.
    async fn spoken(&mut self, broke: &Broke) -> Option<Outcome> {
        match broke {
            Broke::Silent if self.words.is_empty() => {
                let _it_is_gone = self.socket.shutdown().await;
                self.listen().await;
            }
            Broke::Tls(_) if Spoken::of(&self.words).is_some() => self.listen().await,
            _ => {}
        }
        let spoken = Spoken::of(&self.words)?;
        Some(Outcome::NotTls { spoken, words: excerpt(&self.words) })
    }

    /// Takes in what else a server has to say that is not understood.
    async fn listen(&mut self) {
        let deadline = Instant::now() + WORDS;
        let mut buffer = [0; KEPT];
        while self.words.len() < KEPT {
            match timeout_at(deadline, self.socket.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => self.keep(buffer.get(..count).unwrap_or_default()),
                _ => return,
            }
        }
    }

    fn stage(&self, watched: &Watched) -> Stage {
        if watched.has_judged() {
            Stage::Certificates
        } else if self.words.is_empty() || is_alert(&self.words) {
            Stage::Hello
        } else {
            Stage::Negotiation
        }
    }
}

/// An alert is the first thing that the server said.
fn is_alert(words: &[u8]) -> bool {
    words.first() == Some(&0x15)
}

fn lost(error: &io::Error) -> Broke {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            Broke::Reset
        }
        ErrorKind::TimedOut => Broke::Silent,
        _ => Broke::Closed,
    }
}

fn of_tls(error: Error, stage: Stage) -> Outcome {
    use PeerIncompatible as Lacks;
    match error {
        Error::AlertReceived(AlertDescription::CloseNotify) => Outcome::Closed { stage },
        Error::AlertReceived(alert) => Outcome::Alert { alert, stage },
        Error::PeerIncompatible(
            Lacks::ServerDoesNotSupportTls12Or13
            | Lacks::ServerTlsVersionIsDisabledByOurConfig
            | Lacks::SupportedVersionsExtensionRequired,
        )
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Outcome::Version,
        Error::PeerIncompatible(Lacks::ExtendedMasterSecretExtensionRequired) => {
            Outcome::NoExtendedMasterSecret
        }
        Error::PeerIncompatible(lacks) => Outcome::Suite { message: format!("{lacks:?}") },
        error => Outcome::Protocol { message: error.to_string() },
    }
}

fn negotiated(tls: &ClientConnection) -> Negotiated {
    Negotiated {
        version: match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Some("1.3"),
            Some(ProtocolVersion::TLSv1_2) => Some("1.2"),
            Some(_) | None => None,
        },
        cipher: tls
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)),
        group: tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        alpn: tls.alpn_protocol().map(|name| name.escape_ascii().to_string()),
    }
}
