//! What a server is that does not speak TLS, from what it says by itself or in answer to a ClientHello.

use serde::Serialize;

/// Longest excerpt of a stranger's words, in bytes.
const EXCERPT: usize = 80;
/// The OID of LDAP's notice of disconnection (RFC 4511, 4.4.1), as its text.
const LDAP_NOTICE: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoken {
    /// HTTP in plaintext.
    Http,
    /// HTTP/2 in plaintext.
    Http2,
    /// SSH.
    Ssh,
    /// SMTP.
    Smtp,
    /// FTP.
    Ftp,
    /// POP3.
    Pop3,
    /// IMAP.
    Imap,
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// HL7 v2 over MLLP.
    Mllp,
    /// DICOM.
    Dicom,
    /// LDAP.
    Ldap,
    /// AMQP.
    Amqp,
    /// Redis.
    Redis,
    /// Telnet.
    Telnet,
    /// VNC.
    Vnc,
    /// The PROXY protocol.
    ProxyProtocol,
    /// Something else, in words.
    Text,
    /// Something else.
    Unknown,
}

impl Spoken {
    /// What `words`, the first bytes that a server sent, are.
    ///
    /// `None` when they may be TLS, or there are none.
    pub(super) fn of(words: &[u8]) -> Option<Self> {
        if words.is_empty() || is_tls(words) {
            return None;
        }
        let begins = |with: &[u8]| words.starts_with(with);
        let spoken = match words {
            _ if begins(b"HTTP/") || is_html(words) => Self::Http,
            _ if begins(b"SSH-") => Self::Ssh,
            _ if begins(b"220") || begins(b"421") || begins(b"554") => mail_or_files(words),
            _ if begins(b"+OK") => Self::Pop3,
            _ if begins(b"* OK") || begins(b"* BYE") || begins(b"* PREAUTH") => Self::Imap,
            _ if begins(b"AMQP") => Self::Amqp,
            _ if begins(b"RFB ") => Self::Vnc,
            _ if begins(b"-ERR") || begins(b"-DENIED") || begins(b"-NOAUTH") => Self::Redis,
            _ if begins(b"PROXY ") || begins(b"\r\n\r\n\0\r\nQUIT\n") => Self::ProxyProtocol,
            [0x0b, ..] => Self::Mllp,
            [0xff, 0xfb..=0xfe, ..] => Self::Telnet,
            // An A-ABORT of 4 bytes, or another PDU that a server sends (PS3.8, 9.3).
            [0x07, 0, 0, 0, 0, 4, ..] | [0x03, 0, 0, 0, 0, 4, ..] => Self::Dicom,
            // An error with its length: severity, code and message in fields (Frontend/Backend Protocol).
            [b'E', 0, _, _, _, b'S', ..] => Self::Postgres,
            _ if begins(b"EFATAL") => Self::Postgres,
            // Payload length, packet number 0, then protocol 10 or an error.
            [_, _, 0, 0, 0x0a | 0xff, ..] => Self::Mysql,
            // A SETTINGS or GOAWAY frame on stream 0.
            [0, 0, _, 4 | 7, _, 0, 0, 0, 0, ..] => Self::Http2,
            [0x30, ..] if holds(words, LDAP_NOTICE) || words.get(2) == Some(&2) => Self::Ldap,
            _ if words.iter().all(is_text) => Self::Text,
            _ => Self::Unknown,
        };
        Some(spoken)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP in plaintext",
            Self::Http2 => "HTTP/2 in plaintext",
            Self::Ssh => "SSH",
            Self::Smtp => "SMTP",
            Self::Ftp => "FTP",
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
            Self::Mysql => "MySQL or MariaDB",
            Self::Postgres => "PostgreSQL",
            Self::Mllp => "HL7 v2 (MLLP) in plaintext",
            Self::Dicom => "DICOM in plaintext",
            Self::Ldap => "LDAP in plaintext",
            Self::Amqp => "AMQP in plaintext",
            Self::Redis => "Redis in plaintext",
            Self::Telnet => "Telnet",
            Self::Vnc => "VNC",
            Self::ProxyProtocol => "the PROXY protocol",
            Self::Text => "a protocol in plain words",
            Self::Unknown => "a protocol that is not TLS",
        }
    }

    /// Whether such servers begin in plaintext and change to TLS when asked: then mutual TLS from the first
    /// byte is another port's or another setting's.
    pub(super) fn upgrades(self) -> bool {
        matches!(
            self,
            Self::Smtp
                | Self::Ftp
                | Self::Pop3
                | Self::Imap
                | Self::Mysql
                | Self::Postgres
                | Self::Ldap
        )
    }
}

