//! Keys that sign checkpoints, in the encodings of C2SP `signed-note`.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::config::KeyAlgorithm;

/// What the text of a private key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// The byte that C2SP has assigned to an algorithm.
fn byte(algorithm: KeyAlgorithm) -> u8 {
    match algorithm {
        KeyAlgorithm::Ed25519 => 1,
        KeyAlgorithm::EcdsaP256 => 2,
    }
}

fn of_byte(assigned: u8) -> Option<KeyAlgorithm> {
    [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256].into_iter().find(|it| byte(*it) == assigned)
}

/// A text that holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no key of a signed note: `NAME+ID+BASE64`, of Ed25519 or ECDSA P-256, is expected"
)]
pub struct NoKey;

/// Why no new key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyNotMade {
    /// No key has such a name.
    #[error("the name of a key is not empty, and has neither blanks nor `+`")]
    Name,
    /// The system has no random bytes.
    #[error("no key can be made: the system gives no random bytes")]
    Randomness,
}

/// What tells one key from others (C2SP `signed-note`): its name, and four bytes of a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The name: who signs.
    pub name: String,
    /// The four bytes.
    pub id: [u8; 4],
}

/// A public key, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    key_id: KeyId,
    algorithm: KeyAlgorithm,
    /// As a verifier key has it: 32 bytes of Ed25519, or `SubjectPublicKeyInfo` in DER.
    public: Vec<u8>,
}

impl Verifier {
    fn new(name: &str, algorithm: KeyAlgorithm, public: Vec<u8>) -> Result<Self, NoKey> {
        let is_name = !name.is_empty()
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
        let parsed = match algorithm {
            KeyAlgorithm::Ed25519 => ParsedPublicKey::new(&ED25519, &public),
            KeyAlgorithm::EcdsaP256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public),
        };
        if !is_name || parsed.is_err() {
            return Err(NoKey);
        }
        let hashed = match algorithm {
            KeyAlgorithm::Ed25519 => [name.as_bytes(), b"\n", &[byte(algorithm)], &public].concat(),
            KeyAlgorithm::EcdsaP256 => public.clone(),
        };
        let id = digest(&SHA256, &hashed);
        let id = id.as_ref().first_chunk().copied().unwrap_or_default();
        Ok(Self { key_id: KeyId { name: name.to_owned(), id }, algorithm, public })
    }

    /// Reads a verifier key: `NAME+ID+BASE64`.
    ///
    /// # Errors
    ///
    /// It is none, or not of a kind that is known here.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let (name, id, algorithm, key) = parts(text.trim()).ok_or(NoKey)?;
        let verifier = Self::new(name, algorithm, key.to_vec())?;
        if verifier.key_id.id == id { Ok(verifier) } else { Err(NoKey) }
    }

    /// What tells it from other keys.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Whether `signature` is this key's of `text`.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let parsed = match self.algorithm {
            KeyAlgorithm::Ed25519 => ParsedPublicKey::new(&ED25519, &self.public),
            KeyAlgorithm::EcdsaP256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.public),
        };
        parsed.is_ok_and(|key| key.verify_sig(text, signature).is_ok())
    }
}

/// The verifier key.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyId { name, id } = &self.key_id;
        let key = STANDARD.encode([&[byte(self.algorithm)], &*self.public].concat());
        write!(f, "{name}+{}+{key}", hex::encode(id))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A private key.
