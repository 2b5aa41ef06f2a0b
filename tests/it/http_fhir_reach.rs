//! A rule for some types of FHIR resources lets no other type out by the parameters of a search.

use crate::support::curl::Curl;
use crate::support::http::ByHand;
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::trail::Record;

const ROUTES: &str = r#"routes:
      - { name: patients, path: /fhir, allow: [billing], fhir: { resources: [Patient, Organization] } }"#;
/// To stand behind that.
const ALL: &str = "\n      - { name: all, path: /fhir, allow: [ward], fhir: {} }";

const FORM: &str = "application/x-www-form-urlencoded";

fn ehr(mesh: &Mesh, target: &str) -> Setup {
    mesh.inbound("ehr").allow("billing").http().phi().forward(target).with(ROUTES)
}

/// What is on record of a request that got at another type.
fn says(record: &Record, what: &str) {
    assert_eq!(record.reason(), "no_route", "{record:?}");
    assert_eq!(record.text("rule.name"), "ehr/patients", "{record:?}");
    assert_eq!(record.text("myelin.differs"), "resource", "{record:?}");
    assert!(record.text("myelin.nearest").contains(what), "{what}: {record:?}");
}

fn says_nothing_of_anybody(ehr: &Running) {
    let trail = ehr.trail().text();
    assert!(!trail.contains("PQ4711") && !trail.contains("Meier"), "{trail}");
}

#[tokio::test]
async fn a_search_that_gets_at_another_type_is_denied_with_the_type_and_the_parameter() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };
    let denied = [
        (
            "Patient?_revinclude=Observation:subject",
            "Organization, not Observation by `_revinclude`",
        ),
        ("Patient?name=Meier&%5Frevinclude=Observation%3Asubject", "Observation by `_revinclude`"),
        ("Patient?_include=*", "any other by `_include`"),
        ("Patient?_has:Observation:patient:code=PQ4711", "Observation by `_has`"),
        ("Patient?general-practitioner:Practitioner.name=Meier", "`general-practitioner`"),
        ("Patient?general-practitioner.name=Meier", "any other by what follows"),
        ("Patient?Meier.name=PQ4711", "any other by a parameter that FHIR does not have"),
        ("Patient?_type=Patient,Observation", "Observation by `_type`"),
        ("Patient?_contained=true", "any other by `_contained`"),
        ("Patient?_query=everything", "any other by `_query`"),
        ("Patient/PQ4711/$everything", "any other by an operation"),
        ("Patient/PQ4711/$graphql?query={Patient{name}}", "any other by an operation"),
        ("Patient/PQ4711/Observation", "not Observation"),
        ("?_type=Patient", "not none"),
    ];

    for (path, _) in denied {
        assert_eq!(curl.ask(&format!("/fhir/{path}"), &["-g"]).await.status, 403, "{path}");
    }
    assert_eq!(workload.connections(), 0);
    let allowed = [
        "Patient?name=Meier&_count=5&_sort=-birthdate",
        "Patient?organization.name=Meier",
        "Patient?_include=Patient:organization",
        "Organization?_revinclude=Patient:organization",
        "Patient?_elements=name&_summary=true&_contained=false",
        "Patient/PQ4711/$meta",
    ];
    for path in allowed {
        assert_eq!(curl.ask(&format!("/fhir/{path}"), &["-g"]).await.status, 200, "{path}");
    }

    let records = ehr.trail().wait_for("request-denied", denied.len()).await;
    for (record, (_, what)) in records.iter().zip(denied) {
        says(record, what);
    }
    says_nothing_of_anybody(&ehr);
}

#[tokio::test]
async fn a_later_rule_for_all_types_still_takes_what_the_first_does_not() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = mesh.inbound("ehr").allow("billing").allow("ward").http().phi();
    let ehr = setup.forward(workload.target()).with(&format!("{ROUTES}{ALL}")).start().await;
    let (ward, billing) = (mesh.pem("ward"), mesh.pem("billing"));
    let path = "/fhir/Patient?_revinclude=Observation:subject";

    assert_eq!(Curl { identity: &ward, to: &ehr }.ask(path, &[]).await.status, 200);
    assert_eq!(Curl { identity: &billing, to: &ehr }.ask(path, &[]).await.status, 403);

    assert_eq!(ehr.trail().only("request-allowed").await.text("rule.name"), "ehr/all");
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "not_listed_for_route");
}

