//! `myelin audit tail`: a trail on a terminal and through a pipe, while it is written, ends files and begins again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::myelin;
use crate::support::mesh::Mesh;
use crate::support::process::{Process, Said, needs, run};
use crate::support::until;
use crate::support::workload::{Kind, Workload};

const MYELIN: &str = env!("CARGO_BIN_EXE_myelin");

/// A record of the second `second` after noon.
fn record(second: u64, action: &str, outcome: &str) -> String {
    format!(
        r#"{{"@timestamp":"2026-11-22T12:00:{second:02}.000Z","event":{{"sequence":{second},"action":"{action}","outcome":"{outcome}","reason":"not_listed"}},"service":{{"name":"ehr"}},"network":{{"direction":"ingress"}},"myelin":{{"listener":"fhir","peer":"lab{second}","phi":true,"prev":"00"}}}}"#
    ) + "\n"
}

/// Six records in three files, of which one is a checkpoint and one a denial.
fn six() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let actions = [
        ("connection-allowed", "success"),
        ("connection-closed", "success"),
        ("connection-allowed", "success"),
        ("connection-denied", "failure"),
        ("connection-closed", "success"),
        ("checkpoint", "success"),
    ];
    let lines: Vec<_> =
        (1..).zip(actions).map(|(n, (action, how))| record(n, action, how)).collect();
    for (file, lines) in lines.chunks(2).enumerate() {
        let first = 2 * file + 1;
        let name = format!("trail-20261122T12000{first}Z-{first:020}.jsonl");
        fs::write(dir.path().join(name), lines.concat()).unwrap();
    }
    dir
}

async fn tail(dir: &Path, args: &[&str]) -> Said {
    myelin(&[&["audit", "tail", "--audit", dir.to_str().unwrap()], args].concat()).await
}

