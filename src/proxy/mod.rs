//! Moves bytes between two streams, once somebody else has decided that they may.

pub mod l7;
