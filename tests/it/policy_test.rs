//! `myelin policy test`: decisions that are expected, as a file that CI can run.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::cli::myelin;
use super::policy_suggest::HEAD;
use super::readme::{blocks, shell};
use super::support::paper::{Paper, Somebody};
use super::support::process::{Said, run, write};

const CONFIG: &str = r#"peers:
  billing: { spiffe: spiffe://hospital.example/billing }
  lab: { dns: lis.lab.example, expires: 2027-06-30 }
inbound:
  - name: fhir
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [billing, lab]
    routes:
      - { name: read, path: /fhir, fhir: { interactions: [read] }, allow: [billing] }
  - name: adt
    listen: 0.0.0.0:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    allow: [lab]
    messages: ["ORU^*"]
"#;

/// A configuration, and cases to put to it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "myelin.yaml", &format!("{HEAD}{CONFIG}"));
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn test(&self, cases: &str, more: &[&str]) -> Said {
        let cases = write(self.0.path(), "cases.yaml", cases);
        let config = self.file("myelin.yaml");
        let named = ["policy", "test", cases.to_str().unwrap(), "-c", config.to_str().unwrap()];
        myelin(&[&named, more].concat()).await
    }
}

#[tokio::test]
async fn cases_that_hold_are_counted_and_nothing_more() {
    let cases = r#"
- { name: billing reads, listener: fhir, peer: billing, path: /fhir/Patient/1, expect: allowed, rule: fhir/read }
- { name: nobody searches, listener: fhir, peer: billing, path: /fhir/Patient, expect: denied, reason: no_route }
- { name: a stranger, listener: fhir, spiffe: "spiffe://hospital.example/x", expect: denied, reason: unknown_peer }
- { name: by its name, listener: adt, dns: lis.lab.example, message: "ORU^R01", sender: "LIS|MAIN", expect: allowed }
- { name: later, listener: adt, peer: lab, message: "ORU^R01", at: 2027-07-01, expect: denied, reason: listing_expired }
- { name: no TLS, listener: adt, plaintext: true, expect: denied }
"#;

    let said = Desk::new().test(cases, &[]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(said.stdout, "6 cases: 6 as expected, 0 not\n");
}

#[tokio::test]
async fn a_case_that_does_not_hold_says_what_came_instead_and_by_which_rule() {
    let cases = "- name: lab reads patients\n  listener: fhir\n  peer: lab\n  path: /fhir/Patient/1\n  \
                 expect: allowed\n";
    let desk = Desk::new();

    let said = desk.test(cases, &[]).await;
    let json = desk.test(cases, &["--format", "json"]).await;

    assert_eq!((said.code, json.code), (Some(1), Some(1)), "{said:#?}");
    assert_eq!(
        said.stdout,
        "cases.yaml:1: lab reads patients\n  expected: allowed\n  got:      denied (not_listed_for_route) by \
         fhir/read (myelin.yaml:16): route `read` does not allow peer `lab`\n1 case: 0 as expected, 1 not\n"
    );
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["got"]["reason"], "not_listed_for_route");
    assert_eq!(json[0]["as_expected"], false);
}

#[tokio::test]
async fn every_problem_of_the_cases_is_told_at_once_with_its_place() {
    let cases = r#"
- { name: a, listener: fihr, peer: billing, expect: allowed }
- { name: b, listener: fhir, peer: biling, expect: allowed }
- { name: c, listener: fhir, peer: billing, message: "ADT^A01", expect: allowed }
- { name: d, listener: fhir, peer: billing, dns: a.example, path: /a/../b, expect: perhaps }
- { name: e, listener: fhir, expect: denied, reason: no_rute }
"#;

    let said = Desk::new().test(cases, &[]).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    for text in [
        "did you mean `fhir`?",
        "did you mean `billing`?",
        "message, sender are for listeners with `protocol: mllp`, which this is not",
        "`dns` beside `peer`: somebody is named in exactly one way",
        "is not a path that rules see",
        "is not one of allowed, denied",
        "nothing says who asks",
        "did you mean `no_route`?",
        "cases.yaml:3:",
    ] {
        assert!(said.stderr.contains(text), "{text}\n{}", said.stderr);
    }
}

