//! `policy` in what the commands say of it: `check`, `run`, `explain`, `policy test` and `policy replay`.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::cli::myelin;
use super::policy_suggest::HEAD;
use super::readme::blocks;
use super::support::paper::{Paper, Somebody};
use super::support::process::{Said, write};

const CONFIG: &str = r#"peers:
  billing: { spiffe: spiffe://hospital.example/billing }
  lab: { spiffe: spiffe://hospital.example/lab }
inbound:
  - name: fhir
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    protocol: http
    allow: [billing, lab]
    routes:
      - { name: read, methods: [GET], path: "/fhir/Patient/{id}", allow: [billing, lab] }
policy: { rego: policy.rego, timeout: 5s }
"#;
const BILLING_ONLY: &str = r#"
allow if input.event.action == "connection-allowed"
allow if input.myelin.peer == "billing"
"#;

/// A configuration with a policy in Rego.
struct Desk(TempDir);

impl Desk {
    fn new(rules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "myelin.yaml", &format!("{HEAD}{CONFIG}"));
        write(dir.path(), "policy.rego", &format!("package myelin\n{rules}"));
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn asked(&self, command: &[&str]) -> Said {
        let config = self.file("myelin.yaml");
        myelin(&[command, &["-c", config.to_str().unwrap()]].concat()).await
    }

    async fn explained(&self, peer: &str) -> Said {
        self.asked(&["explain", "--peer", peer, "--path", "/fhir/Patient/1"]).await
    }
}

#[tokio::test]
async fn check_and_run_say_where_a_policy_is_wrong_in_the_same_words() {
    let desk = Desk::new("allow if {\n  nowhere(input.x)\n}\n");

    let said = desk.asked(&["check"]).await;

    assert_eq!(said.code, Some(3), "{said:#?}");
    let place = desk.file("policy.rego").display().to_string();
    let told = said.stderr.lines().find(|line| line.contains("policy.rego")).unwrap();
    assert!(told.starts_with(&format!("error: {place}:3:3: ")), "{told}");
    let run = desk.asked(&["run"]).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert!(run.stderr.lines().any(|line| line == told), "{run:#?}");
}

#[tokio::test]
async fn check_knows_a_policy_that_fails_when_it_is_asked_or_reaches_out() {
    for (rules, told) in [
        ("allow := \"yes\"", "a question at load: data.myelin.allow is neither true nor false"),
        ("allow if time.now_ns() > 0", "policy.rego:2: `time.now_ns` must not be called"),
        ("deny := true", "policy.rego: there is no rule `data.myelin.allow`"),
    ] {
        let said = Desk::new(rules).asked(&["check"]).await;

        assert_eq!(said.code, Some(3), "{said:#?}");
        assert!(said.stderr.contains(told), "{rules}: {said:#?}");
    }
    let desk = Desk::new("allow := true");
    std::fs::remove_file(desk.file("policy.rego")).unwrap();
    let said = desk.asked(&["check"]).await;
    assert_eq!(said.code, Some(3));
    assert!(said.stderr.contains("`rego: policy.rego` cannot be read: No such file"), "{said:#?}");
}

#[tokio::test]
async fn explain_says_what_rego_says_with_its_query_and_file() {
    let desk = Desk::new(BILLING_ONLY);

    let billing = desk.explained("billing").await;
    let lab = desk.explained("lab").await;

    let by = format!("by data.myelin.allow in {}", desk.file("policy.rego").display());
    assert_eq!(billing.code, Some(0), "{billing:#?}");
    assert!(billing.stdout.contains(&format!("\n  Rego: yes, {by}")), "{billing:#?}");
    assert_eq!(lab.code, Some(1), "{lab:#?}");
    assert!(lab.stdout.starts_with("fhir: denied by fhir/read (myelin.yaml:"), "{lab:#?}");
    assert!(lab.stdout.contains(": rego: data.myelin.allow is undefined"), "{lab:#?}");
    assert!(lab.stdout.contains(&format!("\n  Rego: no, {by}")), "{lab:#?}");
}

#[tokio::test]
async fn explain_tells_programs_what_is_wrong_with_a_policy_or_a_configuration() {
    let policy = Desk::new("allow if nowhere(input.x)\n");
    let configuration = Desk::new(BILLING_ONLY);
    write(configuration.0.path(), "myelin.yaml", "version: 2\n");

    for (desk, key) in [(policy, "policy"), (configuration, "version")] {
        let said = desk.asked(&["explain", "--peer", "lab", "--format", "json"]).await;

        assert_eq!(said.code, Some(3), "{said:#?}");
        let found: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let problems = found["problems"].as_array().unwrap();
        assert!(problems.iter().any(|problem| problem["key"] == key), "{found:#}");
    }
}

#[tokio::test]
async fn a_listener_with_a_route_to_phi_is_asked_about_as_one() {
    let rule = "allow if input.myelin.phi";
    let guarded = CONFIG.replace("name: read,", "name: read, phi: true,");
    for (config, code) in [(CONFIG, 1), (guarded.as_str(), 0)] {
        let desk = Desk::new(rule);
        write(desk.0.path(), "myelin.yaml", &format!("{HEAD}{config}"));

        let said = desk.asked(&["explain", "--peer", "lab"]).await;

        assert_eq!(said.code, Some(code), "{said:#?}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_not_made_up() {
    let desk = Desk::new("allow if input.source.ip == \"10.0.0.1\"\n");
    let cases = write(
        desk.0.path(),
        "cases.yaml",
        "- { name: one, listener: fhir, peer: lab, path: /fhir/Patient/1, expect: allowed }\n",
    );

    let explained = desk.explained("lab").await;
    let tested = desk.asked(&["policy", "test", cases.to_str().unwrap()]).await;

    assert!(
        explained.stdout.contains("Rego: not asked, for it reads `input.source.ip`"),
        "{explained:#?}"
    );
    assert_eq!(tested.code, Some(1), "{tested:#?}");
    assert!(tested.stdout.contains("got:      Rego was not asked"), "{tested:#?}");
}

#[tokio::test]
async fn replay_says_who_would_newly_be_denied_by_rego_and_what_it_was_not_asked() {
    let [billing, lab] = ["billing", "lab"].map(|name| Somebody::service(name).known(name));
    let mut paper = Paper::default();
    for who in [&billing, &lab] {
        paper = paper.line("connection-allowed", ("fhir", "http"), who, &json!({})).request(
            who,
            "GET",
            "/fhir/Patient/{id}",
        );
    }
    let replayed = |rules: &'static str, paper: Paper| async move {
        let desk = Desk::new(rules);
        paper.put(desk.0.path());
        let audit = desk.file("audit");
        desk.asked(&["policy", "replay", "--audit", audit.to_str().unwrap()]).await
    };

    let narrowed = replayed(BILLING_ONLY, paper.clone()).await;
    let by_time = replayed("allow if input.now > \"2026\"", paper).await;

    assert_eq!(narrowed.code, Some(1), "{narrowed:#?}");
    assert!(narrowed.stdout.contains("newly denied on fhir: lab"), "{narrowed:#?}");
    assert!(narrowed.stdout.contains("rego by fhir/read"), "{narrowed:#?}");
    assert!(
        narrowed.stdout.contains("1 newly denied, 0 newly allowed, 3 as before"),
        "{narrowed:#?}"
    );
    assert!(by_time.stdout.contains("not judged: 4 attempts"), "{by_time:#?}");
    assert!(by_time.stdout.contains("Rego was not asked"), "{by_time:#?}");
}

#[tokio::test]
async fn the_example_decides_as_its_cases_say() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rego");
    let desk = tempfile::tempdir().unwrap();
    let copied = |name: &str| {
        let text = std::fs::read_to_string(example.join(name)).unwrap();
        write(desk.path(), name, &text)
    };
    let [cases, config, ..] =
        ["cases.yaml", "myelin.yaml", "policy.rego", "hours.json"].map(copied);
    // Its section `policy` is the last one. On a busy machine the usual timeout would deny.
    let patient = std::fs::read_to_string(&config).unwrap() + "  timeout: 5s\n";
    std::fs::write(&config, patient).unwrap();

    let said =
        myelin(&["policy", "test", cases.to_str().unwrap(), "-c", config.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[test]
fn the_rule_that_the_readme_shows_stands_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let shown = blocks(&read("docs/policy.md"), "rego");

    assert_eq!(shown.len(), 1);
    assert!(read("examples/rego/policy.rego").contains(&shown[0]), "{}", shown[0]);
}
