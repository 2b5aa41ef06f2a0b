//! Signed notes (C2SP `signed-note`): a text, an empty line, and a line for each signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyId, Signer, Verifier};

/// What a line with a signature begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// Longest note that is read.
const LONGEST: usize = 64 * 1024;
/// Most signatures that a note may have. Those of a checkpoint are one, or two when keys change.
const SIGNATURES: usize = 64;

/// A text, and who signed it, so they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<(KeyId, Vec<u8>)>,
}

/// A text that is no signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANote {
    /// It is not of this form.
    #[error(
        "this is no signed note: text, an empty line, and lines of `\u{2014} NAME SIGNATURE` are expected"
    )]
    Form,
    /// It is longer than any note that is written here.
    #[error("a signed note of more than {LONGEST} bytes is not read")]
    TooLong,
}

impl Note {
    /// `text`, which ends with a newline, signed by each of `signers`. `None` without randomness.
    pub fn sign(text: String, signers: &[&Signer]) -> Option<Self> {
        let signed = |signer: &&Signer| {
            Some((signer.verifier().key_id().clone(), signer.sign(text.as_bytes()).ok()?))
        };
        let signatures = signers.iter().map(signed).collect::<Option<_>>()?;
        Some(Self { text, signatures })
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(note: &str) -> Result<Self, NotANote> {
        if note.len() > LONGEST {
            return Err(NotANote::TooLong);
        }
        let has_control = note.bytes().any(|byte| byte < b' ' && byte != b'\n');
        let split = note.rfind("\n\n").filter(|_| !has_control).ok_or(NotANote::Form)?;
        let (text, signatures) = note.split_at(split + 1);
        let signatures = signatures.strip_prefix('\n').unwrap_or_default();
        let lines = signatures.strip_suffix('\n').ok_or(NotANote::Form)?.split('\n');
        let signatures: Option<Vec<_>> = lines.take(SIGNATURES + 1).map(signature).collect();
        match signatures {
            Some(signatures) if signatures.len() <= SIGNATURES => {
                Ok(Self { text: text.to_owned(), signatures })
            }
            Some(_) | None => Err(NotANote::Form),
        }
    }

    /// The text, its last newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who signed it, so they say.
    pub fn signers(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.iter().map(|(key, _)| key)
    }

    /// Whether `key` has signed it: nothing of other keys counts, and each of this key's must be good.
    pub fn is_signed_by(&self, key: &Verifier) -> bool {
        let mut of_key = self.signatures.iter().filter(|(of, _)| of == key.key_id()).peekable();
        of_key.peek().is_some()
            && of_key.all(|(_, signature)| key.verifies(self.text.as_bytes(), signature))
    }
}

fn signature(line: &str) -> Option<(KeyId, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let signature = STANDARD.decode(signature).ok()?;
    let (id, signature) = signature.split_first_chunk()?;
    let is_good = !name.is_empty() && !name.contains('+') && !signature.is_empty();
    is_good.then(|| (KeyId { name: name.to_owned(), id: *id }, signature.to_vec()))
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for (KeyId { name, id }, signature) in &self.signatures {
            writeln!(f, "{DASH}{name} {}", STANDARD.encode([id, signature.as_slice()].concat()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyAlgorithm;

    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_note_of_the_specification_is_read_written_and_believed() {
        let note = Note::parse(NOTE).unwrap();

        assert_eq!(note.to_string(), NOTE);
        assert_eq!(note.text(), "This is an example message.\n");
        assert!(note.is_signed_by(&Verifier::parse(KEY).unwrap()));
    }

    #[test]
    fn a_changed_note_and_a_strangers_are_not_believed() {
        let key = Verifier::parse(KEY).unwrap();
        let stranger = Signer::generate("example.com/foo", KeyAlgorithm::Ed25519).unwrap();

        let changed = Note::parse(&NOTE.replace("an example", "another")).unwrap();
        let theirs = Note::sign("This is an example message.\n".into(), &[&stranger]).unwrap();

        assert!(!changed.is_signed_by(&key));
        assert!(!theirs.is_signed_by(&key) && theirs.is_signed_by(stranger.verifier()));
    }

    #[test]
    fn two_keys_sign_one_note() {
        let keys = ["a", "b"].map(|name| Signer::generate(name, KeyAlgorithm::EcdsaP256).unwrap());

        let note = Note::sign("text\n\nmore\n".into(), &[&keys[0], &keys[1]]).unwrap();
        let read = Note::parse(&note.to_string()).unwrap();

        assert_eq!(read.text(), "text\n\nmore\n");
        assert!(keys.iter().all(|key| read.is_signed_by(key.verifier())));
        assert_eq!(read.signers().map(|key| &*key.name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_note_is_not_taken_for_one() {
        let line = NOTE.split("\n\n").nth(1).unwrap();
        for bad in [
            "",
            "text\n",
            "text\n\n",
            "text\n\nname signature\n",
            &format!("text\n{line}"),
            &format!("te\rxt\n\n{line}"),
            &format!("text\n\n{}", line.trim_end()),
            &format!("text\n\n{line}\n"),
            &format!("text\n\n{}", line.repeat(65)),
        ] {
            assert_eq!(Note::parse(bad), Err(NotANote::Form), "{bad}");
        }
        assert_eq!(Note::parse(&"a".repeat(70_000)), Err(NotANote::TooLong));
    }
}
