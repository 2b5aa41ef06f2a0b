//! Whatever lies where a trail should: each command ends, in bounded memory, names the place, and repeats nothing of it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::checkpoints::Sealed;
use crate::support::process::{Process, Said, needs, run};
use crate::support::until;

const MYELIN: &str = env!("CARGO_BIN_EXE_myelin");
/// A file of a trail, by its name.
const FIRST: &str = "trail-20261122T120001Z-00000000000000000001.jsonl";
/// More address space than any command needs, and less than a place for each of many blank lines takes; in KiB.
const MEMORY: u32 = 500_000;

/// Runs `myelin audit` with bounded memory.
async fn audit(args: &[&str]) -> Said {
    let mut command = Command::new(needs("sh", "dash"));
    command.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" audit \"$@\""), MYELIN]);
    // Each thread of glibc's malloc reserves 64 MiB that it does not use.
    let said = run(command.args(args).env("MALLOC_ARENA_MAX", "2"), "").await;
    let all = said.all();
    let is_answer = said.code.is_some_and(|code| code <= 3) && !all.contains("panicked");
    assert!(is_answer, "{args:?}: {said:#?}");
    let told = &said.stderr;
    assert!(!told.contains("Smith") && !told.contains('\u{1b}'), "{args:?}: {said:#?}");
    said
}

