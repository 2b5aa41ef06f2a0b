//! Records in other forms, held against programs that nobody here wrote.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::day::Day;
use crate::support::node;
use crate::support::process::{Said, run};
use crate::support::python::peer;
use crate::support::trail::Record;

/// What `tests/peers/forms_peer.py` says of `records`.
async fn held_against(form: &str, package: &str, records: &str) -> Said {
    let said = run(&mut peer("forms_peer", package, &[form]), records).await;
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said
}

/// All records in this form, with nothing of a patient in them.
async fn told(day: &Day, form: &str) -> String {
    let said = day.query(&["--format", form]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    for phi in ["PQ4711", "Meier", "PHI4711", "PHIDOE", "PHIMRN", "PHISECRET"] {
        assert!(!said.stdout.contains(phi), "{phi} is in\n{}", said.stdout);
    }
    said.stdout
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn jsonl_is_the_trail_s_lines_as_they_are() {
    let day = Day::new().await;

    let text: String = day.trails.iter().map(|trail| trail.text()).collect();

    assert_eq!(told(&day, "jsonl").await, text);
    let actions: BTreeSet<_> = day
        .trails
        .iter()
        .flat_map(|trail| trail.lines())
        .map(|record: Record| record.action().to_owned())
        .collect();
    assert!(actions.len() >= 18, "the day has become dull: {actions:?}");
}

#[tokio::test]
async fn audit_messages_are_valid_by_the_schemas_of_dicom_and_of_ipf() {
    let day = Day::new().await;
    let messages = told(&day, "atna").await;

    let said = held_against("atna", "lxml, rnc2rng", &messages).await;

    assert_eq!(said.stdout, format!("valid {}\n", day.records()));
    assert!(messages.lines().all(|message| message.len() < 8192));
}

#[tokio::test]
async fn an_audit_message_that_the_schemas_do_not_take_is_noticed() {
    let wrong = "<AuditMessage><EventIdentification/></AuditMessage>";

    let said = run(&mut peer("forms_peer", "lxml, rnc2rng", &["atna"]), wrong).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
}

#[tokio::test]
async fn audit_events_are_valid_by_fhirkit_fhir_resources_and_fhir_js() {
    let day = Day::new().await;
    let events = told(&day, "fhir").await;
    let valid = format!("valid {}\n", day.records());

    assert_eq!(held_against("fhir", "fhirkit, fhir.resources", &events).await.stdout, valid);
    let said = run(&mut node::peer("fhir_validator", &[]), &events).await;
    assert_eq!(said.stdout, valid, "{}", said.stderr);

    let events = objects(&events);
    let rest: Vec<_> = events.iter().filter(|event| event["type"]["code"] == "rest").collect();
    let told: Vec<_> =
        rest.iter().map(|event| (&event["subtype"][0]["code"], &event["action"])).collect();
    assert_eq!(told, [(&"read".into(), &"R".into()), (&"search-type".into(), &"E".into())]);
    for event in &events {
        let requestors =
            event["agent"].as_array().unwrap().iter().filter(|agent| agent["requestor"] == true);
        assert_eq!(requestors.count(), 1, "{event:#}");
    }
}

#[tokio::test]
async fn events_of_ocsf_are_valid_by_its_schema() {
    let day = Day::new().await;
    let events = told(&day, "ocsf").await;

    let said = held_against("ocsf", "ocsf_json_schema, jsonschema", &events).await;

    assert_eq!(said.stdout, format!("valid {}\n", day.records()));
    let ids: BTreeSet<_> =
        objects(&events).iter().map(|event| event["metadata"]["uid"].to_string()).collect();
    assert_eq!(ids.len(), day.records(), "each event has an id of its own");
}

#[tokio::test]
async fn rows_are_read_by_python_as_they_were_told_and_run_nothing() {
    let day = Day::new().await;

    let said = held_against("csv", "csv", &told(&day, "csv").await).await;

    let rows = objects(&said.stdout);
    assert_eq!(rows.len(), day.records());
    let refused = rows.iter().find(|row| row["action"] == "connection-refused").unwrap();
    let subject = refused["certificate_subject"].as_str().unwrap();
    assert!(subject.contains("=cmd|"), "{subject}");
    for row in &rows {
        for (name, cell) in row.as_object().unwrap() {
            assert!(!cell.as_str().unwrap().starts_with(['=', '+', '-', '@']), "{name}: {cell}");
        }
    }
}

#[tokio::test]
async fn cef_is_read_by_pycef_and_has_the_keys_of_the_standard_alone() {
    let day = Day::new().await;

    let said = held_against("cef", "pycef, cefevent", &told(&day, "cef").await).await;

    let read = objects(&said.stdout);
    assert_eq!(read.len(), day.records());
    let refused =
        read.iter().find(|event| event["DeviceEventClassID"] == "connection-refused").unwrap();
    assert_eq!((&refused["act"], &refused["reason"]), (&"denied".into(), &"expired".into()));
    // pycef leaves escapes as they are.
    let subject = unescaped(refused["certificateSubject"].as_str().unwrap());
    let recorded =
        day.trails.iter().find_map(|trail| trail.all("connection-refused").pop()).unwrap();
    assert_eq!(subject, recorded.text("tls.client.subject"));
    assert!(subject.contains("cmd|'/C calc'!A0"), "{subject}");
}

/// A value of CEF without its escapes.
fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let next = || match chars.next()? {
        '\\' => chars.next(),
        c => Some(c),
    };
    std::iter::from_fn(next).collect()
}

/// Beside objects that ECS leaves to whoever writes them, these are all fields of ECS 9.0 that records may have.
const ECS: &str = "@timestamp message ecs.version service.name user.id user.name trace.id url.path
    event.action event.category event.dataset event.duration event.hash event.id event.kind event.module event.outcome
    event.reason event.sequence event.type
    observer.hostname observer.product observer.type observer.version
    source.bytes source.ip source.port destination.address destination.bytes destination.ip destination.port
    network.direction network.protocol network.transport
    http.request.id http.request.method http.response.status_code http.version
    rule.name rule.reference rule.version related.hash related.ip related.user
    tls.cipher tls.curve tls.established tls.next_protocol tls.resumed tls.version tls.version_protocol
    tls.client.hash.sha256 tls.client.issuer tls.client.not_after tls.client.not_before tls.client.server_name
    tls.client.subject tls.client.x509.alternative_names tls.client.x509.issuer.distinguished_name
    tls.client.x509.serial_number tls.client.x509.subject.common_name
    tls.server.hash.sha256 tls.server.issuer tls.server.not_after tls.server.not_before tls.server.subject
    tls.server.x509.alternative_names tls.server.x509.issuer.distinguished_name tls.server.x509.serial_number
    tls.server.x509.subject.common_name";

fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(value, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[tokio::test]
async fn ecs_has_fields_of_ecs_and_labels_alone() {
    let day = Day::new().await;

    let records = objects(&told(&day, "ecs").await);

    assert_eq!(records.len(), day.records());
    let mut found = BTreeSet::new();
    records.iter().for_each(|record| leaves(record, "", &mut found));
    let known: BTreeSet<_> = ECS.split_whitespace().collect();
    let strange: Vec<_> = found
        .iter()
        .filter(|name| !name.starts_with("labels.") && !known.contains(name.as_str()))
        .collect();
    assert_eq!(strange, [""; 0]);
    assert!(records.iter().all(|record| {
        record["labels"].as_object().is_none_or(|labels| labels.values().all(Value::is_string))
    }));
}
