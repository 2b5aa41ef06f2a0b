//! What seals a trail: a Merkle tree over its lines (RFC 6962) and signed checkpoints of it (C2SP
//! `tlog-checkpoint` in a `signed-note`), and proofs of single lines (`tlog-proof`). Pure: no files, no clock.

mod checkpoint;
mod key;
mod note;
mod proof;
mod tree;

pub use checkpoint::{Checkpoint, NotACheckpoint};
pub use key::{KeyId, KeyNotMade, NoKey, Signer, Verifier};
pub use note::{NotANote, Note};
pub use proof::{NotAProof, Proof};
pub use tree::{Hash, Inclusion, Prover, Tree, leaf};