/// What usually listens on `port`, when it is something that speaks plaintext or waits for the client.
pub(super) fn usual(port: u16) -> Option<&'static str> {
    Some(match port {
        21 => "FTP",
        22 => "SSH",
        25 | 587 => "SMTP",
        80 | 8000 | 8080 | 8081 => "HTTP in plaintext",
        104 | 4242 | 11112 => "DICOM in plaintext",
        389 => "LDAP in plaintext",
        514 | 601 => "syslog in plaintext",
        1433 => "SQL Server",
        1521 => "Oracle",
        2575 | 6661 => "HL7 v2 (MLLP) in plaintext",
        3306 => "MySQL",
        5432 => "PostgreSQL",
        6379 => "Redis",
        27017 => "MongoDB",
        _ => return None,
    })
}

/// The beginning of `words`, with everything but printable ASCII escaped.
pub(super) fn excerpt(words: &[u8]) -> String {
    let shown = words.get(..EXCERPT).unwrap_or(words);
    let more = if shown.len() < words.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

/// A record's head: a content type that there is, and a version that there is.
fn is_tls(words: &[u8]) -> bool {
    matches!(words, [0x14..=0x17] | [0x14..=0x17, 0x03] | [0x14..=0x17, 0x03, 0..=4, ..])
}

fn is_html(words: &[u8]) -> bool {
    let head = words.trim_ascii_start();
    let begins = |tag: &[u8]| head.get(..tag.len()).is_some_and(|b| b.eq_ignore_ascii_case(tag));
    begins(b"<!doctype html") || begins(b"<html") || begins(b"<head")
}

/// Both greet with the same numbers: SMTP names itself by its standard (RFC 5321, 4.2), FTP by habit.
fn mail_or_files(words: &[u8]) -> Spoken {
    let lower = words.to_ascii_lowercase();
    if holds(&lower, b"ftp") || holds(&lower, b"filezilla") { Spoken::Ftp } else { Spoken::Smtp }
}

fn holds(words: &[u8], part: &[u8]) -> bool {
    words.windows(part.len()).any(|window| window == part)
}

fn is_text(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_first_words() {
        let known: &[(&[u8], Spoken)] = &[
            (b"HTTP/1.1 400 Bad Request\r\n", Spoken::Http),
            (b"<!DOCTYPE HTML>\n<html lang=\"en\">", Spoken::Http),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Spoken::Http2),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Spoken::Ssh),
            (b"220 mail.h.example ESMTP Postfix\r\n", Spoken::Smtp),
            (b"220 (vsFTPd 3.0.5)\r\n", Spoken::Ftp),
            (b"+OK Dovecot ready.\r\n", Spoken::Pop3),
            (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", Spoken::Imap),
            (b"\x4a\0\0\0\x0a8.0.36\0", Spoken::Mysql),
            (b"\x45\0\0\0\xff\x6a\x04Host", Spoken::Mysql),
            (b"E\0\0\0\x90SFATAL\0VFATAL\0", Spoken::Postgres),
            (b"EFATAL:  unsupported frontend protocol\n\0", Spoken::Postgres),
            (b"\x0bMSH|^~\\&|LAB", Spoken::Mllp),
            (b"\x07\0\0\0\0\x04\0\0\x02\x01", Spoken::Dicom),
            (b"\x30\x24\x02\x01\0\x78\x1f\x0a\x01\x02", Spoken::Ldap),
            (b"AMQP\0\0\x09\x01", Spoken::Amqp),
            (b"-ERR unknown command\r\n", Spoken::Redis),
            (b"\xff\xfd\x18\xff\xfd\x20", Spoken::Telnet),
            (b"RFB 003.008\n", Spoken::Vnc),
            (b"welcome to the lab\r\n", Spoken::Text),
            (b"\x01\x02\x03\x04", Spoken::Unknown),
        ];

        for (words, spoken) in known {
            assert_eq!(Spoken::of(words), Some(*spoken), "{}", words.escape_ascii());
        }
    }

    #[test]
    fn tls_and_silence_are_no_other_protocol() {
        for words in [b"".as_slice(), b"\x16", b"\x15\x03\x01\0\x02\x02\x28", b"\x16\x03\x03\0\x7a"]
        {
            assert_eq!(Spoken::of(words), None, "{}", words.escape_ascii());
        }
    }

    #[test]
    fn a_strangers_words_are_escaped_and_cut() {
        assert_eq!(excerpt(b"a\x1b[2J\n\xc3\xa4"), "a\\x1b[2J\\n\\xc3\\xa4");
        assert_eq!(excerpt(&[b'x'; 200]), format!("{}…", "x".repeat(80)));
    }
}
