//! One record, proven to somebody who has nothing else of the trail but a checkpoint or a key.

mod check;
mod prove;

pub use check::{Proven, Unproven, verify_proof};
pub use prove::{NoProof, prove};
