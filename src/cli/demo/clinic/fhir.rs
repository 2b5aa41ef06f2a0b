//! A REST service after FHIR R4: read, search, create, and what it can do.

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Journal;
use super::http::{reply, vouched};
use super::patients::{Patient, Patients};

const FHIR: &str = "application/fhir+json";

/// Who answers.
pub(super) struct Desk {
    patients: Patients,
    journal: Journal,
}

impl Desk {
    pub(super) fn new(patients: Patients, journal: Journal) -> Self {
        Self { patients, journal }
    }

    pub(super) fn answer(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method(), request.uri().path());
        self.journal.note(format!("{method} {path}"), vouched(request.headers()));
        match (method, path) {
            (&Method::GET, "/healthz") => reply(StatusCode::OK, "text/plain", "well\n"),
            (&Method::GET, "/fhir/metadata") => resource(StatusCode::OK, &capabilities()),
            (&Method::GET, "/fhir/Patient") => self.search(request.uri().query().unwrap_or("")),
            (&Method::POST, "/fhir/Patient") => self.create(request.body()),
            (&Method::GET, path) => match path.strip_prefix("/fhir/Patient/") {
                Some(id) => self.read(id),
                None => outcome(StatusCode::NOT_FOUND, "not-found", "no such resource"),
            },
            _ => outcome(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "no such interaction"),
        }
    }

    fn read(&self, id: &str) -> Response<Full<Bytes>> {
        match self.patients.by_id(id) {
            Some(patient) => resource(StatusCode::OK, &patient.resource()),
            None => outcome(StatusCode::NOT_FOUND, "not-found", "no such patient"),
        }
    }

    fn search(&self, query: &str) -> Response<Full<Bytes>> {
        let family = query.split('&').find_map(|pair| pair.strip_prefix("family=")).unwrap_or("");
        let found: Vec<Patient> = self.patients.by_family(family);
        let entries: Vec<Value> =
            found.iter().map(|patient| json!({ "resource": patient.resource() })).collect();
        let bundle = json!({
            "resourceType": "Bundle",
            "type": "searchset",
            "total": entries.len(),
            "entry": entries,
        });
        resource(StatusCode::OK, &bundle)
    }

    fn create(&self, body: &Bytes) -> Response<Full<Bytes>> {
        let patient = match serde_json::from_slice::<Value>(body) {
            Ok(patient) if patient.get("resourceType") == Some(&json!("Patient")) => patient,
            Ok(_) | Err(_) => {
                return outcome(StatusCode::BAD_REQUEST, "structure", "not a Patient in JSON");
            }
        };
        let Some(patient) = self.patients.register(&patient) else {
            return outcome(StatusCode::SERVICE_UNAVAILABLE, "throttled", "the register is full");
        };
        let mut response = resource(StatusCode::CREATED, &patient.resource());
        if let Ok(location) = HeaderValue::from_str(&format!("/fhir/Patient/{}", patient.id)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

fn capabilities() -> Value {
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "implementation": { "description": "the sample clinic of `myelin demo`" },
        "rest": [{
            "mode": "server",
            "resource": [{
                "type": "Patient",
                "interaction": [
                    { "code": "read" }, { "code": "search-type" }, { "code": "create" },
                ],
            }],
        }],
    })
}

fn resource(status: StatusCode, resource: &Value) -> Response<Full<Bytes>> {
    reply(status, FHIR, format!("{resource:#}\n"))
}

fn outcome(status: StatusCode, code: &str, text: &str) -> Response<Full<Bytes>> {
    let issue = json!({ "severity": "error", "code": code, "diagnostics": text });
    resource(status, &json!({ "resourceType": "OperationOutcome", "issue": [issue] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, body: &str) -> StatusCode {
        let desk = Desk::new(Patients::made_up(), Journal::default());
        let request = Request::builder().method(method).uri(path);
        desk.answer(&request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()).status()
    }

    #[test]
    fn patients_are_read_found_and_registered() {
        assert_eq!(ask(Method::GET, "/fhir/Patient/4711", ""), 200);
        assert_eq!(ask(Method::GET, "/fhir/Patient?family=muster", ""), 200);
        assert_eq!(ask(Method::POST, "/fhir/Patient", r#"{"resourceType":"Patient"}"#), 201);
    }

    #[test]
    fn whoever_is_unknown_and_whatever_is_no_patient_is_said_to_be() {
        assert_eq!(ask(Method::GET, "/fhir/Patient/1", ""), 404);
        assert_eq!(ask(Method::POST, "/fhir/Patient", "[]"), 400);
        assert_eq!(ask(Method::DELETE, "/fhir/Patient/4711", ""), 405);
    }
}
