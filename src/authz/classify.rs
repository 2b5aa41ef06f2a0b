//! What a request below a base is: the one place where the readers of such paths are asked.

use crate::protocol::{dicomweb, fhir};

/// The FHIR interaction, and the type of its resource, if it has one.
pub(super) fn fhir(method: &str, below: &str) -> Option<(fhir::Interaction, Option<&'static str>)> {
    fhir::classify(method, below).map(|asked| (asked.interaction, asked.resource))
}

/// The DICOMweb transaction.
pub(super) fn dicomweb(method: &str, below: &str) -> Option<dicomweb::Transaction> {
    dicomweb::classify(method, below).map(|asked| asked.transaction)
}
