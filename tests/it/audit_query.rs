//! `myelin audit query`: finds what was asked for, and says so when it could not read all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cli::myelin;
use crate::readme::{blocks, shell};
use crate::support::day::Day;
use crate::support::mesh::Mesh;
use crate::support::process::{Said, needs, run};
use crate::support::trail::Trail;

/// A trail of these lines, in a file of this name.
fn trail(dir: &Path, name: &str, lines: &[String]) {
    fs::write(dir.join(name), lines.concat()).unwrap();
}

/// A record of the second `second` after noon.
fn record(second: u64, peer: &str) -> String {
    format!(
        r#"{{"@timestamp":"2026-11-22T12:00:{second:02}.000Z","event":{{"sequence":{second},"action":"connection-allowed","outcome":"success"}},"service":{{"name":"ehr"}},"network":{{"direction":"ingress"}},"myelin":{{"listener":"fhir","peer":"{peer}","phi":true,"prev":"00"}}}}"#
    ) + "\n"
}

async fn query(dir: &Path, args: &[&str]) -> Said {
    let dir = dir.to_str().unwrap();
    myelin(&[&["audit", "query", "--audit", dir], args].concat()).await
}

/// The numbers of the records that are found.
async fn found(dir: &Path, args: &[&str]) -> Vec<u64> {
    let said = query(dir, args).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    let number =
        |line| serde_json::from_str::<Value>(line).unwrap()["event"]["sequence"].as_u64().unwrap();
    said.stdout.lines().map(number).collect()
}

/// Five records of two peers.
fn five(dir: &Path) {
    let lines: Vec<_> =
        (1..=5).map(|n| record(n, if n % 2 == 0 { "lab" } else { "billing" })).collect();
    trail(dir, "trail-1.jsonl", &lines);
}

#[tokio::test]
async fn records_are_found_by_time_and_by_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path());

    assert_eq!(found(dir.path(), &["--from", "2026-11-22T12:00:03Z"]).await, [3, 4, 5]);
    assert_eq!(found(dir.path(), &["--to", "2026-11-22T12:00:03Z"]).await, [1, 2]);
    assert_eq!(found(dir.path(), &["--from", "2026-11-22", "--to", "2026-11-22"]).await.len(), 5);
    assert_eq!(found(dir.path(), &["--to", "2026-11-21"]).await, [0; 0]);
    assert_eq!(found(dir.path(), &["--peer", "lab"]).await, [2, 4]);
    assert_eq!(found(dir.path(), &["--peer", "lab", "--peer", "billing"]).await.len(), 5);
    assert_eq!(found(dir.path(), &["--peer", "lab", "--outcome", "failure"]).await, [0; 0]);
    assert_eq!(
        found(dir.path(), &["--action", "connection-allowed", "--limit", "2"]).await,
        [1, 2]
    );
}

#[tokio::test]
async fn records_are_sorted_counted_and_grouped() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path());

    assert_eq!(found(dir.path(), &["--sort", "peer"]).await, [1, 3, 5, 2, 4]);
    assert_eq!(
        found(dir.path(), &["--sort", "sequence", "--reverse", "--limit", "2"]).await,
        [5, 4]
    );
    assert_eq!(query(dir.path(), &["--count", "--peer", "lab"]).await.stdout, "2\n");
    let grouped = query(dir.path(), &["--group-by", "peer", "--format", "csv"]).await;
    assert_eq!(grouped.stdout, "peer,records,events\r\nbilling,3,3\r\nlab,2,2\r\n");
    let grouped = query(dir.path(), &["--group-by", "peer"]).await;
    assert!(
        grouped.stdout.starts_with("{\"peer\":\"billing\",\"records\":3,\"events\":3}\n"),
        "{grouped:#?}"
    );
}

