//! `myelin.fhir`, `myelin.dicomweb`, `myelin.soap`, `myelin.hl7` and `myelin.dicom`, as they are read back.

use serde::Deserialize;

/// `myelin.fhir`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedFhir {
    /// Its code.
    pub interaction: String,
    /// A type of resources.
    pub resource: Option<String>,
    /// Pseudonyms of the resources.
    #[serde(default)]
    pub subject: Vec<String>,
    /// Names of search parameters.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// Types of resources that it got at beside its own; `*` where that may have been any type.
    #[serde(default)]
    pub reaches: Vec<String>,
}

/// `myelin.dicomweb`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedDicomWeb {
    /// Its name.
    pub transaction: String,
    /// Pseudonym of the study.
    pub study: Option<String>,
}

/// `myelin.soap`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSoap {
    /// Its URI.
    pub action: String,
    /// The IHE transaction.
    pub ihe: Option<String>,
}

/// `myelin.hl7`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedHl7 {
    /// `peer` or `workload`.
    #[serde(default)]
    pub from: String,
    /// MSH-9 as `ADT^A01`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MSH-3 and MSH-4.
    pub sending: RecordedEnds,
    /// MSH-5 and MSH-6.
    #[serde(default)]
    pub receiving: RecordedEnds,
    /// Pseudonym of MSH-10.
    pub control_id: Option<String>,
    /// It is a file or a batch.
    #[serde(default)]
    pub batch: bool,
    /// MSA-1 of the acknowledgement.
    pub acknowledgement: Option<String>,
}

/// `myelin.hl7.sending`, `myelin.hl7.receiving`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RecordedEnds {
    /// MSH-3 or MSH-5
    pub application: String,
    /// MSH-4 or MSH-6
    pub facility: String,
}

/// `myelin.dicom`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedDicom {
    /// The calling AE title.
    pub calling_ae: String,
    /// The called AE title.
    pub called_ae: String,
    /// What was proposed.
    #[serde(default)]
    pub contexts: Vec<RecordedContext>,
    /// Implementation class UID and version name of who asked.
    pub implementation: Option<String>,
    /// How it ended.
    pub result: Option<String>,
}

/// An item of `myelin.dicom.contexts`
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedContext {
    /// UID of its abstract syntax.
    pub abstract_syntax: String,
    /// The name of the SOP class, if it is known.
    pub sop_class: Option<String>,
    /// Whether the called side accepted it.
    pub accepted: Option<bool>,
}
