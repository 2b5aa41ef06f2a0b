//! What FHIR searches get at beside their own type: on record, and so in what is suggested and replayed.

use super::cli::myelin;
use super::support::curl::Curl;
use super::support::legacy::Legacy;
use super::support::mesh::{Mesh, Running, Setup};
use super::support::process::{Said, write};

const FORM: [&str; 2] = ["-d", "_include=Patient:organization"];

fn ehr(mesh: &Mesh, workload: &Legacy, fhir: &str) -> Setup {
    let route = format!("{{ name: fhir, path: /fhir, allow: [billing], fhir: {fhir} }}");
    let forward = workload.target();
    mesh.inbound("ehr")
        .allow("billing")
        .http()
        .phi()
        .forward(forward)
        .with(&format!("routes: [{route}]"))
}

/// What the requests so far got at, in their order.
async fn reached(ehr: &Running, count: usize) -> Vec<String> {
    let records = ehr.trail().wait_for("request-allowed", count).await;
    records.iter().map(|record| record.field("myelin.fhir.reaches").to_string()).collect()
}

async fn replayed(ehr: &Running, file: &std::path::Path) -> Said {
    let audit = ehr.trail().dir().display().to_string();
    myelin(&["policy", "replay", "--audit", &audit, "-c", file.to_str().unwrap()]).await
}

#[tokio::test]
async fn the_types_that_a_request_got_at_are_on_record_without_what_it_asked_for() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr =
        ehr(&mesh, &workload, "{ resources: [Patient, Observation, Organization] }").start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    for (path, args) in [
        ("/fhir/Patient?_revinclude=Observation:patient&_include=Patient:organization", &[][..]),
        ("/fhir/Patient?name=PQ4711&_include=Patient:link:Patient", &[]),
        ("/fhir/Patient/_search", &FORM),
        (
            "/fhir/Patient",
            &["-d", "{}", "-H", "If-None-Exist: _has:Observation:patient:code=PQ4711"],
        ),
    ] {
        assert_eq!(curl.ask(path, args).await.status, 200, "{path}");
    }

    let reached = reached(&ehr, 4).await;
    let [both, none] = [r#"["Observation","Organization"]"#, "null"];
    assert_eq!(reached, [both, none, r#"["Organization"]"#, r#"["Observation"]"#]);
    assert!(!ehr.trail().text().contains("PQ4711"));
}

#[tokio::test]
async fn a_search_that_reached_another_type_is_suggested_with_it_and_missed_by_rules_without() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, &workload, "{ interactions: [read, search-type] }");
    let ehr = setup.start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };
    for path in ["/fhir/Patient/1", "/fhir/Patient?_revinclude=Observation:patient"] {
        assert_eq!(curl.ask(path, &[]).await.status, 200, "{path}");
    }
    ehr.trail().wait_for("request-completed", 2).await;

    let (audit, config) = (ehr.trail().dir().display().to_string(), setup.write());
    let suggested =
        myelin(&["policy", "suggest", "--audit", &audit, "-c", config.to_str().unwrap()]).await;
    let (text, found) = (setup.text(), suggested.stdout.split_once("inbound:"));
    let (head, _) = text.split_once("inbound:").unwrap();
    let (_, inbound) = found.unwrap_or_else(|| panic!("{suggested:#?}"));
    let suggestion = write(mesh.dir(), "pasted.yaml", &format!("{head}inbound:{inbound}"));
    let narrow =
        setup.text().replace("[read, search-type]", "[read, search-type], resources: [Patient]");
    let narrow = write(mesh.dir(), "narrow.yaml", &narrow);

    let by_suggestion = replayed(&ehr, &suggestion).await;
    assert_eq!(by_suggestion.code, Some(0), "{by_suggestion:#?}\n{suggested:#?}");
    let question = ["--peer", "billing", "--path"];
    for (path, code) in [
        ("/fhir/Patient?_revinclude=Observation:patient", 0),
        ("/fhir/Patient/2", 0),
        ("/fhir/Observation/2", 1),
        ("/fhir/Patient?_revinclude=Condition:patient", 1),
    ] {
        let file = ["explain", "-c", suggestion.to_str().unwrap()];
        let said = myelin(&[&file[..], &question, &[path]].concat()).await;
        assert_eq!(said.code, Some(code), "{path}: {said:#?}\n{}", suggested.stdout);
    }
    let by_narrow = replayed(&ehr, &narrow).await;
    assert_eq!(by_narrow.code, Some(1), "{by_narrow:#?}");
    assert!(
        by_narrow.stdout.contains("(FHIR search-type Patient with Observation)"),
        "{by_narrow:#?}"
    );
    assert!(by_narrow.stdout.contains("1 newly denied"), "{by_narrow:#?}");
}

#[tokio::test]
async fn of_a_form_that_nobody_had_to_read_replay_says_that_it_does_not_know() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, &workload, "{ interactions: [search-type] }");
    let ehr = setup.start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    assert_eq!(curl.ask("/fhir/Patient/_search", &FORM).await.status, 200);

    assert_eq!(reached(&ehr, 1).await, [r#"["*"]"#]);
    let narrow = setup.text().replace("[search-type]", "[search-type], resources: [Patient]");
    let said = replayed(&ehr, &write(mesh.dir(), "narrow.yaml", &narrow)).await;
    assert!(said.stdout.contains("a search may have reached any type of resources"), "{said:#?}");
    assert!(said.stdout.contains("0 newly denied"), "{said:#?}");
}
