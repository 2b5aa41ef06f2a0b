//! The steps of the tour: who calls whom with what, and everything that must come of it.

use http::Method;

use super::client::{Call, Caller};
use crate::cli::demo::clinic::{FIND_PATIENTS, find_patients};
use crate::cli::demo::place::{HL7, NEW_PATIENT};

/// Beside which service the sidecar stands that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Fhir,
    Pdq,
    Lab,
}

/// Which door the caller takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    /// The plaintext side of billing's own sidecar.
    Out,
    /// The sidecar of the service itself.
    Sidecar,
}

/// What the caller must get.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// This status, and a body with this in it.
    Status(u16, &'static str),
    /// A message with this in it.
    Message(&'static str),
    /// No answer at all.
    Nothing,
}

/// One step.
pub(super) struct Step {
    /// What it shows.
    pub(super) title: &'static str,
    /// How a reader should picture it.
    pub(super) how: &'static str,
    pub(super) beside: Beside,
    pub(super) door: Door,
    pub(super) caller: Caller,
    pub(super) call: Call,
    pub(super) answer: Wanted,
    /// What must reach the service, and on whose behalf; otherwise nothing may.
    pub(super) reaches: Option<(&'static str, Option<&'static str>)>,
    /// Fields of the record that the trail must have.
    pub(super) record: &'static [(&'static str, &'static str)],
    /// A metric that must go up by one.
    pub(super) metric: (&'static str, &'static [(&'static str, &'static str)]),
}

const BILLING: Option<&str> = Some("spiffe://clinic.example/billing");
const ADMISSION: Option<&str> = Some("spiffe://clinic.example/admission");
const READ: &str = "/fhir/Patient/4711";

/// All steps, in order.
pub(super) fn all() -> [Step; 9] {
    [
        billing_reads(),
        billing_may_not_register(),
        admission_registers(),
        kiosk(),
        stranger(),
        no_certificate(),
        in_the_clear(),
        soap_call(),
        hl7_message(),
    ]
}

fn billing_reads() -> Step {
    Step {
        title: "billing reads a patient",
        how: "plaintext GET, through billing's sidecar and the one of fhir",
        beside: Beside::Fhir,
        door: Door::Out,
        caller: Caller::Plain,
        call: Call::get(READ),
        answer: Wanted::Status(200, "Mustermann"),
        reaches: Some(("GET /fhir/Patient/4711", BILLING)),
        record: &[
            ("event.action", "request-allowed"),
            ("myelin.peer", "billing"),
            ("rule.name", "fhir/read-patient"),
            ("url.path", "/fhir/Patient/{id}"),
        ],
        metric: (
            "myelin_requests_total",
            &[("listener", "fhir"), ("method", "GET"), ("decision", "allowed")],
        ),
    }
}

fn billing_may_not_register() -> Step {
    Step {
        title: "billing may not register a patient",
        how: "the same way, but POST: the route is for admission alone",
        beside: Beside::Fhir,
        door: Door::Out,
        caller: Caller::Plain,
        call: register(),
        answer: Wanted::Status(403, "not allowed"),
        reaches: None,
        record: &[
            ("event.action", "request-denied"),
            ("event.reason", "not_listed_for_route"),
            ("myelin.peer", "billing"),
            ("rule.name", "fhir/create-patient"),
        ],
        metric: (
            "myelin_requests_total",
            &[("listener", "fhir"), ("method", "POST"), ("decision", "denied")],
        ),
    }
}

fn admission_registers() -> Step {
    Step {
        title: "admission may, and needs no sidecar for it",
        how: "mutual TLS with a certificate of its own, straight to the sidecar of fhir",
        beside: Beside::Fhir,
        door: Door::Sidecar,
        caller: Caller::Tls { server: "fhir", with: Some("admission") },
        call: register(),
        answer: Wanted::Status(201, "Newcomer"),
        reaches: Some(("POST /fhir/Patient", ADMISSION)),
        record: &[
            ("event.action", "request-allowed"),
            ("myelin.peer", "admission"),
            ("rule.name", "fhir/create-patient"),
        ],
        metric: (
            "myelin_requests_total",
            &[("listener", "fhir"), ("method", "POST"), ("decision", "allowed")],
        ),
    }
}

fn kiosk() -> Step {
    Step {
        title: "the kiosk is a colleague, but on nobody's list",
        how: "mutual TLS with a certificate of the same authority",
        record: &[
            ("event.action", "connection-denied"),
            ("event.reason", "unknown_peer"),
            ("myelin.identity", "spiffe://clinic.example/kiosk"),
        ],
        metric: (
            "myelin_connections_denied_total",
            &[("listener", "fhir"), ("reason", "unknown_peer")],
        ),
        ..refused(Caller::Tls { server: "fhir", with: Some("kiosk") })
    }
}

fn stranger() -> Step {
    Step {
        title: "a stranger says that it is billing",
        how: "mutual TLS with billing's name in a certificate of another authority",
        record: &[("event.action", "connection-refused"), ("event.reason", "unknown_issuer")],
        metric: ("myelin_handshakes_total", &[("listener", "fhir"), ("result", "unknown_issuer")]),
        ..refused(Caller::Tls { server: "fhir", with: Some("stranger") })
    }
}

fn no_certificate() -> Step {
    Step {
        title: "nobody comes in without a certificate",
        how: "TLS, with none",
        record: &[("event.action", "connection-refused"), ("event.reason", "no_certificate")],
        metric: ("myelin_handshakes_total", &[("listener", "fhir"), ("result", "no_certificate")]),
        ..refused(Caller::Tls { server: "fhir", with: None })
    }
}

fn in_the_clear() -> Step {
    Step {
        title: "nobody comes in in the clear",
        how: "plaintext GET, straight to the sidecar of fhir",
        record: &[("event.action", "connection-refused"), ("event.reason", "not_tls")],
        metric: ("myelin_handshakes_total", &[("listener", "fhir"), ("result", "not_tls")]),
        ..refused(Caller::Plain)
    }
}

fn soap_call() -> Step {
    Step {
        title: "billing looks a family up over SOAP",
        how: "plaintext SOAP 1.1 call, through billing's sidecar and the one of pdq",
        beside: Beside::Pdq,
        door: Door::Out,
        caller: Caller::Plain,
        call: soap(),
        answer: Wanted::Status(200, "<given>Erika</given>"),
        reaches: Some(("POST /pdq", BILLING)),
        record: &[
            ("event.action", "request-allowed"),
            ("myelin.peer", "billing"),
            ("rule.name", "pdq/call"),
        ],
        metric: (
            "myelin_requests_total",
            &[("listener", "pdq"), ("method", "POST"), ("decision", "allowed")],
        ),
    }
}

fn hl7_message() -> Step {
    Step {
        title: "billing sends an HL7 v2 message to the lab",
        how: "MLLP over TCP, through billing's sidecar and the one of lab",
        beside: Beside::Lab,
        door: Door::Out,
        caller: Caller::Plain,
        call: Call::Mllp(HL7),
        answer: Wanted::Message("MSA|AA|MSG00001"),
        reaches: Some(("ADT^A08^ADT_A01", None)),
        record: &[
            ("event.action", "connection-allowed"),
            ("myelin.peer", "billing"),
            ("rule.name", "lab"),
        ],
        metric: ("myelin_handshakes_total", &[("listener", "lab"), ("result", "ok")]),
    }
}

/// What all have in common who are turned away at the door.
fn refused(caller: Caller) -> Step {
    Step {
        title: "",
        how: "",
        beside: Beside::Fhir,
        door: Door::Sidecar,
        caller,
        call: Call::get(READ),
        answer: Wanted::Nothing,
        reaches: None,
        record: &[],
        metric: ("", &[]),
    }
}

fn register() -> Call {
    Call::Http {
        method: Method::POST,
        path: "/fhir/Patient",
        headers: vec![("content-type", "application/fhir+json".to_owned())],
        body: NEW_PATIENT.to_owned(),
    }
}

fn soap() -> Call {
    Call::Http {
        method: Method::POST,
        path: "/pdq",
        headers: vec![
            ("content-type", "text/xml; charset=utf-8".to_owned()),
            ("soapaction", format!("\"{FIND_PATIENTS}\"")),
        ],
        body: find_patients("Mustermann"),
    }
}
