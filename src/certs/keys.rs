//! Keys that we make ourselves, and the requests (PKCS#10, RFC 2986) for certificates over them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::config::KeyType;
use crate::identity::{DnsName, SpiffeId};

/// Why a key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key, or no request over it, could be made.
    #[error("cannot make a key or a request over it")]
    Make(#[from] rcgen::Error),
    /// TLS cannot sign with it.
    #[error("cannot use a key for TLS")]
    Use(#[source] rustls::Error),
    /// It is no private key in PEM (PKCS#8, SEC 1 or PKCS#1), or of a kind that is not supported.
    #[error(
        "is no private key in PEM that can be used: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits is"
    )]
    Unreadable,
}

/// A private key of ours. Its memory is cleared when it is dropped.
pub struct Key {
    pair: Zeroizing<KeyPair>,
    signing: Arc<dyn SigningKey>,
}

/// Whom a request names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names<'a> {
    /// The SPIFFE ID, as the one URI.
    pub spiffe: Option<&'a SpiffeId>,
    /// DNS names.
    pub dns: &'a [DnsName],
    /// The subject's common name; the subject is empty without it.
    pub common_name: Option<&'a str>,
}

impl Key {
    /// Makes a new key. Large RSA keys take a second or more: off the threads that carry traffic.
    ///
    /// # Errors
    ///
    /// The cryptographic library refuses.
    pub fn make(kind: KeyType) -> Result<Self, KeyError> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        let pair = match kind {
            KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => return Self::of(ed25519()?),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        Self::of(Zeroizing::new(pair?))
    }

    /// Reads a key that was kept by [`Self::pem`].
    ///
    /// # Errors
    ///
    /// It is none, or of a kind that TLS cannot sign with.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pem(pem).map_err(|_may_quote_the_key| KeyError::Unreadable)?;
        Self::of(Zeroizing::new(pair))
    }

    fn of(pair: Zeroizing<KeyPair>) -> Result<Self, KeyError> {
        let der = Zeroizing::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            pair.serialized_der().to_vec(),
        )));
        let signing = any_supported_type(&der).map_err(KeyError::Use)?;
        Ok(Self { pair, signing })
    }

    /// What certificates are made over.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// What TLS signs with.
    pub fn signing(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing)
    }

    /// The private key in PEM (PKCS#8), to be kept in a file of mode 0600.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }
}

/// In the first version of PKCS#8: OpenSSL 3 does not read the second, in which rcgen makes them.
fn ed25519() -> Result<Zeroizing<KeyPair>, KeyError> {
    let failed = |_unspecified| rcgen::Error::RingUnspecified;
    let made = Ed25519KeyPair::generate().map_err(failed)?;
    let der = made.to_pkcs8v1().map_err(failed)?; // cleared when it is dropped
    let der = PrivatePkcs8KeyDer::from(der.as_ref());
    Ok(Zeroizing::new(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?))
}

/// Without the private key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", self.pair.algorithm()).finish_non_exhaustive()
    }
}

/// Asks for a certificate over `key` for `names`, signed with `key` to prove that we hold it.
///
/// # Errors
///
/// A name cannot stand in a certificate, or the key does not sign.
pub fn request(
    key: &Key,
    names: Names<'_>,
) -> Result<CertificateSigningRequestDer<'static>, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = names.common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    if let Some(spiffe) = names.spiffe {
        params.subject_alt_names.push(SanType::URI(spiffe.as_str().try_into()?));
    }
    for dns in names.dns {
        params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    Ok(params.serialize_request(key.pair())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::openssl::OpenSsl;

    const KINDS: [(KeyType, &str); 6] = [
        (KeyType::P256, "ASN1 OID: prime256v1"),
        (KeyType::P384, "ASN1 OID: secp384r1"),
        (KeyType::Ed25519, "Public Key Algorithm: ED25519"),
        (KeyType::Rsa2048, "Public-Key: (2048 bit)"),
        (KeyType::Rsa3072, "Public-Key: (3072 bit)"),
        (KeyType::Rsa4096, "Public-Key: (4096 bit)"),
    ];

    #[test]
    fn openssl_accepts_requests_over_every_kind_of_key_and_sees_the_names() {
        let openssl = OpenSsl::new();
        let spiffe = SpiffeId::parse("spiffe://hospital.example/ehr").unwrap();
        let dns = [DnsName::parse("ehr.hospital.example").unwrap()];
        for (kind, algorithm) in KINDS {
            let key = Key::make(kind).unwrap();
            let names = Names { spiffe: Some(&spiffe), dns: &dns, common_name: Some("ehr") };
            openssl.write("request.der", request(&key, names).unwrap());

            let text = openssl
                .run("req -inform DER -in request.der -verify -noout -text -nameopt RFC2253");

            for expected in [
                algorithm,
                "Subject: CN=ehr",
                "URI:spiffe://hospital.example/ehr, DNS:ehr.hospital.example",
            ] {
                assert!(text.contains(expected), "{kind:?}, {expected}: {text}");
            }
        }
    }

    #[test]
    fn a_request_may_leave_everything_but_the_key_to_the_authority() {
        let openssl = OpenSsl::new();
        let key = Key::make(KeyType::P256).unwrap();
        openssl.write("request.der", request(&key, Names::default()).unwrap());

        let text = openssl.run("req -inform DER -in request.der -verify -noout -text");

        assert!(text.contains("Subject: \n"), "{text}");
        assert!(!text.contains("Alternative Name"), "{text}");
    }

    #[test]
    fn a_key_that_was_kept_is_the_same_key() {
        let openssl = OpenSsl::new();
        for (kind, _) in KINDS {
            let key = Key::make(kind).unwrap();
            let again = Key::from_pem(&key.pem()).unwrap();
            openssl.write("kept.pem", key.pem().as_bytes());
            openssl.run("pkey -in kept.pem -pubout -outform DER -out public.der");

            assert_eq!(key.public(), again.public(), "{kind:?}");
            assert_eq!(std::fs::read(openssl.path("public.der")).unwrap(), key.public());
            assert!(key.signing().public_key().is_some_and(|held| *held == *key.public()));
            assert!(!format!("{again:?}").contains("PRIVATE"), "{again:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_quoted() {
        let openssl = OpenSsl::new();
        openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out other.key");
        let cut = Key::make(KeyType::P256).unwrap().pem()[..60].to_owned();
        let other = openssl.read("other.key");

        for text in ["", "secret", cut.as_str(), other.as_str()] {
            let error = Key::from_pem(text).unwrap_err();
            assert!(matches!(error, KeyError::Unreadable), "{error:?}");
        }
    }
}