#[tokio::test]
async fn the_condition_of_a_create_is_a_search_too() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };
    let create = async |conditions: &[&str]| {
        let mut args = vec!["-d", "{}"];
        conditions.iter().for_each(|condition| args.extend(["-H", condition]));
        curl.ask("/fhir/Patient", &args).await.status
    };

    assert_eq!(create(&["If-None-Exist: identifier=PQ4711"]).await, 200);
    assert_eq!(create(&["If-None-Exist: Patient?identifier=PQ4711"]).await, 200);
    assert_eq!(create(&["If-None-Exist: _has:Observation:patient:code=PQ4711"]).await, 403);
    assert_eq!(create(&["If-None-Exist: a=1", "If-None-Exist: patient.name=Meier"]).await, 403);

    let records = ehr.trail().wait_for("request-denied", 2).await;
    says(&records[0], "Observation by `_has`");
    says_nothing_of_anybody(&ehr);
}

#[tokio::test]
async fn a_search_in_the_body_is_read_before_it_passes_and_goes_on_as_it_is() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let billing = mesh.pem("billing");
    let curl = Curl { identity: &billing, to: &ehr };
    let search = async |path: &str, form: &str, more: &[&str]| {
        let args = [&["-d", form][..], more].concat();
        curl.ask(&format!("/fhir/Patient/_search{path}"), &args).await.status
    };

    assert_eq!(search("", "name=Meier&birthdate=1970", &[]).await, 200);
    assert_eq!(search("?_count=5", "name=M%C3%BCller", &["--http2"]).await, 200);
    assert_eq!(search("?name=Meier", "", &["-H", "Content-Type:"]).await, 200, "no body at all");
    let bodies: Vec<_> = workload.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies[0], b"name=Meier&birthdate=1970");
    assert!(bodies[1].ends_with(b"name=M%C3%BCller") || bodies[1].starts_with(b"10\r\nname=M%C3"));
    let large = format!("name={}", "x".repeat(64 * 1024));
    let denied = [
        (
            "",
            "name=PQ4711&_revinclude=Observation:subject",
            &[][..],
            "Observation by `_revinclude`",
        ),
        ("", "%5frevinclude=Observation%3asubject", &["--http2"], "Observation by `_revinclude`"),
        ("?_revinclude=Observation:subject", "name=PQ4711", &[], "Observation by `_revinclude`"),
        ("", "{}", &["-H", "Content-Type: application/json"], "content type"),
        ("", "name=PQ4711", &["-H", "Content-Encoding: gzip"], "compressed"),
        ("", "name=Mü", &[], "not encoded"),
        ("", &large, &[], "larger than 64 KiB"),
    ];
    for (path, form, more, what) in denied {
        assert_eq!(search(path, form, more).await, 403, "{what}");
    }

    assert_eq!(workload.asked().len(), 3);
    let records = ehr.trail().wait_for("request-denied", denied.len()).await;
    for (record, (_, _, _, what)) in records.iter().zip(denied) {
        says(record, what);
        assert_eq!(record.text("url.path"), "/fhir/Patient/_search");
    }
    says_nothing_of_anybody(&ehr);
}

#[tokio::test]
async fn nothing_of_a_search_arrives_before_its_form_is_whole() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    let mut billing = mesh.http("billing", &ehr).await;
    let form = "name=Meier&_count=5";

    billing
        .send(format!(
            "POST /fhir/Patient/_search HTTP/1.1\r\nHost: ehr\r\nContent-Type: {FORM}\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            form.len()
        ))
        .await;
    assert_eq!(billing.head().await.status(), 100);
    for byte in form.bytes() {
        assert!(ehr.trail().all("request-allowed").is_empty());
        billing.send([byte]).await;
    }

    let mut call = workload.accept().await;
    let asked = call.message().await;
    assert_eq!((asked.head.header("expect"), &*asked.body), (None, form.as_bytes()));
    call.send(ok("found")).await;
    assert_eq!(billing.message().await.text(), "found");
}

#[tokio::test]
async fn who_goes_away_before_the_form_is_whole_is_on_record_too() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let mut billing = mesh.http("billing", &ehr).await;

    billing
        .send(format!(
            "POST /fhir/Patient/_search HTTP/1.1\r\nHost: ehr\r\nContent-Type: {FORM}\r\n\
             Content-Length: 9\r\n\r\nname="
        ))
        .await;
    drop(billing);

    let denied = ehr.trail().wait_for("request-denied", 1).await;
    assert_eq!(denied[0].reason(), "no_route");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn while_policy_is_observed_a_search_passes_and_what_it_gets_at_is_told() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target()).with("enforce: false").with("until: 2090-01-01");
    let ehr = setup.start().await;
    let billing = mesh.pem("billing");
    let form = "_revinclude=Observation:subject";

    let curl = Curl { identity: &billing, to: &ehr };
    assert_eq!(curl.ask("/fhir/Patient/_search", &["-d", form]).await.status, 200);

    assert_eq!(workload.only().body, form.as_bytes());
    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "no_route");
    assert_eq!(allowed.text("myelin.differs"), "resource");
}
