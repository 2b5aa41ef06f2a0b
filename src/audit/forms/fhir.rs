//! FHIR R4 AuditEvent, one resource a line (application/fhir+ndjson).
//!
//! What became of a FHIR request that was let through is told in the shape of IHE BALP (`rest`); all else is the event
//! that ATNA's XML tells as well. No profile is claimed: BALP wants a patient's id where a resource has one, and the search
//! string, and neither is in the trail.

use serde_json::Value as Json;
use time::Duration;

use super::codes::{ACCESS_CONTROL_DECISION, APPLICATION, Code, DCM};
use super::event::{Event, SubjectKind, escaped};
use super::object::{Object, write};
use super::participant::Participant;
use super::rest;
use crate::audit::line::encode::hash;
use crate::audit::line::text::Timestamp;
use crate::audit::read::Recorded;

/// DICOM's terminology in FHIR.
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
/// For identifiers that are URIs.
const URI: &str = "urn:ietf:rfc:3986";

/// Appends the record.
pub(super) fn tell(line: &[u8], recorded: &Recorded, out: &mut Vec<u8>) {
    let event = Event::of(recorded, &hex::encode(hash(line)));
    let resource = match rest::Rest::of(recorded) {
        Some(rest) => rest.resource(&event, recorded),
        None => alert(&event, recorded),
    };
    write(resource, out);
}

fn alert(event: &Event<'_>, recorded: &Recorded) -> Object {
    let decides = event.types.contains(&ACCESS_CONTROL_DECISION);
    let asked = !recorded.is_outbound();
    let rule = recorded.rule.as_ref().map(|rule| policy(&rule.name));
    let us = agent(&event.us, us_type(decides), !asked || event.peer.is_none())
        .maybe("policy", rule.filter(|_| decides));
    let peer = event.peer.as_ref().map(|peer| agent(peer, coding(&peer.role), asked));
    let agents: Vec<Json> = peer.into_iter().chain([us]).map(Json::from).collect();
    let subtypes: Vec<Json> = event.types.iter().map(|code| coding(code).into()).collect();
    head(coding(&event.id), subtypes, event, recorded)
        .with("agent", agents)
        .with("source", source(recorded))
        .with("entity", vec![Json::from(entity(event))])
}

/// What begins each AuditEvent.
pub(super) fn head(
    kind: Object,
    subtypes: Vec<Json>,
    event: &Event<'_>,
    recorded: &Recorded,
) -> Object {
    Object::new()
        .with("resourceType", "AuditEvent")
        .with("type", kind)
        .maybe("subtype", (!subtypes.is_empty()).then_some(subtypes))
        .with("action", event.action)
        .maybe("period", period(recorded))
        .with("recorded", Timestamp(recorded.at).to_string())
        .with("outcome", event.outcome.code())
        .with("outcomeDesc", event.summary.as_str())
}

/// From when to when: for endings, and for what stands for many.
fn period(recorded: &Recorded) -> Option<Object> {
    let between = |start, end| {
        Object::new()
            .with("start", Timestamp(start).to_string())
            .with("end", Timestamp(end).to_string())
    };
    if let Some(flood) = &recorded.myelin.flood {
        return Some(between(flood.first, flood.last));
    }
    let nanoseconds = i64::try_from(recorded.event.duration?).ok()?;
    Some(between(recorded.at.checked_sub(Duration::nanoseconds(nanoseconds))?, recorded.at))
}

pub(super) fn coding(Code { code, system, text }: &Code<'_>) -> Object {
    let system = if *system == DCM {
        DICOM.to_owned()
    } else {
        format!("urn:myelin:{}", system.to_lowercase())
    };
    Object::new().with("system", system).with("code", *code).with("display", *text)
}

/// A code of HL7's terminology.
pub(super) fn hl7(system: &str, code: &str, display: &str) -> Object {
    let system = format!("http://terminology.hl7.org/CodeSystem/{system}");
    Object::new().with("system", system).with("code", code).with("display", display)
}

fn us_type(decides: bool) -> Object {
    if decides {
        hl7("extra-security-role-type", "authserver", "authorization server")
    } else {
        coding(&APPLICATION)
    }
}

/// A participant; of one who has not proved who it is, there is no identifier.
pub(super) fn agent(who: &Participant<'_>, kind: Object, is_requestor: bool) -> Object {
    let is_uri = who.user.starts_with("spiffe://");
    let identifier = who
        .is_known
        .then(|| Object::new().maybe("system", is_uri.then_some(URI)).with("value", &*who.user));
    let display = who.name.unwrap_or(&who.user);
    let reference = Object::new().maybe("identifier", identifier).with("display", display);
    let network = who
        .access_point()
        .map(|(name, kind)| Object::new().with("address", name).with("type", kind));
    Object::new()
        .with("type", Object::new().with("coding", vec![Json::from(kind)]))
        .with("who", reference)
        .maybe("altId", who.alternative.as_deref())
        .maybe("name", who.name)
        .with("requestor", is_requestor)
        .maybe("network", network)
}

pub(super) fn policy(rule: &str) -> Vec<String> {
    vec![format!("urn:myelin:policy:rule:{}", escaped(rule))]
}

pub(super) fn source(recorded: &Recorded) -> Object {
    let service = recorded.service.name.as_str();
    let identifier =
        Object::new().with("system", URI).with("value", format!("urn:myelin:{}", escaped(service)));
    let observer = Object::new()
        .with("identifier", identifier)
        .with("display", format!("Myelin beside {service}"));
    let kind = hl7("security-source-type", "8", "Network Router");
    Object::new().with("observer", observer).with("type", vec![Json::from(kind)])
}

fn entity(event: &Event<'_>) -> Object {
    let subject = &event.subject;
    let is_uri = subject.kind != SubjectKind::Node;
    let identifier =
        Object::new().maybe("system", is_uri.then_some(URI)).with("value", subject.id.as_str());
    let role = match subject.kind {
        SubjectKind::MasterFile => hl7("object-role", "5", "Master File"),
        SubjectKind::Resource | SubjectKind::Node => hl7("object-role", "13", "Security Resource"),
    };
    system_object(Object::new().with("identifier", identifier), role)
        .with("name", subject.name.as_str())
        .with("detail", details(event))
}

/// An entity that is a part of a system.
pub(super) fn system_object(what: Object, role: Object) -> Object {
    Object::new()
        .with("what", what)
        .with("type", hl7("audit-entity-type", "2", "System Object"))
        .with("role", role)
}

pub(super) fn details(event: &Event<'_>) -> Vec<Json> {
    let detail = |(name, text): &(&str, String)| {
        Object::new().with("type", *name).with("valueString", text.as_str()).into()
    };
    event.details.iter().map(detail).collect()
}
