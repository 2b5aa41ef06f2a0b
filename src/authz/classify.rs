//! What a request below a base is: the one place where the readers of such paths are asked.

use super::policy::Requested;
use crate::protocol::{dicomweb, fhir};

/// The FHIR interaction.
pub(super) fn fhir<'a>(asked: &Requested<'_>, below: &'a str) -> Option<fhir::Asked<'a>> {
    fhir::classify(asked.method.as_str(), below)
}

/// The types of resources that a FHIR interaction gets at beside its own.
pub(super) fn reach(asked: &Requested<'_>, interaction: &fhir::Asked<'_>) -> fhir::Reach {
    fhir::Reach::of(interaction, asked.query.into_iter().chain(asked.condition)).and(asked.reached)
}

/// The DICOMweb transaction.
pub(super) fn dicomweb(asked: &Requested<'_>, below: &str) -> Option<dicomweb::Transaction> {
    dicomweb::classify(asked.method.as_str(), below).map(|asked| asked.transaction)
}
