//! Names of healthcare's standards, with the nearest one for those that are misspelt.

use std::sync::Arc;

use crate::config::nearest::nearest;
use crate::config::problem::Fault;
use crate::protocol::ihe::{self, Transaction};
use crate::protocol::{dicom, dicomweb, fhir};

/// An IHE transaction over SOAP, in any case.
pub(super) fn transaction(text: &str) -> Result<&'static Transaction, Fault> {
    ihe::find(text).ok_or_else(|| {
        let fault = Fault::new("is not an IHE transaction over SOAP that this release knows");
        // One digit makes another transaction: nothing is near to a number.
        fault.hint(match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            true => "write it with its domain, like ITI-47".to_owned(),
            false => format!(
                "known: {}; name others by `soap_action`",
                ihe::ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
            ),
        })
    })
}

/// A FHIR interaction.
pub(super) fn interaction(text: &str) -> Result<fhir::Interaction, Fault> {
    let all = fhir::Interaction::ALL;
    all.into_iter().find(|known| known.code() == text).ok_or_else(|| {
        let hint = "as CapabilityStatements have it";
        among(text, "is not a FHIR interaction", all.into_iter().map(fhir::Interaction::code), hint)
    })
}

/// A type of FHIR resources.
pub(super) fn resource(text: &str) -> Result<Arc<str>, Fault> {
    if fhir::is_resource(text) {
        return Ok(text.into());
    }
    let fault = Fault::new("is not a type of FHIR resources");
    Err(match nearest(text, fhir::RESOURCES.into_iter()) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("write it like Patient or DocumentReference"),
    })
}

/// A DICOMweb transaction.
pub(super) fn dicomweb(text: &str) -> Result<dicomweb::Transaction, Fault> {
    let all = dicomweb::Transaction::ALL;
    all.into_iter().find(|known| known.name() == text).ok_or_else(|| {
        let names = all.into_iter().map(dicomweb::Transaction::name);
        among(text, "is not a DICOMweb transaction", names, "or `dicomweb: all`")
    })
}

/// A SOP class, by its keyword.
pub(super) fn sop_class(text: &str) -> Result<Arc<str>, Fault> {
    dicom::sop_class(text).map(Arc::from).ok_or_else(|| {
        let fault = Fault::new("is not the keyword of a SOP class");
        match nearest(text, dicom::sop_class_names()) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault.hint("write it like CTImageStorage, or write its UID"),
        }
    })
}

/// What is wrong with `text`, which is none of `names`.
fn among(
    text: &str,
    wrong: &str,
    names: impl Iterator<Item = &'static str> + Clone,
    other: &str,
) -> Fault {
    let fault = Fault::new(wrong);
    match nearest(text, names.clone()) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint(format!("one of {}; {other}", names.collect::<Vec<_>>().join(", "))),
    }
}
