//! FHIR on the wire: rules and records in its words, patients' numbers nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::myelin;
use crate::support::curl::Curl;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::trail::Record;

const ROUTES: &str = r#"routes:
      - { name: reading, path: /fhir, allow: [billing],
          fhir: { interactions: [read, vread, search-type], resources: [Patient, Observation] } }
      - { name: everything, methods: [GET], path: "/fhir/Patient/{id}/$everything", allow: [billing] }"#;

fn ehr(mesh: &Mesh, workload: &Legacy) -> Setup {
    mesh.inbound("ehr").allow("billing").http().phi().forward(workload.target()).with(ROUTES)
}

fn operation(record: &Record) -> String {
    let resource = record.field("myelin.fhir.resource").as_str().unwrap_or("-").to_owned();
    format!("{} {resource}", record.text("myelin.fhir.interaction"))
}

#[tokio::test]
async fn interactions_are_allowed_denied_and_recorded_by_their_names() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    let allowed = [
        ("/fhir/Patient/PQ4711", "read Patient", "/fhir/Patient/{id}"),
        ("/fhir/Patient/PQ4711/_history/7", "vread Patient", "/fhir/Patient/{id}/_history/{vid}"),
        ("/fhir/Patient?name=Meier", "search-type Patient", "/fhir/Patient"),
        (
            "/fhir/Patient/PQ4711/Observation",
            "search-type Observation",
            "/fhir/Patient/{id}/Observation",
        ),
        ("/fhir/%50atient/PQ4711", "read Patient", "/fhir/Patient/{id}"),
    ];
    for (path, _, _) in allowed {
        assert_eq!(curl.ask(path, &[]).await.status, 200, "{path}");
    }
    // A plain route behind the base takes what the rule of FHIR does not.
    assert_eq!(curl.ask("/fhir/Patient/PQ4711/$everything", &[]).await.status, 200);
    let passed = workload.targets();
    let denied = [
        (&["-X", "DELETE"][..], "/fhir/Patient/PQ4711", "delete Patient", "/fhir/Patient/{id}"),
        (&["-X", "PUT"], "/fhir/Patient/PQ4711", "update Patient", "/fhir/Patient/{id}"),
        (&[], "/fhir/Condition/PQ4711", "read Condition", "/fhir/Condition/{id}"),
        (&[], "/fhir?_id=PQ4711", "search-system -", "/fhir"),
        (&["-d", "{}"], "/fhir", "batch -", "/fhir"),
        (&[], "/fhir/Patient/PQ4711/*", "search-system -", "/fhir/Patient/{id}/*"),
    ];
    for (args, path, _, _) in denied {
        assert_eq!(curl.ask(path, args).await.status, 403, "{path}");
    }
    assert_eq!(workload.targets(), passed);

    let records = ehr.trail().wait_for("request-allowed", allowed.len() + 1).await;
    for (record, (path, said, template)) in records.iter().zip(allowed) {
        assert_eq!(operation(record), said, "{path}");
        assert_eq!(record.text("url.path"), template, "{path}");
        assert_eq!(record.text("rule.name"), "ehr/reading", "{path}");
    }
    assert_eq!(records[allowed.len()].text("rule.name"), "ehr/everything");
    let records = ehr.trail().wait_for("request-denied", denied.len()).await;
    for (record, (_, path, said, template)) in records.iter().zip(denied) {
        assert_eq!(operation(record), said, "{path}");
        assert_eq!(record.text("url.path"), template, "{path}");
    }
    says_nothing_of_anybody(&ehr).await;
}

/// Neither trail nor pages have a patient in them.
async fn says_nothing_of_anybody(ehr: &Running) {
    let pages = [ehr.page("/denials").await.body, ehr.page("/status").await.body];
    for text in [ehr.trail().text()].iter().chain(&pages) {
        assert!(!text.contains("PQ4711") && !text.contains("Meier"), "{text}");
    }
}

