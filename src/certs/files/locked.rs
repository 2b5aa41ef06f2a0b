//! Takes off the encryption of a key: PBES2 (RFC 8018), and what PKCS #12 had before it (RFC 7292).
//!
//! The parameters come from the file, and say how much work it is: more than [`Work`] is refused.

use aws_lc_rs::{digest, hmac};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use pkcs5::der::Decode;
use pkcs5::pbes2::Kdf;
use x509_parser::asn1_rs::{Oid, oid};
use zeroize::Zeroizing;

use super::der::Der;

/// Rounds of a hash for one file: some seconds of work. OpenSSL makes 2,048, careful people a million.
const ROUNDS: u64 = 5_000_000;
/// The most memory that scrypt may take. OpenSSL takes 16 MiB.
const SCRYPT_BYTES: u64 = 256 << 20;
/// How often scrypt may use it all.
const SCRYPT_TIMES: u16 = 8;

/// Why a key cannot be had from a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Locked {
    /// It is not what it should be, or not in DER.
    Unparsable,
    /// The passphrase is another one, or the bytes were changed.
    Wrong,
    /// An algorithm that we do not have, as a text.
    Unsupported(String),
    /// Decrypting it takes more work than anybody needs.
    TooCostly,
}

/// How much work is left for a file.
pub(super) struct Work(u64);

impl Default for Work {
    fn default() -> Self {
        Self(ROUNDS)
    }
}

impl Work {
    fn take(&mut self, rounds: u64) -> Result<(), Locked> {
        self.0 = self.0.checked_sub(rounds).ok_or(Locked::TooCostly)?;
        Ok(())
    }
}

/// A passphrase in the two forms that algorithms want.
pub(super) struct Passphrase {
    bytes: Zeroizing<Vec<u8>>,
    /// UTF-16, big endian, and two zero bytes (RFC 7292, B.1).
    bmp: Zeroizing<Vec<u8>>,
}

impl Passphrase {
    /// Bytes that are no text are taken for PBES2 alone.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut bmp = Zeroizing::new(Vec::with_capacity(bytes.len() * 2 + 2));
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        bmp.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        bmp.extend([0, 0]);
        Self { bytes: Zeroizing::new(bytes.to_vec()), bmp }
    }

    /// None at all: some programs take that for something else than an empty one.
    pub(super) fn none() -> Self {
        Self { bytes: Zeroizing::default(), bmp: Zeroizing::default() }
    }
}

/// An encrypted PKCS #8 key (RFC 5958, 3) without its encryption; `work` is what its file may cost.
pub(super) fn key(
    der: &[u8],
    with: &Passphrase,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let mut info = Der::new(der).sequence()?;
    let algorithm = info.raw_sequence()?;
    let key = decrypt(algorithm, info.octets()?, with, work)?;
    // One wrong passphrase in 256 leaves a padding that looks right.
    let parsed = Der::new(&key).sequence().and_then(|mut inside| inside.number());
    parsed.map_err(|_garbage| Locked::Wrong)?;
    Ok(key)
}

/// `sealed` without the encryption that `algorithm`, an AlgorithmIdentifier in DER, describes.
pub(super) fn decrypt(
    algorithm: &[u8],
    sealed: &[u8],
    with: &Passphrase,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let mut parts = Der::new(algorithm).sequence()?;
    let name = parts.oid()?;
    if name == oid!(1.2.840.113549.1.5.13) {
        return pbes2(algorithm, sealed, with, work);
    }
    let mut parameters = parts.sequence()?;
    let (salt, rounds) = (parameters.octets()?, parameters.number()?);
    let old = Old { salt, rounds, with };
    if name == oid!(1.2.840.113549.1.12.1.3) {
        old.decrypt::<des::TdesEde3>(24, sealed, work)
    } else if name == oid!(1.2.840.113549.1.12.1.5) {
        old.decrypt::<rc2::Rc2>(16, sealed, work)
    } else if name == oid!(1.2.840.113549.1.12.1.6) {
        old.decrypt::<rc2::Rc2>(5, sealed, work)
    } else {
        Err(Locked::Unsupported(format!("the algorithm {name}")))
    }
}

