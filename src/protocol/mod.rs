//! What healthcare's protocols say of themselves: framing and headers, never patient data.
//!
//! Pure: bytes and texts in, words of the standards out. What is read is borrowed from what came in, and
//! nothing here keeps it.

pub mod dicom;
pub mod dicomweb;
pub mod fhir;
mod hex;
pub mod http;
pub mod ihe;
pub mod mllp;
pub mod shape;
pub mod soap;

use std::sync::Arc;

/// What an HTTP request is in the words of healthcare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A FHIR interaction, and the type of resource that it is about, if it is about one.
    Fhir(fhir::Interaction, Option<&'static str>),
    /// A DICOMweb transaction.
    DicomWeb(dicomweb::Transaction),
    /// A SOAP action, and the IHE transaction that it is, like `ITI-47`.
    Soap(Arc<str>, Option<&'static str>),
}
