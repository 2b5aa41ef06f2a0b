//! What a request below a base is: one place where the readers of protocols are asked.

use crate::protocol::{dicomweb, fhir};

/// The FHIR interaction, and the type of its resource, if it has one.
pub(super) fn fhir(
    _method: &str,
    _below: &str,
) -> Option<(fhir::Interaction, Option<&'static str>)> {
    None
}

/// The DICOMweb transaction.
pub(super) fn dicomweb(_method: &str, _below: &str) -> Option<dicomweb::Transaction> {
    None
}
