//! A record as a row: named fields, each a text, a number or nothing. They are the columns of CSV, and what records
//! are sorted and grouped by.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::audit::line::text::Timestamp;
use crate::audit::read::{Recorded, RecordedEnds};

/// A field's value. Nothing comes before numbers, and these before texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value<'a> {
    /// It is not known, or there is no such thing.
    Nothing,
    /// A number.
    Number(u64),
    /// An address: sorted as one.
    Address(IpAddr),
    /// A text.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// The same, kept for longer than its record.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Nothing => Value::Nothing,
            Self::Number(number) => Value::Number(number),
            Self::Address(ip) => Value::Address(ip),
            Self::Text(text) => Value::Text(text.into_owned().into()),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_none(),
            Self::Number(number) => to.serialize_u64(*number),
            Self::Address(ip) => ip.serialize(to),
            Self::Text(text) => to.serialize_str(text),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Number(number) => number.fmt(f),
            Self::Address(ip) => ip.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

impl From<Option<IpAddr>> for Value<'_> {
    fn from(ip: Option<IpAddr>) -> Self {
        ip.map_or(Self::Nothing, Self::Address)
    }
}

impl<'a> From<Option<&'a String>> for Value<'a> {
    fn from(text: Option<&'a String>) -> Self {
        text.map_or(Self::Nothing, |text| text.as_str().into())
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Nothing, Self::from)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text.into()) }
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Nothing, |text| Self::Text(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Text(if yes { "true" } else { "false" }.into())
    }
}

/// A named field of a record.
#[derive(Clone, Copy)]
pub struct Field {
    name: &'static str,
    look: for<'a> fn(&'a Recorded) -> Value<'a>,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// All, in the order of CSV's columns. New ones are added at the end.
    pub const ALL: &'static [Self] = FIELDS;

    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|field| field.name == name).copied()
    }

    /// Its name, stable.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// What `recorded` has there.
    pub fn of(self, recorded: &Recorded) -> Value<'_> {
        (self.look)(recorded)
    }
}

/// Makes the table below readable.
const fn field(name: &'static str, look: for<'a> fn(&'a Recorded) -> Value<'a>) -> Field {
    Field { name, look }
}

const FIELDS: &[Field] = &[
    field("time", |r| Some(Timestamp(r.at).to_string()).into()),
    field("sequence", |r| Value::Number(r.event.sequence)),
    field("service", |r| r.service.name.as_str().into()),
    field("action", |r| r.event.action.as_str().into()),
    field("outcome", |r| r.event.outcome.as_str().into()),
    field("reason", |r| r.event.reason.as_ref().into()),
    field("count", |r| Value::Number(r.count())),
    field("listener", |r| r.myelin.listener.as_ref().into()),
    field("direction", |r| direction(r).into()),
    field("protocol", |r| protocol(r).into()),
    field("phi", |r| r.myelin.listener.as_ref().map_or(Value::Nothing, |_| r.myelin.phi.into())),
    field("peer", |r| r.myelin.peer.as_ref().into()),
    field("identity", |r| r.myelin.identity.as_ref().into()),
    field("source_ip", |r| r.source.as_ref().and_then(|side| side.ip).into()),
    field("source_port", |r| r.source.as_ref().and_then(|side| side.port).map(u64::from).into()),
    field("destination_ip", |r| r.destination.as_ref().and_then(|side| side.ip).into()),
    field("destination_port", |r| {
        r.destination.as_ref().and_then(|side| side.port).map(u64::from).into()
    }),
    field("endpoint", |r| r.myelin.endpoint.as_ref().into()),
    field("rule", |r| r.rule.as_ref().map(|rule| &rule.name).into()),
    field("policy", |r| r.rule.as_ref().map(|rule| &rule.version).into()),
    field("method", |r| r.http.as_ref().map(|http| &http.request.method).into()),
    field("path", |r| r.url.as_ref().map(|url| &url.path).into()),
    field("operation", |r| operation(r).into()),
    field("resource", |r| r.myelin.fhir.as_ref().and_then(|fhir| fhir.resource.as_ref()).into()),
    field("claimed_from", |r| claimed(r).map(|(from, _)| from).into()),
    field("claimed_to", |r| claimed(r).map(|(_, to)| to).into()),
    field("status", |r| status(r).map(u64::from).into()),
    field("result", |r| result(r).into()),
    field("source_bytes", |r| r.source.as_ref().and_then(|side| side.bytes).into()),
    field("destination_bytes", |r| r.destination.as_ref().and_then(|side| side.bytes).into()),
    field("duration_ms", |r| r.event.duration.map(|nanoseconds| nanoseconds / 1_000_000).into()),
    field("tls_version", |r| r.tls.version.as_ref().into()),
    field("tls_cipher", |r| r.tls.cipher.as_ref().into()),
    field("tls_group", |r| r.tls.curve.as_ref().into()),
    field("certificate_subject", |r| r.presented().map(|end| &end.subject).into()),
    field("certificate_names", |r| {
        r.presented().map(|end| end.x509.alternative_names.join(" ")).into()
    }),
    field("certificate_issuer", |r| r.presented().map(|end| &end.issuer).into()),
    field("certificate_serial", |r| r.presented().map(|end| &end.x509.serial_number).into()),
    field("certificate_sha256", |r| r.presented().map(|end| &end.hash.sha256).into()),
    field("certificate_not_after", |r| {
        r.presented().and_then(|end| end.not_after).map(|at| Timestamp(at).to_string()).into()
    }),
    field("differs", |r| r.myelin.differs.as_ref().into()),
    field("nearest", |r| r.myelin.nearest.as_ref().into()),
    field("would_deny", |r| r.myelin.would_deny.as_ref().into()),
    field("connection", |r| r.myelin.connection.as_ref().into()),
    field("request_id", |r| r.http.as_ref().and_then(|http| http.request.id.as_ref()).into()),
    field("trace_id", |r| r.trace.as_ref().map(|trace| &trace.id).into()),
    field("message", |r| r.message.as_ref().into()),
];

/// `inbound` or `outbound`, as configurations have it.
fn direction(recorded: &Recorded) -> Option<&'static str> {
    recorded.network.direction.as_ref()?;
    Some(if recorded.is_outbound() { "outbound" } else { "inbound" })
}

