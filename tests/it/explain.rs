//! `myelin explain`: an answer, or a clear word why there is none; each with an exit code of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::cli::myelin;
use super::support::process::Said;

/// A service `ehr` to which `billing` may connect, and a certificate of each of two peers.
struct Clinic(TempDir);

impl Clinic {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let made = myelin(&[
            "init",
            "--service",
            "ehr",
            "--dir",
            path,
            "--allow",
            "billing",
            "--issue",
            "billing",
            "--issue",
            "stranger",
        ])
        .await;
        assert_eq!(made.code, Some(0), "{made:#?}");
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn explain(&self, who: &[&str]) -> Said {
        let file = self.file("myelin.yaml");
        myelin(&[&["explain", "-c", file.to_str().unwrap()], who].concat()).await
    }

    async fn presents(&self, certificate: &Path) -> Said {
        self.explain(&["--cert", certificate.to_str().unwrap()]).await
    }
}

#[tokio::test]
async fn allowed_and_denied_differ_by_their_exit_code() {
    let clinic = Clinic::new().await;

    let allowed = clinic.explain(&["--peer", "billing", "--path", "/fhir/Patient/1"]).await;
    let verified = clinic.presents(&clinic.file("billing.crt")).await;
    let denied = clinic.presents(&clinic.file("stranger.crt")).await;
    let refused = clinic.presents(&clinic.file("ca.crt")).await;

    assert_eq!((allowed.code, verified.code), (Some(0), Some(0)), "{allowed:#?} {verified:#?}");
    assert_eq!((denied.code, refused.code), (Some(1), Some(1)), "{denied:#?} {refused:#?}");
    assert!(denied.stdout.contains("unknown_peer: nearest is peer `billing`"), "{denied:#?}");
    assert!(refused.stdout.contains("an authority's") || refused.stdout.contains("as a leaf"));
}