#[tokio::test]
async fn the_last_records_come_as_readable_lines_without_colours_through_a_pipe() {
    let dir = six();

    let said = tail(dir.path(), &["-n", "3"]).await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{said:#?}");
    assert_eq!(
        lines[1],
        "2026-11-22 12:00:04.000Z ✗ ehr/fhir     connection-denied     lab4 (not_listed)"
    );
    assert!(lines[0].contains(" ✓ ") && lines[2].contains(" · "), "{said:#?}");
    let coloured = tail(dir.path(), &["-n", "1", "--color", "always"]).await;
    assert!(coloured.stdout.starts_with("\u{1b}[2m2026"), "{coloured:#?}");
}

#[tokio::test]
async fn filters_forms_and_checkpoints_are_those_of_query() {
    let dir = six();

    let denied = tail(dir.path(), &["--outcome", "failure", "--format", "jsonl"]).await;
    let sealed = tail(dir.path(), &["--action", "checkpoint"]).await;
    let csv = tail(dir.path(), &["-n", "1", "--format", "csv"]).await;
    let none = tail(dir.path(), &["-n", "0"]).await;

    assert_eq!(denied.stdout, record(4, "connection-denied", "failure"));
    assert_eq!(sealed.stdout.lines().count(), 1, "{sealed:#?}");
    assert_eq!(csv.stdout.lines().count(), 2, "{csv:#?}");
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""), "{none:#?}");
    let nowhere = tail(Path::new("/nowhere"), &["-f"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:#?}");
    assert!(nowhere.stderr.contains("/nowhere: cannot be read"), "{nowhere:#?}");
}

#[tokio::test]
async fn time_is_the_machine_s_when_that_is_asked_for() {
    let dir = six();
    let mut command = Command::new(MYELIN);
    command.args(["audit", "tail", "-n", "1", "--local", "--audit"]).arg(dir.path());

    let said = run(command.env("TZ", "XST-05:30"), "").await;

    assert!(said.stdout.starts_with("2026-11-22 17:30:05.000+05:30 "), "{said:#?}");
}

#[tokio::test]
async fn on_a_terminal_lines_are_coloured_and_as_wide_as_it_is_and_ctrl_c_ends_it() {
    let dir = six();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/terminal.py");
    let shown = async |env: &[(&str, &str)]| {
        let mut command = Command::new(needs("python3", "python3"));
        command.arg(&script).args(["50", "12:00:05", MYELIN, "audit", "tail", "-f", "--audit"]);
        let said = run(command.arg(dir.path()).envs(env.iter().copied()), "").await;
        serde_json::from_str::<Value>(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"))
    };

    let coloured = shown(&[("NO_COLOR", "")]).await;
    let plain = shown(&[("NO_COLOR", "1")]).await;

    assert_eq!(coloured["code"], 0, "{coloured}");
    let came = coloured["came"].as_str().unwrap();
    assert!(came.contains("\u{1b}[31m2026-11-22 12:00:04.000Z ✗ "), "{came:?}");
    let came = plain["came"].as_str().unwrap();
    assert!(!came.contains('\u{1b}'), "{came:?}");
    let lines: Vec<_> = came.lines().filter(|line| line.starts_with("2026")).collect();
    assert_eq!(lines.len(), 5, "{came:?}");
    assert!(lines.iter().all(|line| line.chars().count() == 50 && line.ends_with('…')), "{came:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_even_when_nothing_comes() {
    let dir = six();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" audit tail -f -n 1 --audit \"$1\" | head -n 1", MYELIN]);

    let said = run(shell.arg(dir.path()), "").await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert_eq!(said.stdout.lines().count(), 1, "{said:#?}");
}

#[tokio::test]
async fn whoever_follows_past_what_cannot_be_read_is_told_and_it_counts_as_failed() {
    let dir = six();
    let mut command = Command::new(MYELIN);
    command.args(["audit", "tail", "-f", "--format", "jsonl", "--audit"]).arg(dir.path());
    let mut followed = Process::start(&mut command);
    followed.says(r#""sequence":5"#).await;

    let newest = dir.path().join(format!("trail-20261122T120005Z-{:020}.jsonl", 5));
    let unreadable = record(7, "connection-allowed", "success").replace("\"fhir\"", "{}");
    let came = ["garbage\n".to_owned(), unreadable, record(8, "connection-closed", "success")];
    let mut newest = fs::File::options().append(true).open(newest).unwrap();
    newest.write_all(came.concat().as_bytes()).unwrap();
    followed.says(r#""sequence":8"#).await;
    followed.signal("INT");

    assert_eq!(followed.ended().await.code(), Some(1), "{}", followed.output());
    let said = followed.output();
    assert!(said.contains(":3: not a record of a trail; passed over"), "{said}");
    assert!(said.contains("record 7: not a record of a trail; passed over"), "{said}");
}

#[tokio::test]
async fn a_trail_is_followed_through_rotation_compression_and_restarts_and_nothing_comes_twice() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("ehr").allow("web").forward(workload.target()).phi();
    let dir = mesh.dir().join("ehr/audit");
    let setup = setup.audit(&format!("dir: {} , segment_size: 64KiB", dir.display()));
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new(MYELIN);
    command.args(["audit", "tail", "-f", "--format", "jsonl", "--action", "connection-allowed"]);
    // Before there is anything to follow, and before anybody can put on record who does.
    let mut followed = Process::start(command.arg("--audit").arg(&dir));

    for restart in 1..=2 {
        let ehr = setup.start().await;
        for _ in 0..40 {
            mesh.connect("web", &ehr).await.echoes("hello").await;
        }
        until("a file to be compressed", || {
            let segments = ehr.trail().segments();
            segments.iter().filter(|file| file.extension().unwrap() == "zst").count() >= restart
        })
        .await;
        ehr.stop().await;
    }

    until("all to be told", || followed.output().lines().count() >= 80).await;
    followed.signal("INT");
    assert_eq!(followed.ended().await.code(), Some(0), "{}", followed.output());
    let trail = setup.trail().text();
    let written: Vec<_> =
        trail.lines().filter(|line| line.contains("\"connection-allowed\"")).collect();
    assert_eq!(followed.output().lines().collect::<Vec<_>>(), written);

    let ehr = setup.start().await;
    let read = ehr.trail().only("log-read").await;
    assert_eq!(read.text("myelin.read.command"), "audit tail");
    assert_eq!(read.field("myelin.read.filters").to_string(), r#"["action"]"#);
    assert_eq!(read.number("myelin.read.records"), 80);
    ehr.stop().await;
}