/// What a connection carries.
pub(super) fn protocol(recorded: &Recorded) -> Option<&str> {
    recorded.network.direction.as_ref()?;
    Some(recorded.network.protocol.as_deref().unwrap_or("tcp"))
}

/// What was asked for, in the words of its standard.
pub(in crate::audit) fn operation(recorded: &Recorded) -> Option<String> {
    let asked = &recorded.myelin;
    let fhir = asked.fhir.as_ref().map(|fhir| fhir.interaction.clone());
    let images = || asked.dicomweb.as_ref().map(|images| images.transaction.clone());
    let soap = || asked.soap.as_ref().map(|soap| soap.ihe.as_ref().unwrap_or(&soap.action).clone());
    let hl7 = || asked.hl7.as_ref().map(|hl7| hl7.kind.clone());
    let dicom = || {
        let contexts = &asked.dicom.as_ref()?.contexts;
        let names = contexts.iter().map(|c| c.sop_class.as_ref().unwrap_or(&c.abstract_syntax));
        Some(names.map(String::as_str).collect::<Vec<_>>().join("; "))
    };
    fhir.or_else(images).or_else(soap).or_else(hl7).or_else(dicom)
}

/// Who says to send, and to whom: AE titles, or application and facility of HL7 v2. Claims, not proofs.
pub(super) fn claimed(recorded: &Recorded) -> Option<(String, String)> {
    let ends = |ends: &RecordedEnds| match (ends.application.as_str(), ends.facility.as_str()) {
        ("", "") => String::new(),
        (application, facility) => format!("{application}|{facility}"),
    };
    let hl7 = recorded.myelin.hl7.as_ref().map(|hl7| (ends(&hl7.sending), ends(&hl7.receiving)));
    hl7.or_else(|| {
        recorded
            .myelin
            .dicom
            .as_ref()
            .map(|dicom| (dicom.calling_ae.clone(), dicom.called_ae.clone()))
    })
}

/// The status of HTTP.
pub(super) fn status(recorded: &Recorded) -> Option<u16> {
    Some(recorded.http.as_ref()?.response.as_ref()?.status_code)
}

/// The acknowledgement of a message, or how an association ended.
pub(super) fn result(recorded: &Recorded) -> Option<&str> {
    let hl7 = recorded.myelin.hl7.as_ref().and_then(|hl7| hl7.acknowledgement.as_deref());
    hl7.or_else(|| recorded.myelin.dicom.as_ref()?.result.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::forms::fixture::recorded;

    #[test]
    fn each_field_is_found_by_its_name_and_no_other_has_it() {
        for field in Field::ALL {
            let same = Field::ALL.iter().filter(|other| other.name() == field.name());
            assert_eq!(same.count(), 1, "{field:?}");
            assert_eq!(Field::named(field.name()).unwrap().name(), field.name());
        }
        assert!(Field::named("patient").is_none());
    }

    #[test]
    fn fields_of_an_hl7_message_are_what_it_claims_and_what_it_was_answered() {
        let (_, recorded) = recorded(
            r#"{"action":"message-completed"}"#,
            r#""network":{"direction":"ingress","protocol":"mllp"},"#,
            r#""listener":"adt","hl7":{"type":"ADT^A01","sending":{"application":"LIS","facility":"MAIN"},"acknowledgement":"AA"}"#,
        );
        let of = |name| Field::named(name).unwrap().of(&recorded).to_string();

        let row = ["operation", "claimed_from", "claimed_to", "result", "status", "phi"].map(of);

        assert_eq!(row, ["ADT^A01", "LIS|MAIN", "", "AA", "", "false"]);
    }

    #[test]
    fn numbers_and_addresses_are_sorted_as_what_they_are() {
        let ip = |text: &str| Value::Address(text.parse().unwrap());

        assert!(Value::Nothing < Value::Number(9) && Value::Number(9) < Value::Number(10));
        assert!(ip("10.0.0.9") < ip("10.0.0.10"));
    }
}