#[tokio::test]
async fn a_question_about_nobody_is_a_bad_command_line() {
    let clinic = Clinic::new().await;

    for (who, says) in [
        (["--peer", "biling"], "did you mean `billing`?"),
        (["--peer", "nobody"], "there are: billing"),
        (["--spiffe", "http://td/a"], "begins with spiffe://"),
        (["--dns", "a b"], "not a DNS name"),
        (["--cert", "/nowhere/a.crt"], "/nowhere/a.crt: No such file"),
    ] {
        let said = clinic.explain(&who).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:#?}");
        assert!(said.stderr.contains(says), "{said:#?}");
    }
    let said = clinic.explain(&["--peer", "billing", "--listener", "her"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("did you mean `ehr`?"), "{said:#?}");
}

#[tokio::test]
async fn a_path_that_the_gate_refuses_is_no_question_for_the_rules() {
    let clinic = Clinic::new().await;

    for (path, says) in [
        ("fhir", "begins with '/'"),
        ("/a#b", "no request has a fragment"),
        ("/a/../b?c=d", "`..` segment"),
        ("/a/../b", "`..` segment"),
        ("/a/%2e%2e/b", "`..` segment"),
        ("/a%2fb", "percent-encoding"),
        ("//a", "two slashes"),
    ] {
        let said = clinic.explain(&["--peer", "billing", "--path", path]).await;
        assert_eq!(said.code, Some(2), "{path}: {said:#?}");
        assert!(said.stderr.contains(says), "{path}: {said:#?}");
    }
}

#[tokio::test]
async fn a_file_without_certificate_is_told_by_what_it_holds() {
    let clinic = Clinic::new().await;

    let said = clinic.presents(&clinic.file("billing.key")).await;

    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(
        said.stderr.ends_with("billing.key: holds PRIVATE KEY, and no CERTIFICATE\n"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn key_material_that_cannot_be_used_is_named_and_none_is_made() {
    let clinic = Clinic::new().await;
    let authority = clinic.file("authority");
    std::fs::rename(&authority, clinic.file("elsewhere")).unwrap();

    let said = clinic.presents(&clinic.file("billing.crt")).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(said.stderr.contains(authority.to_str().unwrap()), "{said:#?}");
    assert!(!authority.exists());
}

/// A hospital with a listener for each protocol. Questions about names need no key material.
struct Hospital(TempDir);

const HOSPITAL: &str = r#"version: 1
service: ehr
trust_domain: td
identity: { embedded: { dir: authority } }
audit: { dir: audit }
groups: { clinics: [billing, lab] }
peers:
  billing: { spiffe: "spiffe://td/billing" }
  lab: { dns: lis.lab.example }
  ct-2: { dns: ct-2.example }
inbound:
  - name: fhir
    listen: 127.0.0.1:8443
    forward: 127.0.0.1:8080
    protocol: http
    phi: true
    allow: [clinics]
    routes:
      - { name: read, methods: [GET], path: "/fhir/Patient/{id}", allow: [billing] }
      - { name: search, path: /fhir, fhir: { interactions: [search-type], resources: [Patient] }, allow: [clinics] }
      - { name: pdq, path: /pdq, ihe: ITI-47, hosts: [pdq.example], allow: [lab] }
  - name: adt
    listen: 127.0.0.1:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    phi: true
    allow: [clinics]
    messages: [ { name: results, types: ["ORU^*"], allow: [lab] } ]
    senders: [ { name: lis, application: LIS, allow: [lab] } ]
  - name: pacs
    listen: 127.0.0.1:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    phi: true
    allow: [ct-2]
    associations: [ { name: ct, calling_ae: CT2, called_ae: PACS, sop_classes: [CTImageStorage], allow: [ct-2] } ]
  - name: db
    listen: 127.0.0.1:5433
    forward: 127.0.0.1:5432
    protocol: tcp
    allow: [billing]
outbound:
  - { name: to-lab, listen: "127.0.0.1:9002", to: ["lis:8443"], expect: [lab], protocol: http }
"#;

impl Hospital {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("myelin.yaml"), HOSPITAL).unwrap();
        Self(dir)
    }

    async fn explain(&self, question: &[&str]) -> Said {
        let file = self.0.path().join("myelin.yaml");
        myelin(&[&["explain", "-c", file.to_str().unwrap()], question].concat()).await
    }

    /// The exit code, and what was printed.
    async fn says(&self, question: &str) -> (Option<i32>, String) {
        let said = self.explain(&question.split(' ').collect::<Vec<_>>()).await;
        (said.code, said.stdout + &said.stderr)
    }
}

#[tokio::test]
async fn a_request_is_denied_by_the_rule_that_came_nearest_and_every_rule_says_why() {
    let (code, said) = Hospital::new().says("--peer lab --method POST --path /fhir/Patient").await;

    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "fhir: denied by fhir/search (myelin.yaml:20): no_route: nearest is route `search`: \
         interaction search-type, not create\n  \
         fhir/read    myelin.yaml:19  path /fhir/Patient/{id}, not this one; method GET, not POST; \
         allows `billing`, not peer `lab`\n  \
         fhir/search  myelin.yaml:20  interaction search-type, not create\n  \
         fhir/pdq     myelin.yaml:21  path /pdq, not this one; host pdq.example, not none; \
         SOAP action ITI-47, not none\n"
    );
}

#[tokio::test]
async fn every_protocol_is_asked_in_its_own_words() {
    let hospital = Hospital::new();

    for (question, code, says) in [
        (
            "--peer billing --path /fhir/Patient/1",
            0,
            "fhir: allowed by fhir/read (myelin.yaml:19): ",
        ),
        ("--peer lab --path /fhir/Patient/1", 1, "not_listed_for_route: route `read` does not"),
        (
            "--peer lab --path /pdq --method POST --host PDQ.example --soap-action \
             urn:hl7-org:v3:PRPA_IN201305UV02",
            0,
            "it is ITI-47; the body has to begin with {urn:hl7-org:v3}PRPA_IN201305UV02",
        ),
        (
            "--peer lab --path /fhir/Patient?name=x",
            0,
            "the FHIR interaction search-type of Patient",
        ),
        (
            "--peer lab --path /fhir/Patient?name=x&_revinclude=Observation%3Asubject",
            1,
            "nearest is route `search`: resource Patient, not Observation by `_revinclude`",
        ),
        ("--dns lis.lab.example --message ORU^R01 --sender LIS|MAIN", 0, "by adt/results"),
        ("--peer lab --message ADT^A01 --sender LIS|MAIN", 1, "no_message_rule: no rule is for"),
        ("--peer lab --message ORU^R01 --sender EHR|", 1, "unknown_sender: nearest is sender rule"),
        ("--peer ct-2 --calling-ae CT2 --called-ae PACS --sop-class CTImageStorage", 0, "pacs/ct"),
        (
            "--peer ct-2 --calling-ae CT2 --called-ae PACS --sop-class 1.2.840.10008.1.1",
            1,
            "sop_class: association rule `ct` is for SOP class CTImageStorage, not Verification",
        ),
        ("--peer ct-2 --calling-ae CT3 --called-ae PACS", 1, "calling AE title CT2, not CT3"),
        ("--peer lab --listener to-lab", 0, "to-lab: allowed by to-lab (myelin.yaml:"),
        ("--peer billing --listener to-lab", 1, "not_listed: peer `billing` is not among"),
        ("--plaintext --listener fhir", 1, "denied by TLS handshake: `fhir` takes TLS only"),
    ] {
        let (exit, said) = hospital.says(question).await;
        assert_eq!(exit, Some(code), "{question}: {said}");
        assert!(said.contains(says), "{question}: {said}");
    }
}

#[tokio::test]
async fn a_question_that_the_rules_cannot_answer_says_what_to_ask_instead() {
    let hospital = Hospital::new();

    for (question, says) in [
        ("--peer lab --listener adt --path /x", "has `protocol: mllp`; ask with --message"),
        ("--peer lab --listener fhir --message ADT^A01", "has `protocol: http`; ask with --path"),
        ("--peer billing --listener db --path /x", "no rules beyond who may connect"),
        ("--peer lab --listener to-lab --path /x", "is outbound: its rules say whom the server"),
        ("--peer lab --message ORU^R01", "rules for `senders`; say who sends with --sender"),
        ("--peer lab --message ORU^R01 --path /x", "cannot be used with"),
        ("--peer lab --calling-ae CT2", "--called-ae"),
        (
            "--peer ct-2 --calling-ae CT2 --called-ae PACS --sop-class CTImagStorage",
            "did you mean `CTImageStorage`?",
        ),
        ("--peer ct-2 --calling-ae A23456789012345678 --called-ae P", "1 to 16 characters"),
        ("--peer lab --message A|B", "like MSH-9: \"ADT^A01\""),
        ("--peer lab --message oru^r01", "did you mean ORU^R01?"),
        ("--peer lab --message ORU^*", "one type, not `*`"),
        ("--peer lab --message ORU^R01 --sender L^1|M", "before the first ^"),
        ("--peer lab --path /x --method get", "did you mean GET?"),
        ("--peer lab --path /x --soap-action urn:a,urn:b", "as SOAPAction has it"),
        ("--peer lab --at 30.06.2027", "is not a date"),
        ("--peer lab --message ORU^R01 --sender LIS", "with a | between: \"LIS|MAIN\""),
        ("--peer lab --path /x --host pdq.example:443", "without a port"),
        ("--peer clinics", "is a group; ask for one of its members: billing, lab"),
        ("--plaintext --peer lab", "cannot be used with"),
    ] {
        let (exit, said) = hospital.says(question).await;
        assert_eq!(exit, Some(2), "{question}: {said}");
        assert!(said.contains(says), "{question}: {said}");
    }
}

#[tokio::test]
async fn a_question_may_be_about_another_day() {
    let hospital = Hospital::new();
    let file = hospital.0.path().join("myelin.yaml");
    let ends = HOSPITAL.replace(
        "lab: { dns: lis.lab.example }",
        "lab: { dns: lis.lab.example, expires: 2098-06-30 }",
    );
    std::fs::write(&file, ends).unwrap();

    let (before, _) = hospital.says("--peer lab --listener to-lab --at 2098-06-29").await;
    let (after, said) = hospital.says("--peer lab --listener to-lab --at 2098-07-01").await;

    assert_eq!((before, after), (Some(0), Some(1)), "{said}");
    assert!(said.contains("listing_expired"), "{said}");
}

#[tokio::test]
async fn for_programs_an_answer_has_every_rule_with_every_difference() {
    let said =
        Hospital::new().explain(&["--peer", "lab", "--path", "/pdq", "--format", "json"]).await;

    let answers: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let fhir = &answers[0];
    assert_eq!(fhir["allowed"], false);
    assert_eq!((&fhir["rule"], &fhir["line"]), (&"fhir/pdq".into(), &21.into()));
    assert_eq!((&fhir["reason"], &fhir["differs"]), (&"no_route".into(), &"host".into()));
    let pdq = &fhir["rules"][2];
    assert_eq!((&pdq["kind"], &pdq["matches"]), (&"route".into(), &false.into()));
    assert_eq!(
        pdq["differences"],
        serde_json::json!([
            { "field": "host", "wanted": "pdq.example", "found": "none" },
            { "field": "soap_action", "wanted": "ITI-47", "found": "none" },
        ])
    );
}

#[tokio::test]
async fn while_policy_is_observed_the_answer_says_what_would_be_denied() {
    let hospital = Hospital::new();
    let file = hospital.0.path().join("myelin.yaml");
    let observed = HOSPITAL
        .replace("protocol: mllp", "protocol: mllp\n    enforce: false\n    until: 2099-01-01");
    std::fs::write(&file, observed).unwrap();

    let (code, said) = hospital.says("--peer lab --message ADT^A01 --sender LIS|MAIN").await;

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("would be denied: no_message_rule: no rule is for messages"), "{said}");
}