#[tokio::test]
async fn a_line_that_is_no_record_is_named_and_the_answer_is_not_called_whole() {
    let dir = tempfile::tempdir().unwrap();
    let huge = "x".repeat(2 * 1024 * 1024) + "\n";
    let lines =
        [record(1, "lab"), "Smith, Jane\n".into(), "{\"a\":1}\n".into(), huge, record(2, "lab")];
    trail(dir.path(), "trail-1.jsonl", &lines);

    let said = query(dir.path(), &["--format", "csv"]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert_eq!(said.stdout.lines().count(), 3, "{said:#?}");
    for told in [
        "1.jsonl:2: not JSON",
        "1.jsonl:3: not a record of a trail",
        "1.jsonl:4: longer than any record",
    ] {
        assert!(said.stderr.contains(told), "{said:#?}");
    }
    assert!(!said.stderr.contains("Smith"));
}

#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_named() {
    let dir = tempfile::tempdir().unwrap();
    trail(dir.path(), "trail-1.jsonl", &[record(1, "lab")]);
    fs::write(dir.path().join("trail-2.jsonl.zst"), "not compressed").unwrap();

    let said = query(dir.path(), &[]).await;

    assert_eq!((said.code, said.stdout.lines().count()), (Some(1), 1), "{said:#?}");
    assert!(said.stderr.contains("trail-2.jsonl.zst: cannot be read"), "{said:#?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path());

    for (args, told) in [
        (&["--action", "connection-alowed"][..], "connection-allowed"),
        (&["--sort", "pear"], "peer"),
        (&["--from", "yesterday"], "2026-11-01T18:00:00Z"),
        (&["--resource", "patients"], "Patient"),
        (&["--connection", "12"], "32 hexadecimal digits"),
        (&["--from", "2026-11-22", "--to", "2026-11-20"], "--to is before --from"),
        (&["--group-by", "peer", "--format", "fhir"], "jsonl or csv"),
        (&["--count", "--sort", "peer"], "cannot be used with"),
        (&["--audit", "/proc/version"], "is a file; --audit takes the directory"),
    ] {
        let said = query(dir.path(), args).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{args:?} {said:#?}");
        assert!(said.stderr.contains(told), "{args:?} {said:#?}");
    }
}

#[tokio::test]
async fn without_a_directory_it_is_the_configuration_s() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("ehr").allow("billing").forward("127.0.0.1:9");
    let config = setup.write();
    let ehr = setup.start().await;
    ehr.trail().wait_for("config-loaded", 1).await;

    let said =
        myelin(&["audit", "query", "-c", config.to_str().unwrap(), "--action", "config-loaded"])
            .await;

    assert_eq!((said.code, said.stdout.lines().count()), (Some(0), 1), "{said:#?}");
    ehr.stop().await;
    let none = myelin(&["audit", "query", "-c", "/nowhere/myelin.yaml"]).await;
    assert_eq!(none.code, Some(3), "{none:#?}");
    assert!(none.stderr.contains("--audit DIR"), "{none:#?}");
}

#[tokio::test]
async fn both_sides_of_a_connection_are_found_by_its_id() {
    let day = Day::new().await;
    let associations = day
        .trails
        .iter()
        .map(|trail| trail.all("association-completed"))
        .find(|all| !all.is_empty());
    let id = associations.unwrap()[0].connection().to_owned();

    let said = day.query(&["--connection", &id, "--group-by", "service", "--format", "csv"]).await;

    assert!(said.stdout.contains("\r\nct,") && said.stdout.contains("\r\npacs,"), "{said:#?}");
    let denied = day.query(&["--outcome", "failure", "--group-by", "reason"]).await;
    assert!(denied.stdout.contains(r#"{"reason":"unknown_peer","#), "{denied:#?}");
}

/// The day's trails as they are when their files have ended: some records in each.
fn cut(day: &Day, to: &Path) -> Vec<PathBuf> {
    let cut = |(number, trail): (usize, &Trail)| {
        let dir = to.join(number.to_string());
        fs::create_dir(&dir).unwrap();
        let text = trail.text();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        for (number, lines) in lines.chunks(7).enumerate() {
            let name = format!("trail-20261122T120000Z-{number:020}.jsonl.zst");
            let compressed = zstd::encode_all(lines.concat().as_bytes(), 1).unwrap();
            fs::write(dir.join(name), compressed).unwrap();
        }
        dir
    };
    day.trails.iter().enumerate().map(cut).collect()
}

#[tokio::test]
async fn indexes_change_no_answer_and_can_be_passed() {
    let day = Day::new().await;
    let copies = tempfile::tempdir().unwrap();
    let dirs = cut(&day, copies.path());
    let named = dirs.iter().flat_map(|dir| ["--audit", dir.to_str().unwrap()]);
    let named: Vec<_> = named.collect();
    let ask = async |filter: &[&str]| {
        let said = myelin(&[&["audit", "query"], &named[..], filter].concat()).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{filter:?} {said:#?}");
        said.stdout
    };
    let denial = day.trails.iter().flat_map(|trail| trail.all("connection-denied")).next().unwrap();

    for filter in [
        &["--outcome", "failure"][..],
        &["--connection", denial.connection()],
        &["--action", "connection-denied", "--action", "message-completed"],
        &["--resource", "Patient", "--listener", "ehr"],
        &["--peer", "billing", "--from", "1h"],
        &["--to", "2026-01-01"],
        &["--reason", "no_such_reason"],
    ] {
        let without = ask(&[filter, &["--no-index"]].concat()).await;
        // The first search makes what the second goes by.
        assert_eq!(ask(filter).await, without, "{filter:?}");
        assert_eq!(ask(filter).await, without, "{filter:?}");
    }
    let files = dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let indexes = files
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "index"));
    assert!(indexes.count() > 5);
}

#[tokio::test]
async fn where_nothing_can_be_written_all_is_read_and_nothing_is_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("trail-1.jsonl.zst");
    fs::write(&closed, zstd::encode_all(record(1, "lab").as_bytes(), 1).unwrap()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere, unless it is taken its capabilities.
    let mut command = Command::new(needs("setpriv", "util-linux"));
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    command.args([env!("CARGO_BIN_EXE_myelin"), "audit", "query", "--peer", "lab", "--audit"]);

    let said = run(command.arg(dir.path()), "").await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    assert_eq!(said.stdout.lines().count(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_questions_of_the_readme_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("audit")).unwrap();
    five(&dir.path().join("audit"));
    let questions = blocks(include_str!("../../docs/audit.md"), "sh query");
    assert_eq!(questions.len(), 1);

    let said = run(&mut shell(dir.path(), &questions[0]), "").await;

    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    let rows = fs::read_to_string(dir.path().join("billing.csv")).unwrap();
    assert_eq!(rows.lines().count(), 4, "{rows}");
}
