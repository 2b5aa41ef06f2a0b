//! Proofs in files (C2SP `tlog-proof`): one line of a trail, its place in the tree, and a checkpoint of that tree.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, NotACheckpoint};
use super::note::{NotANote, Note};
use super::tree::{Hash, Inclusion, leaf};

/// What a proof begins with.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes on the way to a root: a tree has fewer than 2^64 leaves.
const LONGEST_PATH: usize = 64;

/// Proof that a line stands in a tree, and whose tree it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The line, without its newline. The specification's `extra`: it proves nothing before [`Self::holds`].
    pub line: Vec<u8>,
    /// Its place, from 0.
    pub index: u64,
    /// The other halves on the way from the leaf to the root.
    pub path: Vec<Hash>,
    /// The checkpoint as it was signed.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// A text that is no proof of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAProof {
    /// It is not of this form.
    #[error(
        "this is no proof of a record: `{HEADER}`, `extra BASE64`, `index NUMBER`, hashes, an empty line and a \
         checkpoint are expected"
    )]
    Form,
    /// What it holds behind the empty line is no signed note.
    #[error("the proof's checkpoint")]
    Note(#[source] NotANote),
    /// The note is no checkpoint.
    #[error("the proof's checkpoint")]
    Checkpoint(#[source] NotACheckpoint),
}

impl Proof {
    /// Reads a proof. One without a line in its `extra` proves nothing of a trail, and is none.
    ///
    /// # Errors
    ///
    /// It is of another form.
    pub fn parse(text: &str) -> Result<Self, NotAProof> {
        let (head, note) = text.split_once("\n\n").ok_or(NotAProof::Form)?;
        let (line, index, path) = parse_head(head).ok_or(NotAProof::Form)?;
        let note = Note::parse(note).map_err(NotAProof::Note)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(NotAProof::Checkpoint)?;
        Ok(Self { line, index, path, note, checkpoint })
    }

    /// Whether the line stands at its place in the tree that the checkpoint is of. Who signed that is another
    /// question.
    pub fn holds(&self) -> bool {
        let Self { index, path, checkpoint, .. } = self;
        let inclusion = Inclusion { index: *index, size: checkpoint.size, path: path.clone() };
        inclusion.root(leaf(&self.line)) == Some(checkpoint.root)
    }
}

fn parse_head(head: &str) -> Option<(Vec<u8>, u64, Vec<Hash>)> {
    let mut lines = head.split('\n');
    lines.next().filter(|line| *line == HEADER)?;
    let line = STANDARD.decode(lines.next()?.strip_prefix("extra ")?).ok()?;
    let index = lines.next()?.strip_prefix("index ")?;
    let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
    let index =
        index.parse().ok().filter(|_| is_number && (index == "0" || !index.starts_with('0')))?;
    let hash = |line| STANDARD.decode(line).ok()?.try_into().ok();
    let path = lines.by_ref().take(LONGEST_PATH).map(hash).collect::<Option<_>>()?;
    lines.next().is_none().then_some((line, index, path))
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, index, path, note, .. } = self;
        writeln!(f, "{HEADER}\nextra {}\nindex {index}", STANDARD.encode(line))?;
        path.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{note}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::seal::{Prover, Signer, Tree};
    use crate::config::KeyAlgorithm;

    /// Of the second of three lines.
    fn proof() -> Proof {
        let mut prover = Prover::new(Tree::default(), 1);
        [b"a", b"b", b"c"].iter().for_each(|line| prover.push(leaf(*line)));
        let key = Signer::generate("hospital.example/ehr", KeyAlgorithm::Ed25519).unwrap();
        let checkpoint = Checkpoint::of("hospital.example/ehr", prover.tree());
        let note = Note::sign(checkpoint.to_string(), &[&key]).unwrap();
        let Inclusion { index, path, .. } = prover.prove().unwrap();
        Proof { line: b"b".to_vec(), index, path, note, checkpoint }
    }

    #[test]
    fn a_proof_is_written_as_the_specification_has_it_and_read_again() {
        let proof = proof();

        let text = proof.to_string();
        let lines: Vec<_> = text.lines().collect();

        assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra Yg==", "index 1"]);
        assert_eq!((lines[5], lines[6], lines[7]), ("", "hospital.example/ehr", "3"));
        assert_eq!(Proof::parse(&text), Ok(proof.clone()));
        assert!(proof.holds());
    }

    #[test]
    fn a_proof_in_which_anything_differs_does_not_hold() {
        let good = proof();
        let stranger = leaf(b"x");
        for bad in [
            Proof { line: b"B".to_vec(), ..good.clone() },
            Proof { index: 0, ..good.clone() },
            Proof { path: vec![good.path[0], stranger], ..good.clone() },
            Proof { path: good.path[..1].to_vec(), ..good.clone() },
            Proof { checkpoint: Checkpoint { size: 5, ..good.checkpoint.clone() }, ..good.clone() },
            Proof {
                checkpoint: Checkpoint { root: stranger, ..good.checkpoint.clone() },
                ..good.clone()
            },
        ] {
            assert!(!bad.holds(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_proof_is_not_taken_for_one() {
        let text = proof().to_string();
        let hash = text.lines().nth(3).unwrap();
        for bad in [
            "",
            "c2sp.org/tlog-proof@v1\n\n",
            &text.replace("@v1", "@v2"),
            &text.replace("extra Yg==\n", ""),
            &text.replace("extra Yg==", "extra Yg"),
            &text.replace("index 1", "index 01"),
            &text.replace("index 1", "index +1"),
            &text.replace("index 1\n", ""),
            &text.replace(hash, "AAAA"),
            &text.replace(hash, &[hash; 65].join("\n")),
        ] {
            assert_eq!(Proof::parse(bad), Err(NotAProof::Form), "{bad}");
        }
        let (head, _) = text.split_once("\n\n").unwrap();
        let unsigned = Proof::parse(&format!("{head}\n\nunsigned\n"));
        assert_eq!(unsigned, Err(NotAProof::Note(NotANote::Form)));
    }
}