#[tokio::test]
async fn whoever_is_denied_learns_the_requests_id_and_nothing_else() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).start().await;
    let billing = mesh.pem("billing");

    let got = Curl { identity: &billing, to: &ehr }.ask("/fhir/Condition/1", &["--http2"]).await;

    let record = ehr.trail().only("request-denied").await;
    assert_eq!((got.status, got.body.as_str()), (403, "not allowed\n"));
    assert_eq!(got.header("x-request-id"), Some(record.text("http.request.id")));
    let names: Vec<_> =
        got.head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    for name in names {
        let known = ["content-type", "content-length", "date", "x-request-id"];
        assert!(known.contains(&name), "{}", got.head);
    }
}

#[tokio::test]
async fn a_body_behind_what_is_denied_takes_nothing_of_the_answer() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    for _ in 0..30 {
        assert_eq!(curl.ask("/fhir/Patient", &["--http2", "-d", "{}"]).await.status, 403);
    }
    assert_eq!(workload.received(), b"");
}

#[tokio::test]
async fn searches_are_recorded_by_the_names_of_their_parameters() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    let query = "subject:Patient.name=Meier&patient=PQ4711&_count=5&Meier=1&mrn=PQ4711";
    assert_eq!(curl.ask(&format!("/fhir/Observation?{query}"), &[]).await.status, 200);

    let record = ehr.trail().only("request-allowed").await;
    let names = record.field("myelin.fhir.parameters").to_string();
    assert_eq!(names, r#"["_count","patient","subject:Patient.name"]"#);
    assert_eq!(record.number("myelin.fhir.other_parameters"), 2);
    assert!(record.field("myelin.fhir.subject").is_null(), "there is no key: {record:?}");
    says_nothing_of_anybody(&ehr).await;
}

#[tokio::test]
async fn who_has_the_key_finds_every_access_to_a_patient() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let key = mesh.dir().join("pseudonyms.key");
    fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let (dir, key) = (mesh.dir().join("ehr/audit"), key.display());
    let audit = format!("dir: {} , pseudonyms: {{ key_file: {key} }}", dir.display());
    let ehr = ehr(&mesh, &workload).audit(&audit).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };

    for path in [
        "/fhir/Patient/PQ4711",
        "/fhir/Patient/PQ4711/_history/2",
        "/fhir/Patient/PQ4711/Observation",
        "/fhir/Observation?subject=Patient/PQ4711",
        "/fhir/Observation?patient=1,PQ4711",
        "/fhir/Patient?_id=PQ4711",
    ] {
        assert_eq!(curl.ask(path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(curl.ask("/fhir/Observation/PQ4711", &[]).await.status, 200);
    assert_eq!(curl.ask("/fhir/Patient/PQ4711", &["-X", "DELETE"]).await.status, 403);

    let config = ehr.config.display().to_string();
    let said = myelin(&["audit", "pseudonym", "-c", &config, "--id", "PQ4711"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let pseudonym = said.stdout.trim();
    assert!(pseudonym.starts_with("630dcd29:"), "{pseudonym}");
    let about = |records: Vec<Record>| {
        let has = |record: &Record| {
            let subjects = record.field("myelin.fhir.subject").as_array().cloned();
            subjects.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(pseudonym)))
        };
        records.iter().filter(|record| has(record)).count()
    };
    assert_eq!(about(ehr.trail().wait_for("request-allowed", 7).await), 6);
    assert_eq!(about(ehr.trail().wait_for("request-denied", 1).await), 1);
    says_nothing_of_anybody(&ehr).await;
}

#[tokio::test]
async fn a_key_that_others_may_read_keeps_the_sidecar_from_starting_with_the_mend() {
    let mesh = Mesh::new();
    let key = mesh.dir().join("pseudonyms.key");
    fs::write(&key, "00".repeat(32)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let dir = mesh.dir().join("ehr/audit");
    let audit = format!("dir: {} , pseudonyms: {{ key_file: {} }}", dir.display(), key.display());
    let file = mesh.inbound("ehr").allow("web").audit(&audit).write();

    for command in ["check", "run"] {
        let said = myelin(&[command, "-c", file.to_str().unwrap()]).await;

        assert_eq!(said.code, Some(3), "{command}: {said:#?}");
        assert!(said.stderr.contains("chmod 600"), "{command}: {said:#?}");
    }
}
