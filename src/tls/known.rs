//! Signatures that were found good once are not computed again.
//!
//! Whether a signature is good never changes. To judge thousands of open connections again, or to look at
//! a revocation list with every handshake, would otherwise cost more in signatures than in all else. What
//! may change, such as dates, names, lists and anchors, is looked at every time.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// Signatures that are remembered, in each of two halves. With 10,000 peers of different certificates all
/// of theirs fit; 32 bytes each, and as much again for the table.
const HALF: usize = 16_384;

/// The signatures of certificates and lists that were found good.
#[derive(Default)]
pub(super) struct Known(Mutex<Halves>);

/// What is not asked for any more goes with the older half.
#[derive(Default)]
struct Halves {
    new: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Known {
    fn contains(&self, digest: &[u8; 32]) -> bool {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.new.contains(digest) {
            return true;
        }
        let is_old = halves.old.remove(digest);
        if is_old {
            halves.add(*digest);
        }
        is_old
    }

    fn add(&self, digest: [u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(digest);
    }
}

impl Halves {
    fn add(&mut self, digest: [u8; 32]) {
        if self.new.len() >= HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(digest);
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

/// An algorithm that remembers what it found good.
#[derive(Debug)]
pub(super) struct Remembering {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    known: Arc<Known>,
}

impl Remembering {
    /// All of `algorithms`, which share what is `known`.
    pub(super) fn all(
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
        known: &Arc<Known>,
    ) -> Vec<Self> {
        let remembering = |algorithm: &&'static dyn SignatureVerificationAlgorithm| Self {
            algorithm: *algorithm,
            known: Arc::clone(known),
        };
        algorithms.iter().map(remembering).collect()
    }
}

impl SignatureVerificationAlgorithm for Remembering {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let (key_kind, kind) = (self.public_key_alg_id(), self.signature_alg_id());
        let digest = digest(&[key_kind.as_ref(), kind.as_ref(), public_key, message, signature]);
        if self.known.contains(&digest) {
            return Ok(());
        }
        self.algorithm.verify_signature(public_key, message, signature)?;
        self.known.add(digest);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}

/// Binds all of the parts, and where each of them ends.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut all = Context::new(&SHA256);
    for part in parts {
        all.update(&part.len().to_be_bytes());
        all.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(all.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::alg_id;

    use super::*;

    /// Counts how often it is asked; a signature is good when it is the message.
    #[derive(Debug)]
    struct Counting(AtomicUsize);

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(
            &self,
            _public_key: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if message == signature { Ok(()) } else { Err(InvalidSignature) }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_SHA256
        }
    }

    fn remembering() -> (&'static Counting, Remembering) {
        let counting: &'static Counting = Box::leak(Box::new(Counting(AtomicUsize::new(0))));
        let known = Arc::new(Known::default());
        (counting, Remembering { algorithm: counting, known })
    }

    #[test]
    fn a_good_signature_is_computed_once_and_a_bad_one_every_time() {
        let (counting, algorithm) = remembering();

        for _ in 0..3 {
            algorithm.verify_signature(b"key", b"good", b"good").unwrap();
            algorithm.verify_signature(b"key", b"good", b"bad").unwrap_err();
        }

        assert_eq!(counting.0.load(Ordering::SeqCst), 1 + 3);
    }

    #[test]
    fn a_signature_is_known_for_its_key_and_its_message_alone() {
        let (counting, algorithm) = remembering();
        algorithm.verify_signature(b"key", b"good", b"good").unwrap();

        algorithm.verify_signature(b"keyg", b"ood", b"good").unwrap_err();
        algorithm.verify_signature(b"other", b"good", b"good").unwrap();

        assert_eq!(counting.0.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_what_is_asked_for_stays() {
        let (counting, algorithm) = remembering();
        for number in 0..4 * HALF {
            let message = number.to_be_bytes();
            algorithm.verify_signature(b"key", &message, &message).unwrap();
            algorithm.verify_signature(b"key", b"kept", b"kept").unwrap();
        }

        assert_eq!(counting.0.load(Ordering::SeqCst), 4 * HALF + 1);
        let halves = algorithm.known.0.lock().unwrap();
        assert!(halves.new.len() + halves.old.len() <= 2 * HALF);
    }
}
