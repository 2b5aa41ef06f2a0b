//! What is held of an enrolment, and what it is to the rest of the house.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::public_key::PublicKey;

use super::client::Proof;
use crate::certs::check::{Offered, Origin};
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::kept::Kept;
use crate::certs::{Material, Trusted, inspect};
use crate::clock::rfc3339;
use crate::config::{self, KeyType};

/// Certificates with their keys, and what peers are verified with.
pub(super) struct Held {
    pub(super) kept: Kept,
    /// Whether it has been in use: a peer would accept it.
    pub(super) tried: bool,
}

impl Held {
    pub(super) fn new(kept: Kept, tried: bool) -> Self {
        Self { kept, tried }
    }

    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.leaves().next()
    }

    fn leaves(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.kept.pairs.iter().filter_map(|pair| pair.chain.first())
    }

    /// Whether `in_use` is this.
    pub(super) fn is(&self, in_use: &Material) -> bool {
        in_use.presented.cert.first() == self.leaf()
    }

    pub(super) fn is_valid(&self, now: OffsetDateTime) -> bool {
        let valid = |der: &CertificateDer<'_>| {
            inspect::certificate(der).is_some_and(|x509| {
                let validity = x509.validity();
                validity.not_before.to_datetime() <= now && now < validity.not_after.to_datetime()
            })
        };
        self.leaves().all(valid)
    }

    /// Why it cannot be used, for an error about having no other.
    pub(super) fn remark(&self, at: &str, now: OffsetDateTime) -> String {
        let ends = self.leaves().filter_map(|der| inspect::not_after(der)).min();
        match ends.filter(|ends| *ends <= now) {
            Some(ends) => {
                format!("{at}: the certificate kept expired at {}", rfc3339(ends))
            }
            None => format!("{at}: the certificate kept is not renewed"),
        }
    }

    /// Whether there is a certificate of each of these kinds, in their order.
    pub(super) fn has_kinds(&self, kinds: &[KeyType]) -> bool {
        self.leaves().map(|der| kind(der)).eq(kinds.iter().copied().map(Some))
    }

    /// With what it is renewed.
    pub(super) fn proof(&self) -> Result<Proof, EnrolError> {
        let certified = self.kept.pairs.first().and_then(|pair| pair.certified());
        let certified = certified.ok_or_else(|| unusable("our certificate"))?;
        Ok(Proof::Certificate(Arc::new(certified)))
    }

    /// Whether it is to be stored in the place of `before`.
    pub(super) fn differs_from(&self, before: &Self) -> bool {
        let lists = |held: &Self| -> Vec<_> {
            held.kept.lists.iter().map(|list| list.der.clone()).collect()
        };
        self.tried != before.tried
            || self.kept.bundle != before.kept.bundle
            || lists(self) != lists(before)
    }

    /// As an offer; `at` is where the certificate comes from.
    pub(super) fn offered(&self, config: &config::Est, at: String) -> Result<Offered, EnrolError> {
        let certified = self.kept.pairs.iter().map(|pair| pair.certified());
        let mut pairs = certified.collect::<Option<Vec<_>>>().unwrap_or_default().into_iter();
        let first = pairs.next().ok_or_else(|| unusable(&at))?;
        Ok(Offered {
            chain: first.cert,
            key: first.key,
            others: pairs.map(Arc::new).collect(),
            issued: Some(self.kept.issued),
            trusted: Trusted {
                bundle: self.kept.bundle.clone(),
                crls: self.kept.lists.iter().map(|list| list.der.clone()).collect(),
                ..Trusted::default()
            },
            renewed: true,
            origin: Origin {
                certificate: at.clone(),
                key: at,
                trust_bundle: format!("{}/cacerts", config.url),
                crls: self.kept.lists.iter().map(|list| list.url.clone()).collect(),
                others: Vec::new(),
            },
            warnings: Vec::new(),
        })
    }
}

fn unusable(at: &str) -> EnrolError {
    let what = "the key cannot be used for TLS".to_owned();
    EnrolError { at: at.to_owned(), kind: EnrolFailure::BadAnswer, what }
}

/// The kind of a certificate's key.
fn kind(der: &CertificateDer<'_>) -> Option<KeyType> {
    let x509 = inspect::certificate(der)?;
    match x509.public_key().parsed().ok()? {
        PublicKey::EC(point) => match point.key_size() {
            256 => Some(KeyType::P256),
            384 => Some(KeyType::P384),
            _ => None,
        },
        PublicKey::RSA(key) => match key.key_size() {
            2048 => Some(KeyType::Rsa2048),
            3072 => Some(KeyType::Rsa3072),
            4096 => Some(KeyType::Rsa4096),
            _ => None,
        },
        // Ed25519 is 1.3.101.112 (RFC 8410, 3).
        _ if x509.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            Some(KeyType::Ed25519)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::keys::Key;

    #[test]
    fn the_kind_of_every_key_that_we_make_is_known_again() {
        let kinds = [
            KeyType::P256,
            KeyType::P384,
            KeyType::Ed25519,
            KeyType::Rsa2048,
            KeyType::Rsa3072,
            KeyType::Rsa4096,
        ];
        for wanted in kinds {
            let key = Key::make(wanted).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(key.pair()).unwrap();

            assert_eq!(kind(certificate.der()), Some(wanted));
        }
    }
}
