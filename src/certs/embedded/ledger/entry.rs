//! What a line of the ledger may say.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::form::{dns, moment, spiffe};
use crate::certs::embedded::Grant;
use crate::identity::{DnsName, SpiffeId};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(in crate::certs::embedded) enum Entry {
    /// The first line of every ledger.
    Begun {
        /// The form of the lines that follow.
        version: u32,
        /// The bytes that were left when the file was last made shorter.
        kept_bytes: u64,
    },
    /// A certificate; it is handed out only when this is durable.
    Issued(Record),
    /// The end of one.
    Revoked(Revocation),
    /// A join token was made.
    Token(Token),
    /// A join token was used.
    Redeemed(Redemption),
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// Its serial number.
    pub serial: Serial,
    /// Its subject as text.
    pub subject: String,
    /// Its SPIFFE ID.
    #[serde(with = "spiffe")]
    pub spiffe: SpiffeId,
    /// Its DNS names.
    #[serde(with = "dns")]
    pub dns: Vec<DnsName>,
    /// Valid from.
    #[serde(with = "moment")]
    pub not_before: OffsetDateTime,
    /// Valid until.
    #[serde(with = "moment")]
    pub not_after: OffsetDateTime,
    /// The lifetime that was granted, in seconds; the issuing authority's end may have cut it.
    pub ttl_seconds: u64,
    /// SHA-256 of its DER form, hexadecimal.
    pub sha256: String,
    /// The kind of its key, like `ECDSA P-256` or `RSA 2048`.
    pub key_type: String,
    /// The issuing authority, by the beginning of its certificate's SHA-256.
    pub issuer: String,
    /// On whose word it was issued.
    pub authorized: Authorized,
    /// The user id of the process that issued it.
    pub user: u32,
}

impl Record {
    /// The same names and lifetime once more, for a re-enrolment.
    pub fn grant(&self) -> Grant {
        Grant {
            spiffe: self.spiffe.clone(),
            dns: self.dns.clone(),
            ttl: Duration::from_secs(self.ttl_seconds),
        }
    }
}

/// On whose word a certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Authorized {
    /// Somebody who may write to the authority's directory: an operator or a sidecar on the machine.
    Local,
    /// The holder of a join token.
    Token {
        /// The token's id.
        id: String,
    },
    /// The holder of an earlier certificate.
    Reenrolment {
        /// Its serial number.
        serial: Serial,
    },
}

impl fmt::Display for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Token { id } => write!(f, "token {id}"),
            Self::Reenrolment { serial } => write!(f, "re-enrolment of {serial}"),
        }
    }
}

/// A certificate that was revoked. Says all that a revocation list needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// The certificate's serial number.
    pub serial: Serial,
    /// When it would have expired.
    #[serde(with = "moment")]
    pub not_after: OffsetDateTime,
    /// Who issued it, as in [`Record::issuer`].
    pub issuer: String,
    /// Why.
    pub reason: Reason,
    /// The user id of the process that revoked it.
    pub user: u32,
}

/// Why a certificate is revoked (RFC 5280, 5.3.1). No hold: it could not be lifted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No reason is given.
    #[default]
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// The names no longer fit.
    AffiliationChanged,
    /// There is another certificate in its place.
    Superseded,
    /// The service is no more.
    CessationOfOperation,
    /// The holder lost a right that the certificate states.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Its name in commands and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|reason| reason.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|reason| reason.name()).collect();
            format!("one of {} is wanted", names.join(", "))
        })
    }
}

/// A join token, as it is kept: without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// When it was made.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// What lists call it; says nothing about its text.
    pub id: String,
    /// SHA-256 of its text, hexadecimal.
    pub sha256: String,
    /// The SPIFFE ID that it grants.
    #[serde(with = "spiffe")]
    pub spiffe: SpiffeId,
    /// The DNS names that it grants.
    #[serde(with = "dns")]
    pub dns: Vec<DnsName>,
    /// The lifetime of the certificates that it grants, in seconds.
    pub ttl_seconds: u64,
    /// It may be used until then.
    #[serde(with = "moment")]
    pub expires: OffsetDateTime,
    /// The user id of the process that made it.
    pub user: u32,
}

impl Token {
    pub(in crate::certs::embedded) fn grant(&self) -> Grant {
        Grant {
            spiffe: self.spiffe.clone(),
            dns: self.dns.clone(),
            ttl: Duration::from_secs(self.ttl_seconds),
        }
    }
}

/// The one use of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// When.
    #[serde(with = "moment")]
    pub at: OffsetDateTime,
    /// The token's id.
    pub id: String,
    /// SHA-256 of the public key that it was used for (SubjectPublicKeyInfo, DER), hexadecimal.
    pub key_sha256: String,
}

/// A certificate's serial number, upper-case hexadecimal, two digits a byte: as OpenSSL prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(String);

/// A text that is no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a serial number: 1 to 20 bytes in hexadecimal are wanted, as `myelin ca list` and openssl print them"
)]
pub struct SerialError;

impl Serial {
    /// Takes hexadecimal digits in either case, with or without colons between the bytes.
    ///
    /// # Errors
    ///
    /// It is something else, or longer than a serial number may be (RFC 5280, 4.1.2.2).
    pub fn parse(text: &str) -> Result<Self, SerialError> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
        match hex::decode(&digits) {
            Ok(bytes) if (1..=20).contains(&bytes.len()) => Ok(Self(digits.to_ascii_uppercase())),
            Ok(_) | Err(_) => Err(SerialError),
        }
    }

    /// The number, most significant byte first.
    pub(in crate::certs::embedded) fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.0).unwrap_or_default()
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        Self::parse(&text)
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_people_copy_them() {
        for text in ["0a1b2c", "0A:1B:2C", "A1B2C", "a1b2c"] {
            assert_eq!(Serial::parse(text).unwrap().as_str(), "0A1B2C", "{text}");
        }
        for wrong in ["", ":", "0x1b", "zz", "01 02", &"ab".repeat(21), "é"] {
            assert_eq!(Serial::parse(wrong), Err(SerialError), "{wrong}");
        }
    }

    #[test]
    fn reasons_have_one_name_in_commands_and_in_the_ledger() {
        for reason in Reason::ALL {
            assert_eq!(reason.name().parse(), Ok(reason));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.name()));
        }
        assert!("hold".parse::<Reason>().unwrap_err().contains("key-compromise"));
    }
}
