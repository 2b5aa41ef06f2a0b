//! Moves bytes under a permit.

pub mod l4;
