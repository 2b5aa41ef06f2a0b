//! Pseudonyms: what stands in records for an id that may be a patient's number.
//!
//! Whoever has the key can ask the trail who had access to a patient; whoever has only the trail cannot even
//! try all numbers. A plain hash would not do: patients' numbers can be counted through.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::config::Config;

/// Fewest bytes of a key: as many as the hash has.
const KEY_BYTES: usize = 32;
/// More than any key's file has.
const FILE_BYTES: u64 = 4096;
/// How much of the HMAC stands in records: no two ids of a country meet.
const KEPT_BYTES: usize = 16;
/// How much of the key's hash names it.
const NAME_BYTES: usize = 4;

/// Makes pseudonyms with one key, for one trust domain.
pub struct Pseudonyms {
    key: hmac::Key,
    /// Names the key, so that an investigator knows which one a record was made with.
    name: String,
    tenant: String,
}

/// A key file that is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum PseudonymsError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read or replace it.
    #[error("{path} can be read or written by other users (mode {mode:04o}): chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in it is no key.
    #[error(
        "{path} holds no key: it is to hold at least {KEY_BYTES} random bytes in base64 or hexadecimal, \
         like `openssl rand -hex {KEY_BYTES}` makes them"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

impl Pseudonyms {
    /// What stands for the type of a DICOM study.
    pub const STUDY: &'static str = "Study";
    /// What stands for the type of an HL7 v2 message's control identifier.
    pub const MESSAGE: &'static str = "MSH-10";

    /// What `config` asks for, if it asks for pseudonyms.
    ///
    /// # Errors
    ///
    /// Says why the key is not to be used.
    pub fn of(config: &Config) -> Result<Option<Self>, PseudonymsError> {
        let settings = config.audit.as_ref().and_then(|audit| audit.pseudonyms.as_ref());
        let tenant = config.trust_domain.to_string();
        settings.map(|settings| Self::load(&settings.key_file, &tenant)).transpose()
    }

    /// Reads the key from `path`, for the trust domain `tenant`.
    ///
    /// # Errors
    ///
    /// Says why the file is not to be used.
    fn load(path: &Path, tenant: &str) -> Result<Self, PseudonymsError> {
        let unreadable = |source| PseudonymsError::Unreadable { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        // The group may read: that is how orchestrators hand a secret to a user who is not root.
        if mode & 0o037 != 0 {
            return Err(PseudonymsError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let key =
            key(text.trim()).ok_or_else(|| PseudonymsError::NoKey { path: path.to_owned() })?;
        Ok(Self::new(&key, tenant))
    }

    fn new(key: &[u8], tenant: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key);
        let name = digest.as_ref().get(..NAME_BYTES).unwrap_or_default();
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            name: hex::encode(name),
            tenant: tenant.to_owned(),
        }
    }

    /// The pseudonym of `id`, which is one of `kind`: the key's name, a colon, and 128 bits of
    /// HMAC-SHA-256 in base64url. What goes into it is the trust domain, the kind and the id, each behind its
    /// length in four bytes, big endian.
    pub fn pseudonym(&self, kind: &str, id: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [self.tenant.as_str(), kind, id] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            context.update(&length.to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        let kept = tag.as_ref().get(..KEPT_BYTES).unwrap_or_default();
        format!("{}:{}", self.name, URL_SAFE_NO_PAD.encode(kept))
    }
}

/// The key in hexadecimal or base64, in whatever dialect of it.
fn key(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let relaxed =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, relaxed);
    let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, relaxed);
    let key = hex::decode(text)
        .ok()
        .or_else(|| standard.decode(text).ok())
        .or_else(|| url_safe.decode(text).ok())
        .map(Zeroizing::new)?;
    (key.len() >= KEY_BYTES).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_pseudonym_can_be_made_again_with_openssl() {
        let (_dir, path) = file(HEX, 0o600);

        let pseudonym =
            Pseudonyms::load(&path, "hospital.example").unwrap().pseudonym("Patient", "4711");

        // printf '\0\0\0\020hospital.example\0\0\0\007Patient\0\0\0\0044711' | openssl dgst -sha256 -mac HMAC
        //   -macopt hexkey:$KEY -binary | head -c 16 | basenc --base64url | tr -d =
        assert_eq!(pseudonym, "630dcd29:az-e44-8YUI7vqIcBlabWA");
    }

    #[test]
    fn the_same_key_in_another_form_is_the_same_key() {
        let keys = [
            HEX.to_owned(),
            HEX.to_uppercase(),
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".to_owned(),
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".to_owned(),
        ];
        let pseudonyms: Vec<_> = keys
            .iter()
            .map(|text| file(text, 0o600))
            .map(|(_dir, path)| Pseudonyms::load(&path, "h").unwrap().pseudonym("Patient", "1"))
            .collect();
        assert!(pseudonyms.iter().all(|other| *other == pseudonyms[0]), "{pseudonyms:?}");
    }

    #[test]
    fn another_type_id_domain_or_key_has_another_pseudonym() {
        let make = |key: &[u8], tenant, kind, id| Pseudonyms::new(key, tenant).pseudonym(kind, id);
        let one = make(&[1; 32], "a", "Patient", "12");

        assert_ne!(one, make(&[2; 32], "a", "Patient", "12"));
        assert_ne!(one, make(&[1; 32], "b", "Patient", "12"));
        assert_ne!(one, make(&[1; 32], "a", "Person", "12"));
        assert_ne!(one, make(&[1; 32], "a", "Patient1", "2"));
        assert_ne!(one, make(&[1; 32], "aPatient", "", "12"));
    }

    #[test]
    fn a_file_that_is_no_key_or_not_private_is_refused_with_the_mend() {
        for (text, mode) in [(HEX, 0o644), (HEX, 0o620), (HEX, 0o604)] {
            let (_dir, path) = file(text, mode);
            let error = Pseudonyms::load(&path, "h").err().unwrap().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        for text in ["", "secret", &HEX[..62], "!"] {
            let (_dir, path) = file(text, 0o600);
            let error = Pseudonyms::load(&path, "h").err().unwrap().to_string();
            assert!(error.contains("openssl rand -hex 32"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let gone = Pseudonyms::load(Path::new("/nonexistent"), "h");
        assert!(matches!(gone, Err(PseudonymsError::Unreadable { .. })));
        let (_dir, path) = file(HEX, 0o640);
        assert!(Pseudonyms::load(&path, "h").is_ok());
    }
}
