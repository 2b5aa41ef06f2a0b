//! What has to hold for any input at all. The fuzzers look for one for which it does not; the corpora, and
//! variations on them, are tried with every run of the tests.

mod config;
mod dicom;
mod dicomweb_path;
mod fhir_path;
mod fhir_query;
mod mllp;
mod soap;

/// A property: it panics when it does not hold.
pub(super) type Property = fn(&[u8]);

/// Each parser that reads what strangers send, with the name of its corpus and its property.
pub(super) const TARGETS: &[(&str, Property)] = &[
    ("config", config::check),
    ("dicom", dicom::check),
    ("dicomweb_path", dicomweb_path::check),
    ("fhir_path", fhir_path::check),
    ("fhir_query", fhir_query::check),
    ("mllp", mllp::check),
    ("soap", soap::check),
];
