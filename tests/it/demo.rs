//! `myelin demo`: what it promises a reader is what happens.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::process::{Process, Said, needs, run};

fn myelin() -> Command {
    Command::new(env!("CARGO_BIN_EXE_myelin"))
}

/// `demo` on ports of the kernel's choice, with its temporary directory in `tmp`.
fn demo(tmp: &Path, more: &[&str]) -> Command {
    let mut command = myelin();
    command.args(["demo", "--base-port", "0"]).args(more).env("TMPDIR", tmp);
    command.env_remove("MYELIN_LOG");
    command
}

/// A demonstration that stays until the test is over.
struct Demo {
    process: Process,
    guide: Value,
    tmp: tempfile::TempDir,
}

impl Demo {
    async fn start() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let mut process = Process::start(&mut demo(tmp.path(), &["--format", "json"]));
        let said = process.says("\n}\n").await;
        Self { process, guide: serde_json::from_str(&said).expect(&said), tmp }
    }

    fn dir(&self) -> PathBuf {
        self.guide["dir"].as_str().unwrap().into()
    }

    /// The plaintext side that leads to `service`.
    fn way_to(&self, service: &str) -> SocketAddr {
        let ways = self.guide["ways"].as_array().unwrap();
        let way = ways.iter().find(|way| way["service"] == service).unwrap();
        way["out"].as_str().unwrap().parse().unwrap()
    }

    async fn shell(&self, command: &str) -> Said {
        run(Command::new("sh").args(["-c", command]).current_dir(self.dir()), "").await
    }
}

#[tokio::test]
async fn the_tour_goes_as_it_should_and_leaves_nothing_behind() {
    let tmp = tempfile::tempdir().unwrap();

    let said = run(&mut demo(tmp.path(), &["--once"]), "").await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(said.stdout.contains("\nAll 10 steps went as they should.\n"), "{}", said.stdout);
    assert!(
        said.stdout.contains("  ✓ nothing reaches the service\n") && !said.stdout.contains('✗')
    );
    assert_eq!(said.stderr, "");
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_tour_can_be_read_by_a_program() {
    let tmp = tempfile::tempdir().unwrap();

    let said = run(&mut demo(tmp.path(), &["--once", "--format", "json"]), "").await;

    let steps: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(steps.len(), 10);
    for step in steps {
        assert_eq!(step["ok"], true, "{step:#}");
        assert!(step["checks"].as_array().unwrap().len() >= 4, "{step:#}");
    }
}

#[tokio::test]
async fn every_line_that_it_says_to_try_does_what_it_says() {
    needs("curl", "curl");
    let demo = Demo::start().await;

    let lines = demo.guide["try"].as_array().unwrap();
    assert!(lines.len() >= 14);
    for line in lines {
        let said = demo.shell(line["command"].as_str().unwrap()).await;

        let (all, says) = (said.all(), line["says"].as_str().unwrap());
        assert_eq!(said.code == Some(0), line["succeeds"] == true, "{line:#}\n{all}");
        assert!(all.contains(says), "{line:#}\n{all}");
        if let Some(shows) = line["shows"].as_str() {
            assert!(shows.contains(says), "{line:#}");
        }
    }
}

#[tokio::test]
async fn people_read_the_same_lines_and_see_what_comes_of_them() {
    let tmp = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut demo(tmp.path(), &[]));
    let said = process.says("this is what the services' sidecars decide:").await;
    assert!(said.contains("══ mutual TLS ══▶"), "{said}");

    let read = said.lines().find(|line| line.ends_with("/fhir/Patient/4711")).unwrap();
    let read = run(Command::new("sh").args(["-c", read.trim()]), "").await;

    assert!(read.stdout.contains("Mustermann"), "{}", read.all());
    process.says("✓ fhir request-allowed     billing GET /fhir/Patient/{id}").await;
    process.signal("INT");
    assert!(process.ended().await.success());
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_soap_client_finds_the_service_by_its_description_and_calls_it() {
    let demo = Demo::start().await;
    needs("python3", "python3");
    let wsdl = format!("http://{}/pdq?wsdl", demo.way_to("pdq"));
    let call = "import sys, zeep\n\
         client = zeep.Client(sys.argv[1])\n\
         print(*[p['given'] for p in client.service.FindPatients(family='Mustermann')])\n\
         print(client.service.FindPatients(family='Nobody & <Sons>'))\n";

    let said = run(Command::new("python3").args(["-c", call, &wsdl]), "").await;

    assert_eq!(said.stdout, "Erika Max\n[]\n", "{}", said.all());
}

#[tokio::test]
async fn the_end_drains_and_takes_the_directory_away() {
    let mut demo = Demo::start().await;
    let dir = demo.dir();
    assert!(dir.starts_with(demo.tmp.path()) && dir.join("fhir.yaml").exists());

    demo.process.signal("TERM");

    assert!(demo.process.ended().await.success());
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_directory_that_a_killed_demonstration_left_behind_goes_with_the_next_start() {
    let mut killed = Demo::start().await;
    let mut alive = Process::start(&mut demo(killed.tmp.path(), &["--format", "json"]));
    let guide: Value = serde_json::from_str(&alive.says("\n}\n").await).unwrap();
    let in_use = Path::new(guide["dir"].as_str().unwrap());
    let left = killed.dir();
    killed.process.signal("KILL");
    killed.process.ended().await;
    assert!(left.exists());

    let said = run(&mut demo(killed.tmp.path(), &["--once"]), "").await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(!left.exists());
    assert!(in_use.exists(), "somebody is at work there");
}

#[tokio::test]
async fn what_is_kept_can_be_checked_and_audited_afterwards() {
    let tmp = tempfile::tempdir().unwrap();
    let kept = tmp.path().join("kept");
    let keep = kept.to_str().unwrap();
    let said = run(&mut demo(tmp.path(), &["--once", "--keep", keep]), "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());

    for service in ["fhir", "pdq", "lab", "billing"] {
        let config = kept.join(format!("{service}.yaml"));
        let said = run(myelin().arg("check").arg("-c").arg(config), "").await;
        assert_eq!(said.code, Some(0), "{}", said.all());

        let trail = kept.join("audit").join(service);
        let said = run(myelin().args(["audit", "verify"]).arg(trail), "").await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }

    let again = run(&mut demo(tmp.path(), &["--once", "--keep", keep]), "").await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is not empty: name a new directory with --keep"));
}

#[tokio::test]
async fn two_at_once_do_not_take_each_others_ports() {
    let (one, two) = tokio::join!(Demo::start(), Demo::start());
    let addresses = |demo: &Demo| {
        ["fhir", "pdq", "lab"].map(|service| demo.way_to(service)).into_iter().collect::<Vec<_>>()
    };

    let all: BTreeSet<_> = addresses(&one).into_iter().chain(addresses(&two)).collect();

    assert_eq!(all.len(), 6);
}

#[tokio::test]
async fn a_place_where_nothing_can_be_made_is_named() {
    let said = run(&mut demo(Path::new("/proc"), &["--once"]), "").await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("name another place with --keep"), "{}", said.stderr);

    let said = run(&mut demo(Path::new("/tmp"), &["--once", "--keep", "/proc/nowhere"]), "").await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("cannot make /proc/nowhere"), "{}", said.stderr);
}