/// What an answer is to be: its exit code, and words of it.
type Answer = (i32, &'static str);

/// A directory that is no good trail, and what each command says of it.
struct Case {
    what: &'static str,
    make: fn(&Path),
    verify: Answer,
    query: Answer,
    tail: Answer,
    prove: Answer,
    reconcile: Answer,
}

impl Case {
    /// One of which all commands say the same.
    fn same(what: &'static str, make: fn(&Path), told: &'static str) -> Self {
        let one = (1, told);
        let reconcile = (3, told);
        Self { what, make, verify: one, query: one, tail: one, prove: one, reconcile }
    }
}

fn put(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(dir.join(name), bytes).unwrap();
}

/// 100 MiB without a newline.
fn endless(dir: &Path, name: &str) {
    File::create(dir.join(name)).unwrap().set_len(100 * 1024 * 1024).unwrap();
}

fn record(sequence: u64, action: &str) -> String {
    format!(
        r#"{{"@timestamp":"2026-11-22T12:00:01.000Z","event":{{"sequence":{sequence},"action":"{action}"}},"myelin":{{"prev":"Smith"}}}}"#
    ) + "\n"
}

fn cases() -> Vec<Case> {
    let no_file = "jsonl: cannot be read: it is no regular file";
    vec![
        Case::same(
            "nothing at all",
            |dir| fs::remove_dir(dir).unwrap(),
            "cannot be read: No such file",
        ),
        Case {
            query: (2, "is a file; --audit takes the directory"),
            tail: (2, "is a file; --audit takes the directory"),
            prove: (2, "is a file; --audit takes the directory"),
            reconcile: (3, "audit:1: not JSON"),
            ..Case::same(
                "a file",
                |dir| {
                    fs::remove_dir(dir).unwrap();
                    fs::write(dir, "Smith\n").unwrap();
                },
                "cannot be read: Not a directory",
            )
        },
        Case::same(
            "a loop of links",
            |dir| {
                fs::remove_dir(dir).unwrap();
                symlink(dir, dir).unwrap();
            },
            "symbolic links",
        ),
        Case {
            prove: (1, "there is no record 1 in the trail"),
            ..Case::same("an empty directory", |_| {}, "no trail-*.jsonl")
        },
        Case::same(
            "a FIFO",
            |dir| {
                let made = Command::new(needs("mkfifo", "coreutils")).arg(dir.join(FIRST)).status();
                assert!(made.unwrap().success());
            },
            no_file,
        ),
        Case::same(
            "a directory named like a file",
            |dir| fs::create_dir(dir.join(FIRST)).unwrap(),
            no_file,
        ),
        Case::same(
            "a file that is a link to itself",
            |dir| {
                symlink(dir.join(FIRST), dir.join(FIRST)).unwrap();
            },
            "symbolic links",
        ),
        Case::same(
            "a link to nothing",
            |dir| symlink("/nowhere", dir.join(FIRST)).unwrap(),
            "jsonl: cannot be read",
        ),
        Case {
            verify: (1, "jsonl:1: not a record of the trail: not JSON from column 1 on"),
            prove: (1, "jsonl:1: not record 1"),
            ..Case::same(
                "garbage",
                |dir| put(dir, FIRST, b"\xff\x00\x1b[2JSmith\nSmith\n"),
                "jsonl:1: not JSON",
            )
        },
        Case {
            verify: (1, "jsonl:1: not a record of the trail: JSON of another kind from column"),
            prove: (1, "jsonl:1: not record 1"),
            ..Case::same(
                "JSON of another kind",
                |dir| {
                    put(
                        dir,
                        FIRST,
                        "{\"@timestamp\":\"Smith\",\"event\":\"Smith\",\"myelin\":\"Smith\"}\n",
                    );
                },
                "jsonl:1: not a record of a trail",
            )
        },
        Case {
            verify: (1, "jsonl:1: not a record of the trail: not JSON"),
            prove: (1, "jsonl:1: not record 1"),
            ..Case::same(
                "JSON of any depth",
                |dir| put(dir, FIRST, "{\"x\":".to_owned() + &"[".repeat(900_000) + "\n"),
                "jsonl:1: not JSON",
            )
        },
        Case {
            verify: (1, "jsonl:1: longer than any record"),
            prove: (1, "jsonl:1: not record 1"),
            ..Case::same(
                "a line without an end",
                |dir| endless(dir, FIRST),
                "jsonl:1: longer than any record",
            )
        },
        Case {
            verify: (1, "jsonl.zst:1: longer than any record"),
            prove: (1, "jsonl.zst:1: not record 1"),
            ..Case::same(
                "the same in few bytes",
                |dir| {
                    endless(dir, "long");
                    let long = File::open(dir.join("long")).unwrap();
                    let packed = File::create(dir.join(format!("{FIRST}.zst"))).unwrap();
                    zstd::stream::copy_encode(long, packed, 1).unwrap();
                },
                "jsonl.zst:1: longer than any record",
            )
        },
        Case::same(
            "what is not compressed",
            |dir| {
                put(dir, &format!("{FIRST}.zst"), "Smith\n");
            },
            "jsonl.zst: cannot be read: Unknown frame descriptor",
        ),
        Case::same(
            "half of what was compressed",
            |dir| {
                let packed = zstd::encode_all(record(1, "a").repeat(1000).as_bytes(), 1).unwrap();
                put(dir, &format!("{FIRST}.zst"), &packed[..packed.len() / 2]);
            },
            "",
        ),
        Case {
            verify: (1, "jsonl:1: the line is blank"),
            prove: (1, "jsonl:1: not record 1"),
            ..Case::same(
                "blank lines",
                |dir| put(dir, FIRST, vec![b'\n'; 3_000_000]),
                "jsonl:5: not JSON; passed over",
            )
        },
        Case {
            verify: (
                1,
                "jsonl:1: a record that begins a segment is expected at the beginning, another record found",
            ),
            query: (0, ""),
            tail: (0, "a"),
            prove: (1, "there is no record 1 in the trail"),
            reconcile: (0, "they agree, for they have nothing in common"),
            ..Case::same(
                "records at the end of all numbers",
                |dir| {
                    let last = format!("trail-20261122T120001Z-{}.jsonl", u64::MAX);
                    put(dir, &last, record(u64::MAX, "a").repeat(3));
                },
                "",
            )
        },
    ]
}

#[tokio::test]
async fn whatever_lies_where_a_trail_should_each_command_answers_and_names_the_place() {
    let good = Sealed::new().await;
    let good = good.trail.dir().to_str().unwrap();
    let mut wrong = Vec::new();
    for case in cases() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("audit");
        fs::create_dir(&dir).unwrap();
        (case.make)(&dir);
        let place = dir.to_str().unwrap();

        for (args, (code, told)) in [
            (&["verify", place][..], case.verify),
            (&["query", "--audit", place], case.query),
            (&["tail", "--audit", place], case.tail),
            (&["prove", "--sequence", "1", "--audit", place], case.prove),
            (&["reconcile", good, place], case.reconcile),
        ] {
            let said = audit(args).await;

            let what = format!("{}: {args:?}: {said:#?}", case.what);
            let is_right = said.code == Some(code) && said.all().contains(told);
            let names_place = code == 0 || said.stderr.contains(place);
            if !is_right || !names_place {
                wrong.push(format!("{code} and {told:?} are expected of {what}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn files_of_two_trails_in_one_directory_are_not_verified_as_one() {
    let (one, other) = (Sealed::new().await, Sealed::new().await);
    let dir = one.trail.dir().to_str().unwrap();
    let stray = other.trail.segments().remove(0);
    // The two may have begun in the same second.
    let stray_name = stray.file_name().unwrap().to_str().unwrap().replace("trail-20", "trail-21");
    fs::copy(&stray, one.trail.dir().join(&stray_name)).unwrap();

    let verified = audit(&["verify", dir]).await;
    let queried =
        audit(&["query", "--action", "connection-allowed", "--count", "--audit", dir]).await;

    assert_eq!(verified.code, Some(1), "{verified:#?}");
    let told = format!("{stray_name}:1: record ");
    assert!(
        verified.stderr.contains(&told) && verified.stderr.contains("of another trail"),
        "{verified:#?}"
    );
    assert_eq!((queried.code, queried.stdout.trim()), (Some(0), "6"), "{queried:#?}");
}

#[tokio::test]
async fn a_foreign_file_that_would_be_read_as_one_of_the_trail_is_found_by_verify() {
    let sealed = Sealed::new().await;
    let dir = sealed.trail.dir().to_str().unwrap();
    put(sealed.trail.dir(), "notes.txt", "Smith\n");
    assert_eq!(audit(&["verify", dir]).await.code, Some(0), "what nobody reads does no harm");
    put(sealed.trail.dir(), "trail-\u{1b}[2J.jsonl", record(3, "connection-allowed"));

    let verified = audit(&["verify", dir]).await;
    let proven = audit(&["prove", "--sequence", "1", "--audit", dir]).await;

    assert_eq!(verified.code, Some(1), "{verified:#?}");
    assert!(
        verified.stderr.contains("[2J.jsonl: no file of this trail is named so"),
        "{verified:#?}"
    );
    assert_eq!(proven.code, Some(0), "{proven:#?}");
}

#[tokio::test]
async fn a_trail_that_is_followed_may_turn_to_garbage() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), FIRST, record(1, "a"));
    let mut tail = Command::new(MYELIN);
    let mut tail = Process::start(tail.args(["audit", "tail", "-f", "--audit"]).arg(dir.path()));
    tail.says("12:00:01.000Z").await;

    let garbage = "Smith\n".repeat(7) + &record(u64::MAX, "b");
    put(dir.path(), FIRST, record(1, "a") + &garbage);

    until("the garbage to be told", || tail.output().contains("2 lines more passed over")).await;
    tail.signal("INT");
    assert_eq!(tail.ended().await.code(), Some(1), "{}", tail.output());
    let said = tail.output();
    assert_eq!(said.matches("jsonl:2: not a record of a trail; passed over").count(), 1, "{said}");
    assert!(!said.contains("Smith"), "{said}");
}

#[tokio::test]
async fn what_is_no_proof_no_checkpoint_and_no_key_is_named() {
    let sealed = Sealed::new().await;
    let (kept, dir) = (sealed.kept.to_str().unwrap(), sealed.trail.dir().to_str().unwrap());
    let proof = audit(&["prove", "--sequence", "1", "--audit", dir]).await.stdout;
    let place = |name: &str| sealed.dir().join(name);
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        fs::write(place(name), bytes).unwrap();
        place(name)
    };
    endless(sealed.dir(), "endless");
    for (proof, told) in [
        (place("nowhere"), "cannot be read: No such file"),
        (sealed.dir().to_owned(), "cannot be read: Is a directory"),
        (file("empty", b""), "empty"),
        (file("garbage", b"\xff\x00Smith"), "cannot be read: stream did not contain valid UTF-8"),
        (file("half", &proof.as_bytes()[..proof.len() / 2]), "half"),
        (file("twice", (proof.clone() + &proof).as_bytes()), "twice"),
        (place("endless"), "endless"),
        (sealed.kept.clone(), "kept.checkpoint"),
    ] {
        let path = proof.to_str().unwrap();
        let said = audit(&["verify-proof", path, "--checkpoint", kept]).await;
        assert_eq!(said.code, Some(1), "{path}: {said:#?}");
        assert!(said.stderr.contains(path) && said.stderr.contains(told), "{told}: {said:#?}");
        let said = audit(&["verify-proof", path, "--key", &sealed.key, "--format", "json"]).await;
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        assert!(told["unproven"].as_str().unwrap().contains(path), "{said:#?}");
        if proof == sealed.kept {
            continue;
        }
        let said = audit(&["verify", dir, "--checkpoint", path]).await;
        assert_eq!(said.code, Some(2), "{path}: {said:#?}");
        assert!(said.stderr.contains(path), "{said:#?}");
    }
    for key in ["", "x", "a+b+c", &sealed.key[..sealed.key.len() - 2]] {
        let said = audit(&["verify", dir, "--key", key]).await;
        assert_eq!(said.code, Some(2), "{key:?}: {said:#?}");
    }
}
