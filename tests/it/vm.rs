//! A machine with systemd: what the Debian package, Ansible and Terraform bring there, as far as it can be told without
//! one. `tests/vm/run` boots one and tries the rest.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::cli::myelin;
use super::support::process::{Said, needs, run, write};
use super::support::python::{finishes, peer};

/// The units, and what systemd may say of each at most, in tenths; docs/vm.md has the figures.
const UNITS: [(&str, &str); 2] = [("myelin.service", "15"), ("myelin-ca.service", "12")];

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

async fn fine(command: &mut Command) -> Said {
    let said = run(command, "").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    said
}

#[tokio::test]
async fn every_command_has_a_manual_page_that_two_readers_find_nothing_wrong_with() {
    let (man, mandoc) = (needs("man", "man-db"), needs("mandoc", "mandoc"));
    let dir = tempfile::tempdir().unwrap();
    let written = myelin(&["man", dir.path().to_str().unwrap()]).await;
    assert_eq!(written.code, Some(0), "{}", written.all());

    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    for name in ["myelin.1", "myelin-run.1", "myelin-ca-serve.1", "myelin-audit-verify.1"] {
        assert!(pages.contains(&dir.path().join(name)), "{name} is missing: {pages:?}");
    }

    fine(Command::new(mandoc).args(["-T", "lint", "-W", "error"]).args(&pages)).await;
    for page in pages {
        let shown = fine(Command::new(&man).args(["--warnings", "-l"]).arg(&page)).await;
        assert_eq!(shown.stderr, "", "{}", page.display());
        assert!(shown.stdout.contains("SYNOPSIS"), "{}", shown.stdout);
    }
}

#[tokio::test]
async fn a_shell_completes_commands_and_their_options() {
    let completed = |words: &str| {
        // As the shell calls it: command, word, the word before.
        let script = format!(
            "source <(myelin completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _myelin myelin \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        super::readme::shell(Path::new("/"), &script)
    };

    assert_eq!(fine(&mut completed("myelin expl")).await.stdout, "explain\n");
    assert_eq!(fine(&mut completed("myelin audit verify --check")).await.stdout, "--checkpoint\n");
}

#[tokio::test]
async fn systemd_takes_the_units_and_finds_them_hardened() {
    let analyze = needs("systemd-analyze", "systemd");
    let dir = tempfile::tempdir().unwrap();
    for (unit, exposure) in UNITS {
        let text = std::fs::read_to_string(root().join("examples/systemd").join(unit)).unwrap();
        // The program has to be there; any other will do.
        let text = text.replace("=/usr/bin/myelin ", "=/bin/true ");
        let file = write(dir.path(), unit, &text);

        let verified = fine(Command::new(&analyze).args(["verify", "--man=no"]).arg(&file)).await;
        // It also tells of other units of this machine.
        assert!(!verified.all().contains(unit), "{}", verified.all());
        let threshold = ["security", "--no-pager", "--offline=true", "--threshold", exposure];
        fine(Command::new(&analyze).args(threshold).arg(&file)).await;
    }
}

/// What there was on a machine, and what is left of it when the package is purged; and what that says.
async fn purged(files: &[(&str, &str)]) -> (Vec<String>, String) {
    let machine = tempfile::tempdir().unwrap();
    let at = |path: &str| machine.path().join(path);
    for (path, text) in files {
        let file = at(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let script = std::fs::read_to_string(root().join("examples/debian/scripts/postrm")).unwrap();
    let script = script.replace("/var/l", &format!("{}/l", machine.path().display()));
    assert!(!script.contains("/var/"), "{script}");
    let script = write(machine.path(), "postrm", &script);

    let said = fine(Command::new(needs("sh", "dash")).arg(script).arg("purge")).await.stdout;
    let left = files.iter().map(|(path, _)| *path).filter(|path| at(path).exists());
    (left.map(str::to_owned).collect(), said)
}

fn issued(service: &str) -> String {
    format!(
        r#"{{"event":"issued","serial":"03A1","spiffe":"spiffe://hospital.example/{service}","dns":["{service}"]}}"#
    ) + "\n"
}

#[tokio::test]
async fn a_purge_destroys_the_sidecars_keys_and_keeps_evidence_and_what_others_need() {
    let key = ("lib/myelin/authority/root.key", "");
    let record = "lib/myelin/authority/issued.jsonl";
    let trail = ("log/myelin/trail-1.jsonl", "");
    let others = ("lib/myelin-ca/authority/root.key", "");
    let (own, shared) = (issued("ehr") + &issued("ehr"), issued("ehr") + &issued("billing"));

    let (left, said) = purged(&[key, (record, &own), trail, others]).await;
    assert_eq!(left, [trail.0, others.0]);
    assert!(said.contains("log/myelin, the audit trail"), "{said}");
    assert!(said.contains("lib/myelin-ca, the authority that other hosts"), "{said}");

    let (left, said) = purged(&[key, (record, &shared)]).await;
    assert_eq!(left, [key.0, record]);
    assert!(said.contains("lib/myelin, as other services have their certificates from"), "{said}");

    let beside = ("lib/myelin/trail/trail-1.jsonl.zst", "");
    let (left, said) = purged(&[key, (record, &own), beside]).await;
    assert_eq!(left, [key.0, record, beside.0]);
    assert!(said.contains("lib/myelin, as there is an audit trail in it"), "{said}");
}

#[tokio::test]
async fn the_terraform_example_parses_and_lets_no_token_into_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let example = root().join("examples/terraform");
    let args = [example.to_str().unwrap(), dir.path().to_str().unwrap()];

    let told = finishes(peer("terraform_peer", "hcl2", &args)).await;

    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["ephemeral"], serde_json::json!(["join_token"]));
    assert_eq!(told["token_in"], serde_json::json!(["value_wo"]), "write-only: in no state");
    let config = dir.path().join("myelin.yaml");
    if let Err(problems) = myelin::config::load(&config, &|_| None) {
        panic!("{problems}");
    }
    let script = dir.path().join("myelin-enrol");
    fine(Command::new(needs("sh", "dash")).arg("-n").arg(script)).await;
}