/// A listener of each kind with rules, for questions that none of their requests can put.
const STRICT: &str = r#"groups: { clinics: [billing, lab] }
peers:
  billing: { spiffe: spiffe://hospital.example/billing }
  lab: { dns: lis.lab.example }
inbound:
  - name: fhir
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [billing]
    routes: [ { name: read, path: "/fhir/{rest...}", allow: [billing] } ]
  - name: adt
    listen: 0.0.0.0:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    allow: [lab]
    senders: [ { name: lis, application: LIS, allow: [lab] } ]
  - name: pacs
    listen: 0.0.0.0:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    allow: [lab]
outbound:
  - { name: to-lab, listen: "127.0.0.1:9002", to: ["lis:8443"], expect: [lab], protocol: http }
"#;

#[tokio::test]
async fn a_case_is_about_something_that_can_come_or_is_refused_with_the_mend_at_its_place() {
    let desk = Desk::new();
    write(desk.0.path(), "myelin.yaml", &format!("{HEAD}{STRICT}"));

    for (asked, key, says) in [
        ("listener: fhir, peer: billing, path: /a, method: get", "method", "did you mean GET?"),
        ("listener: fhir, peer: billing, path: /a, method: TRACE", "method", "are not carried"),
        ("listener: fhir, peer: billing, path: /a%2fb", "path", "hides a delimiter"),
        ("listener: fhir, peer: billing, path: /a/%2e%2e/b", "path", "`..` segment"),
        ("listener: fhir, peer: billing, path: /a//b", "path", "two slashes in a row"),
        ("listener: fhir, peer: billing, path: /a;x=1", "path", "cut the segment off"),
        ("listener: fhir, peer: billing, path: /Müller x", "path", "write /M%C3%BCller%20x"),
        ("listener: fhir, peer: billing, path: '/a?b=c#d'", "path", "no request has a fragment"),
        (
            "listener: fhir, peer: billing, path: /a, host: 'a:443'",
            "host",
            "without a port: write a",
        ),
        ("listener: fhir, peer: billing, path: /a, host: a b", "host", "a name or an address"),
        (
            "listener: fhir, peer: billing, path: /a, soap_action: 'urn:a,urn:b'",
            "soap_action",
            "quotes",
        ),
        (
            "listener: fhir, peer: billing, method: GET",
            "method",
            "`path` is missing beside `method`",
        ),
        (
            "listener: fhir, peer: billing, path: /a, rule: fhir/raed",
            "rule",
            "did you mean `read`?",
        ),
        ("listener: fhir, peer: clinics", "peer", "one of its members: billing, lab"),
        ("listener: adt, peer: lab, message: oru^r01", "message", "did you mean ORU^R01?"),
        ("listener: adt, peer: lab, message: 'ORU^*'", "message", "one type, not `*`"),
        ("listener: adt, peer: lab, message: ORU^R01", "message", "add `sender: LIS|MAIN`"),
        (
            "listener: adt, peer: lab, message: ORU^R01, sender: 'L^1|M'",
            "sender",
            "before the first ^",
        ),
        ("listener: adt, peer: lab, message: ORU^R01, sender: 'L&S|M'", "sender", "leave out | ~"),
        ("listener: adt, peer: lab, message: ORU^R01, sender: LIS", "sender", "with a | between"),
        (
            "listener: pacs, peer: lab, calling_ae: A2345678901234567890, called_ae: P",
            "calling_ae",
            "1 to 16 characters",
        ),
        (
            "listener: pacs, peer: lab, calling_ae: 'A\\B', called_ae: P",
            "calling_ae",
            "no backslash",
        ),
        (
            "listener: pacs, peer: lab, calling_ae: A, called_ae: ' P'",
            "called_ae",
            "they do not count",
        ),
        (
            "listener: pacs, peer: lab, calling_ae: A, called_ae: P, sop_classes: [1.2.03]",
            "sop_classes[0]",
            "without leading zeros",
        ),
        ("listener: to-lab, peer: lab, path: /a", "path", "for inbound listeners"),
        (
            "listener: fhir, peer: billing, path: /a, message: ADT^A01",
            "message",
            "asks for one thing",
        ),
    ] {
        let case = format!("- {{ name: a, {asked}, expect: denied }}\n");
        let name = key.trim_end_matches("[0]");

        let said = desk.test(&case, &["--format", "json"]).await;

        assert_eq!(said.code, Some(3), "{asked}: {said:#?}");
        let found: Value = serde_json::from_str(&said.stdout).unwrap();
        let problem = &found["problems"][0];
        let told = problem.to_string();
        assert!(told.contains(says), "{asked}: {told}");
        assert_eq!(problem["key"], format!("[0].{key}"), "{told}");
        let [line, column, length] = ["line", "column", "length"]
            .map(|key| usize::try_from(problem[key].as_u64().unwrap()).unwrap());
        // The key itself, or the whole of what stands behind it.
        let marked = &case[column - 1..][..length];
        let entry = format!("{name}: {marked}");
        let is_marked = marked == name
            || case.contains(&entry)
            || case.contains(&format!("{name}: [{marked}]"));
        assert!(line == 1 && is_marked, "{marked:?}: {told}");
    }
}

#[tokio::test]
async fn the_lines_of_the_readme_do_what_it_says() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md")).unwrap();
    let (lines, cases) = (blocks(&readme, "sh policy"), blocks(&readme, "yaml cases"));
    let dir = tempfile::tempdir().unwrap();
    let billing = Somebody::service("billing");
    Paper::default().request(&billing, "GET", "/fhir/Patient/{id}").put(dir.path());
    write(dir.path(), "cases.yaml", &cases[0]);
    let mut lines: Vec<_> = lines[0].lines().collect();
    // As the operator goes on: the rules behind the first keys of a file.
    write(dir.path(), "head.yaml", HEAD);
    lines.insert(1, "cat head.yaml rules.yaml > new.yaml");

    let said = run(&mut shell(dir.path(), &lines.join("\n")), "").await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("0 newly denied"), "{said:#?}");
    assert!(said.stdout.contains("4 cases: 4 as expected, 0 not"), "{said:#?}");
}