fn pbes2(
    algorithm: &[u8],
    sealed: &[u8],
    with: &Passphrase,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let unsupported =
        || Locked::Unsupported("a key derivation or cipher that is rarely used (PBES2)".to_owned());
    let scheme = pkcs5::EncryptionScheme::from_der(algorithm).map_err(|_vague| unsupported())?;
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(kdf)) => work.take(kdf.iteration_count.into())?,
        Some(Kdf::Scrypt(kdf)) => {
            let bytes = u64::from(kdf.block_size).saturating_mul(128);
            let bytes = bytes.saturating_mul(kdf.cost_parameter);
            if bytes > SCRYPT_BYTES || kdf.parallelization > SCRYPT_TIMES {
                return Err(Locked::TooCostly);
            }
            work.take(ROUNDS / 8)?;
        }
        Some(_) | None => return Err(unsupported()),
    }
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let opened =
        scheme.decrypt_in_place(&*with.bytes, &mut buffer).map_err(|error| match error {
            pkcs5::Error::DecryptFailed => Locked::Wrong,
            _ => unsupported(),
        })?;
    let length = opened.len();
    buffer.truncate(length);
    Ok(buffer)
}

/// The encryption that PKCS #12 had before PBES2 (RFC 7292, appendix C).
struct Old<'a> {
    salt: &'a [u8],
    rounds: u64,
    with: &'a Passphrase,
}

impl Old<'_> {
    fn decrypt<C: KeyInit + BlockCipherDecrypt>(
        &self,
        key_bytes: usize,
        sealed: &[u8],
        work: &mut Work,
    ) -> Result<Zeroizing<Vec<u8>>, Locked> {
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let derived = Derived { hash: sha1, salt: self.salt, rounds: self.rounds, with: self.with };
        let key = derived.bytes(1, key_bytes, work)?;
        let iv = derived.bytes(2, 8, work)?;
        let cipher =
            Decryptor::<C>::new_from_slices(&key, &iv).map_err(|_length| Locked::Unparsable)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let opened = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_bad| Locked::Wrong)?;
        let length = opened.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Says whether `tag` over `message` was made with this passphrase (RFC 7292, appendix A).
pub(super) fn authenticate(
    message: &[u8],
    tag: &[u8],
    (hash, salt, rounds): (&Oid<'_>, &[u8], u64),
    with: &Passphrase,
    work: &mut Work,
) -> Result<(), Locked> {
    let known = [
        (
            oid!(1.3.14.3.2.26),
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        ),
        (oid!(2.16.840.1.101.3.4.2.1), &digest::SHA256, hmac::HMAC_SHA256),
        (oid!(2.16.840.1.101.3.4.2.2), &digest::SHA384, hmac::HMAC_SHA384),
        (oid!(2.16.840.1.101.3.4.2.3), &digest::SHA512, hmac::HMAC_SHA512),
    ];
    let Some((_, hash, algorithm)) = known.into_iter().find(|(name, ..)| name == hash) else {
        return Err(Locked::Unsupported(format!("an integrity check by {hash}")));
    };
    let derived = Derived { hash, salt, rounds, with };
    let key = derived.bytes(3, hash.output_len(), work)?;
    hmac::verify(&hmac::Key::new(algorithm, &key), message, tag)
        .map_err(|_unspecified| Locked::Wrong)
}

/// Key derivation of RFC 7292, appendix B.2.
struct Derived<'a> {
    hash: &'static digest::Algorithm,
    salt: &'a [u8],
    rounds: u64,
    with: &'a Passphrase,
}

impl Derived<'_> {
    /// `purpose`: 1 for a key, 2 for an initial vector, 3 for a key of a MAC.
    fn bytes(
        &self,
        purpose: u8,
        length: usize,
        work: &mut Work,
    ) -> Result<Zeroizing<Vec<u8>>, Locked> {
        let block = self.hash.block_len();
        let fill = |bytes: &[u8]| {
            let whole = bytes.len().div_ceil(block) * block;
            Zeroizing::new(bytes.iter().copied().cycle().take(whole).collect::<Vec<_>>())
        };
        let mut input = Zeroizing::new([&**fill(self.salt), &**fill(&self.with.bmp)].concat());
        let mut output = Zeroizing::new(Vec::with_capacity(length + self.hash.output_len()));
        while output.len() < length {
            work.take(self.rounds)?;
            let first = Zeroizing::new([&vec![purpose; block], &**input].concat());
            let mut sum = digest::digest(self.hash, &first);
            for _ in 1..self.rounds {
                sum = digest::digest(self.hash, sum.as_ref());
            }
            output.extend_from_slice(sum.as_ref());
            input.chunks_mut(block).for_each(|chunk| add_and_one(chunk, sum.as_ref()));
        }
        output.truncate(length);
        Ok(output)
    }
}

/// `number` + `repeated` + 1, big endian, without what does not fit.
fn add_and_one(number: &mut [u8], repeated: &[u8]) {
    let filled: Vec<u8> = repeated.iter().copied().cycle().take(number.len()).collect();
    let mut carry = 1_u16;
    for (digit, other) in number.iter_mut().zip(&filled).rev() {
        let [high, low] = (u16::from(*digit) + u16::from(*other) + carry).to_be_bytes();
        *digit = low;
        carry = high.into();
    }
}
