//! `myelin.fhir`, `myelin.dicomweb`, `myelin.soap`, `myelin.hl7` and `myelin.dicom`: what was asked for, in
//! the words of healthcare. Never who the patient is.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::audit::line::text::Text;
use crate::audit::record::{Dicom, Hl7, Record, Words};
use crate::protocol::dicom::{Commands, sop_class_name};
use crate::protocol::{Operation, dicomweb, fhir};

/// The part of `myelin` that has what was asked for.
#[derive(Default, Serialize)]
pub(in crate::audit) struct OperationFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fhir: Option<Fhir<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dicomweb: Option<DicomWeb<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soap: Option<Soap<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hl7: Option<Hl7Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dicom: Option<DicomFields<'a>>,
}

#[derive(Serialize)]
struct Fhir<'a> {
    interaction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subject: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parameters: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    other_parameters: Option<usize>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reaches: &'a [&'static str],
}

#[derive(Serialize)]
struct DicomWeb<'a> {
    transaction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    study: Option<&'a str>,
}

#[derive(Serialize)]
struct Soap<'a> {
    action: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ihe: Option<&'static str>,
}

#[derive(Serialize)]
struct Hl7Fields<'a> {
    number: u64,
    from: &'static str,
    #[serde(rename = "type")]
    kind: Text<'a>,
    sending: Ends<'a>,
    receiving: Ends<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_id: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    processing_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    batch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_acknowledgement: Option<Accepted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledgement: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    acknowledgements: BTreeMap<&'static str, u32>,
}

#[derive(Serialize)]
struct Accepted {
    code: &'static str,
    /// Nanoseconds since the message.
    duration: u128,
}

#[derive(Serialize)]
struct Ends<'a> {
    application: Text<'a>,
    facility: Text<'a>,
}

#[derive(Serialize)]
struct DicomFields<'a> {
    calling_ae: Text<'a>,
    called_ae: Text<'a>,
    contexts: Vec<Context<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    implementation: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_units: Option<BothWays<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<BothWays<Counts<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
}

#[derive(Serialize)]
struct Context<'a> {
    abstract_syntax: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sop_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

#[derive(Serialize)]
struct BothWays<T> {
    up: T,
    down: T,
}

/// How often each service was asked for, by its label.
struct Counts<'a>(&'a Commands);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl<'a> OperationFields<'a> {
    /// What `record` has of it.
    pub(in crate::audit) fn of(record: &'a Record) -> Self {
        let hl7 = record.hl7.as_ref().map(Hl7Fields::of);
        let dicom = record.dicom.as_ref().map(DicomFields::of);
        let asked = Self { hl7, dicom, ..Self::default() };
        let request = record.request.as_ref();
        let words = request.and_then(|request| request.words.as_deref());
        match request.and_then(|request| request.operation.as_ref()) {
            Some(Operation::Fhir(interaction, resource)) => {
                Self { fhir: Some(Fhir::of(*interaction, *resource, words)), ..asked }
            }
            Some(Operation::DicomWeb(transaction)) => {
                Self { dicomweb: Some(DicomWeb::of(*transaction, words)), ..asked }
            }
            Some(Operation::Soap(action, ihe)) => {
                Self { soap: Some(Soap { action: Text::short(action), ihe: *ihe }), ..asked }
            }
            None => asked,
        }
    }
}

impl<'a> Fhir<'a> {
    fn of(
        interaction: fhir::Interaction,
        resource: Option<&'a str>,
        words: Option<&'a Words>,
    ) -> Self {
        Self {
            interaction: interaction.code(),
            resource,
            subject: words.map_or(&[], |words| &words.subjects),
            parameters: words.map_or(&[], |words| &words.parameters),
            other_parameters: words.map(|words| words.other_parameters).filter(|count| *count > 0),
            reaches: words.map_or(&[], |words| &words.reaches),
        }
    }
}

impl<'a> DicomWeb<'a> {
    fn of(transaction: dicomweb::Transaction, words: Option<&'a Words>) -> Self {
        let study = words.and_then(|words| words.subjects.first()).map(String::as_str);
        Self { transaction: transaction.name(), study }
    }
}

impl<'a> Hl7Fields<'a> {
    fn of(hl7: &'a Hl7) -> Self {
        Self {
            number: hl7.number,
            from: hl7.from.label(),
            kind: Text::short(&hl7.kind),
            sending: Ends {
                application: Text::short(&hl7.sending_application),
                facility: Text::short(&hl7.sending_facility),
            },
            receiving: Ends {
                application: Text::short(&hl7.receiving_application),
                facility: Text::short(&hl7.receiving_facility),
            },
            control_id: hl7.control_id.as_deref(),
            processing_id: &hl7.processing_id,
            version: &hl7.version,
            batch: hl7.is_batch,
            messages: hl7.messages,
            accept_acknowledgement: hl7
                .accepted
                .map(|(code, after)| Accepted { code, duration: after.as_nanos() }),
            acknowledgement: hl7.acknowledgement,
            acknowledgements: hl7.acknowledgements.iter().copied().collect(),
        }
    }
}

impl<'a> DicomFields<'a> {
    fn of(dicom: &'a Dicom) -> Self {
        let (up, down) = dicom.data_units;
        let commands = dicom.commands.as_deref();
        Self {
            calling_ae: Text::short(&dicom.calling_ae),
            called_ae: Text::short(&dicom.called_ae),
            contexts: dicom
                .contexts
                .iter()
                .map(|context| Context {
                    abstract_syntax: Text::short(&context.abstract_syntax),
                    sop_class: sop_class_name(&context.abstract_syntax),
                    accepted: context.accepted,
                })
                .collect(),
            implementation: dicom.implementation.as_deref().map(Text::short),
            data_units: dicom.result.map(|_| BothWays { up, down }),
            commands: commands.map(|(up, down)| BothWays { up: Counts(up), down: Counts(down) }),
            result: dicom.result,
        }
    }
}