pub struct Signer {
    verifier: Verifier,
    pair: Pair,
    /// A seed of Ed25519, or PKCS #8.
    secret: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl Signer {
    /// A new key of `name`, who has no spaces and no `+`.
    ///
    /// # Errors
    ///
    /// There is no randomness, or it is no name for a key.
    pub fn generate(name: &str, algorithm: KeyAlgorithm) -> Result<Self, KeyNotMade> {
        let no_randomness = |Unspecified| KeyNotMade::Randomness;
        let secret = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let mut seed = Zeroizing::new(vec![0; 32]);
                aws_lc_rs::rand::fill(&mut seed).map_err(no_randomness)?;
                seed
            }
            KeyAlgorithm::EcdsaP256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
                let pkcs8 = pair.and_then(|pair| pair.to_pkcs8v1());
                Zeroizing::new(pkcs8.map_err(no_randomness)?.as_ref().to_vec())
            }
        };
        Self::new(name, algorithm, secret).map_err(|NoKey| KeyNotMade::Name)
    }

    fn new(name: &str, algorithm: KeyAlgorithm, secret: Zeroizing<Vec<u8>>) -> Result<Self, NoKey> {
        let (pair, public) = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let pair =
                    Ed25519KeyPair::from_seed_unchecked(&secret).map_err(|_rejected| NoKey)?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), public)
            }
            KeyAlgorithm::EcdsaP256 => {
                let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(signing, &secret).map_err(|_rejected| NoKey)?;
                let public = pair.public_key().as_der().map_err(|Unspecified| NoKey)?;
                (Pair::EcdsaP256(pair), public.as_ref().to_vec())
            }
        };
        Ok(Self { verifier: Verifier::new(name, algorithm, public)?, pair, secret })
    }

    /// Reads what [`Self::text`] has written.
    ///
    /// # Errors
    ///
    /// It is no private key, or not of a kind that is known here.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let text = text.trim().strip_prefix(PRIVATE).ok_or(NoKey)?;
        let (name, id, algorithm, secret) = parts(text).ok_or(NoKey)?;
        let signer = Self::new(name, algorithm, secret)?;
        if signer.verifier.key_id.id == id { Ok(signer) } else { Err(NoKey) }
    }

    /// The private key, as Go's `sumdb/note` writes it: `PRIVATE+KEY+NAME+ID+BASE64`.
    pub fn text(&self) -> Zeroizing<String> {
        let KeyId { name, id } = &self.verifier.key_id;
        let byte = byte(self.verifier.algorithm);
        let secret = Zeroizing::new([&[byte], &**self.secret].concat());
        let secret = Zeroizing::new(STANDARD.encode(&*secret));
        Zeroizing::new(format!("{PRIVATE}{name}+{}+{}\n", hex::encode(id), *secret))
    }

    /// The public key.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs `text`.
    ///
    /// # Errors
    ///
    /// There is no randomness, which ECDSA needs.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(text).as_ref().to_vec()),
            Pair::EcdsaP256(pair) => Ok(pair.sign(&SystemRandom::new(), text)?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

type Parts<'a> = (&'a str, [u8; 4], KeyAlgorithm, Zeroizing<Vec<u8>>);

/// `NAME+ID+BASE64(algorithm ‖ key)`
fn parts(text: &str) -> Option<Parts<'_>> {
    let mut parts = text.splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let id = hex::decode(id).ok()?.try_into().ok()?;
    let decoded = Zeroizing::new(STANDARD.decode(key).ok()?);
    let (algorithm, key) = decoded.split_first()?;
    Some((name, id, of_byte(*algorithm)?, Zeroizing::new(key.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_key_of_the_specification_is_read_and_written() {
        let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

        let verifier = Verifier::parse(text).unwrap();

        assert_eq!(verifier.to_string(), text);
        assert_eq!(verifier.key_id().name, "example.com/foo");
    }

    #[test]
    fn the_private_key_of_gos_own_tests_is_read_and_written() {
        let text =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n";
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

        let signer = Signer::parse(text).unwrap();

        assert_eq!(*signer.text(), text);
        assert_eq!(signer.verifier().to_string(), vkey);
        assert_eq!(format!("{signer:?}"), format!("Signer({vkey})"));
    }

    #[test]
    fn either_kind_of_key_signs_and_is_kept_as_text() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
            let signer = Signer::generate("hospital.example/ehr", algorithm).unwrap();
            let again = Signer::parse(&signer.text()).unwrap();
            let verifier = Verifier::parse(&signer.verifier().to_string()).unwrap();

            let signature = again.sign(b"text\n").unwrap();

            assert!(verifier.verifies(b"text\n", &signature), "{algorithm:?}");
            assert!(!verifier.verifies(b"Text\n", &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let good = Signer::generate("a", KeyAlgorithm::Ed25519).unwrap().verifier().to_string();
        let (_, rest) = good.split_once('+').unwrap();

        for bad in ["", "a", "a+b+c", &format!("b+{rest}"), &format!("+{rest}"), &good[..20]] {
            assert_eq!(Verifier::parse(bad), Err(NoKey), "{bad}");
            assert_eq!(Signer::parse(&format!("{PRIVATE}{bad}")).err(), Some(NoKey), "{bad}");
        }
        for name in ["", "a b", "a+b", "a\u{a0}b"] {
            let made = Signer::generate(name, KeyAlgorithm::Ed25519);
            assert_eq!(made.err(), Some(KeyNotMade::Name), "{name}");
        }
    }
}
