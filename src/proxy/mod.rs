//! Moves bytes under a permit.

pub mod dicom;
pub mod l4;
pub mod l7;
pub mod mllp;
mod stream;
