//! Indexes as searches meet them: good, old, damaged, of others.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::audit::forms::Field;
use crate::audit::read::files::SegmentFile;
use crate::audit::read::{Indexes, Reading, Recorded, Window};

const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// A record of the second `second` after noon.
fn line(second: usize, peer: &str, connection: usize) -> String {
    let at = crate::clock::rfc3339(NOON + Duration::seconds(second.try_into().unwrap()));
    format!(
        r#"{{"@timestamp":"{at}","event":{{"action":"connection-allowed","sequence":{second},"outcome":"success"}},"myelin":{{"listener":"fhir","peer":"{peer}","connection":"{connection:032x}","prev":"00"}}}}"#
    ) + "\n"
}

fn segment(dir: &Path, number: usize, text: &str) -> PathBuf {
    let path = dir.join(format!("trail-20261122T120000Z-{number:020}.jsonl.zst"));
    fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    path
}

/// Four segments of a hundred records each; a connection has two that follow each other.
fn trail() -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let text = |from: usize| {
        let lines = (from..from + 100).map(|n| line(n, ["lab", "billing"][n / 2 % 2], n / 2));
        lines.collect::<String>()
    };
    let paths = [0, 100, 200, 300].map(|from| segment(dir.path(), from, &text(from)));
    (dir, paths.to_vec())
}

fn of(field: &str, value: &str) -> Sought {
    let fields = vec![(Field::named(field).unwrap(), vec![value.to_owned()])];
    Sought { window: Window::default(), fields }
}

fn connection(number: usize) -> Sought {
    of("connection", &format!("{number:032x}"))
}

/// The numbers of what is found, and how it was read.
fn find(dir: &Path, sought: &Sought, indexes: Indexes) -> (Vec<u64>, Reading) {
    let (mut reading, mut found) = (Reading::default(), Vec::new());
    let mut each = |_line: &[u8], recorded: Recorded| {
        found.push(recorded.event.sequence);
        ControlFlow::Continue(())
    };
    reading.find(dir, sought, indexes, &mut each).unwrap();
    (found, reading)
}

/// Lets a search make all indexes.
fn index_all(dir: &Path) {
    assert_eq!(find(dir, &of("outcome", "success"), Indexes::Used).0.len(), 400);
}

#[test]
fn the_first_search_makes_indexes_and_the_next_reads_only_where_something_may_be() {
    let (dir, paths) = trail();

    assert_eq!(find(dir.path(), &connection(120), Indexes::Used).1.files, 4);
    let (found, reading) = find(dir.path(), &connection(120), Indexes::Used);

    assert_eq!((found, reading.files, reading.records), (vec![240, 241], 1, 100));
    assert_eq!(find(dir.path(), &connection(120), Indexes::Passed).1.files, 4);
    assert_eq!(find(dir.path(), &of("peer", "web"), Indexes::Used).1.files, 0);
    assert_eq!(find(dir.path(), &of("reason", ""), Indexes::Used).1.files, 4);
    let until = Sought {
        window: Window { from: None, to: Some(NOON + Duration::seconds(100)) },
        ..Sought::default()
    };
    assert_eq!(find(dir.path(), &until, Indexes::Used).1.files, 1);
    let index = beside(&paths[0]);
    assert!(index.to_str().unwrap().ends_with("00.jsonl.index"));
    assert_eq!(index.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(index).unwrap();
    assert!(!bytes.windows(7).any(|seven| seven == b"billing"), "digests alone");
}

#[test]
fn a_search_for_all_makes_none_nor_does_one_that_passes_them() {
    let (dir, paths) = trail();

    find(dir.path(), &Sought::default(), Indexes::Used);
    find(dir.path(), &connection(1), Indexes::Passed);

    assert!(!beside(&paths[0]).exists());
}

#[test]
fn what_may_still_be_written_to_is_not_indexed() {
    let (dir, _) = trail();
    let newest = dir.path().join("trail-20261122T120000Z-00000000000000000400.jsonl");
    fs::write(&newest, line(400, "web", 400)).unwrap();

    find(dir.path(), &connection(400), Indexes::Used);
    fs::write(&newest, line(400, "web", 400) + &line(401, "web", 400)).unwrap();

    assert_eq!(find(dir.path(), &connection(400), Indexes::Used).0, [400, 401]);
    assert!(!beside(&newest).exists());
}

#[test]
fn segments_that_hold_no_answer_may_even_be_unreadable() {
    let (dir, paths) = trail();
    let plain = paths.iter().map(|path| {
        let plain = path.with_extension("");
        fs::write(&plain, zstd::decode_all(fs::File::open(path).unwrap()).unwrap()).unwrap();
        fs::remove_file(path).unwrap();
        assert!(make(&plain, &AtomicBool::new(false)).unwrap());
        plain
    });
    let plain: Vec<_> = plain.collect();
    for path in [&plain[0], &plain[1], &plain[3]] {
        let mut bytes = fs::read(path).unwrap();
        bytes[..1000].fill(b'x');
        fs::write(path, &bytes).unwrap();
    }

    let (found, reading) = find(dir.path(), &connection(120), Indexes::Used);
    assert_eq!((found, reading.broken), (vec![240, 241], 0));
    assert!(find(dir.path(), &connection(120), Indexes::Passed).1.broken >= 3);
}

#[test]
fn an_index_of_what_was_there_before_counts_for_nothing_and_is_made_anew() {
    let (dir, paths) = trail();
    index_all(dir.path());
    segment(dir.path(), 100, &(line(100, "lab", 7) + &line(101, "lab", 8)));

    assert_eq!(Index::of(&paths[1]), None);
    assert_eq!(find(dir.path(), &connection(7), Indexes::Used).0, [14, 15, 100]);
    assert_eq!(find(dir.path(), &connection(8), Indexes::Used).1.files, 2);
}

#[test]
fn an_index_of_another_segment_counts_for_nothing() {
    let (dir, paths) = trail();
    index_all(dir.path());
    fs::copy(beside(&paths[0]), beside(&paths[2])).unwrap();

    assert_eq!(Index::of(&paths[2]), None);
    assert_eq!(find(dir.path(), &connection(120), Indexes::Used).0, [240, 241]);
}

#[test]
fn an_index_that_others_may_write_to_counts_for_nothing() {
    let (dir, paths) = trail();
    index_all(dir.path());
    assert!(Index::of(&paths[0]).is_some());

    fs::set_permissions(beside(&paths[0]), fs::Permissions::from_mode(0o620)).unwrap();

    assert_eq!(Index::of(&paths[0]), None);
}

#[test]
fn an_index_that_cannot_be_put_there_or_is_something_else_changes_no_answer() {
    let (dir, paths) = trail();
    fs::create_dir(beside(&paths[1])).unwrap();
    fs::write(beside(&paths[2]), "no index").unwrap();
    std::os::unix::fs::symlink("/dev/zero", beside(&paths[3])).unwrap();

    for _ in 0..2 {
        assert_eq!(find(dir.path(), &connection(60), Indexes::Used).0, [120, 121]);
    }

    assert!(beside(&paths[1]).is_dir());
    let left = |entry: fs::DirEntry| entry.file_name().into_string().unwrap().ends_with(".new");
    assert!(!fs::read_dir(dir.path()).unwrap().any(|entry| left(entry.unwrap())));
}

#[test]
fn what_a_crash_left_of_one_is_removed_and_nothing_else() {
    let (dir, paths) = trail();
    index_all(dir.path());
    let left = dir.path().join("trail-20261122T120000Z-00000000000000000000.jsonl.indexXy12.new");
    fs::write(&left, "myelin index 1\n").unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();

    assert_eq!(find(dir.path(), &connection(60), Indexes::Used).0, [120, 121]);
    clear(dir.path()).unwrap();

    assert!(!left.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before - 1);
    assert!(Index::of(&paths[0]).is_some());
}

#[test]
fn a_segment_with_a_line_that_is_no_record_is_always_read() {
    let (dir, paths) = trail();
    segment(dir.path(), 100, &(line(100, "lab", 7) + "Smith, Jane\n"));
    segment(dir.path(), 200, &(line(200, "lab", 7) + "{\"@time"));
    let nothing = of("peer", "web");

    for _ in 0..2 {
        let (found, reading) = find(dir.path(), &nothing, Indexes::Used);
        assert_eq!((found.len(), reading.broken, reading.unfinished), (0, 1, 1));
        // What the keeper makes of them is no better.
        for path in &paths {
            assert!(make(path, &AtomicBool::new(false)).unwrap());
        }
    }
    assert_eq!(find(dir.path(), &nothing, Indexes::Used).1.files, 2);
}

#[test]
fn whoever_only_follows_the_keeper_s_index_finds_the_same() {
    let (dir, paths) = trail();
    assert!(!make(&paths[0], &AtomicBool::new(true)).unwrap(), "it was stopped");
    assert!(!beside(&paths[0]).exists());

    for path in &paths {
        assert!(make(path, &AtomicBool::new(false)).unwrap());
    }

    let (found, reading) = find(dir.path(), &connection(0), Indexes::Used);
    assert_eq!((found, reading.files), (vec![0, 1], 1));
}

#[test]
fn files_that_hold_indexes_are_not_of_the_trail() {
    let (dir, _) = trail();
    index_all(dir.path());

    let files = crate::audit::read::trail_files(dir.path()).unwrap();

    assert_eq!(files.len(), 4);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(SegmentFile::is_name(&entry.file_name()), files.contains(&entry.path()));
    }
}

#[test]
fn a_segment_full_of_connections_is_told_by_little_and_none_is_missed() {
    let salt = [7; 16];
    let digests = |from: u32, to: u32| {
        (from..to).map(|n| Digest::of(&salt, 7, &n.to_string())).collect::<Vec<_>>()
    };
    for (among, bytes, wrong_at_most) in
        [(256, 7168, 0), (257, 7168, 300), (60_000, 192 << 10, 300), (500_000, 192 << 10, 4000)]
    {
        let values = Values::of(digests(0, among), bytes);

        assert!(digests(0, among).into_iter().all(|digest| values.may_have(digest)));
        let others = digests(1_000_000, 1_010_000);
        let wrong = others.into_iter().filter(|digest| values.may_have(*digest)).count();
        assert!(wrong <= wrong_at_most, "{wrong} of 10000 where there are {among}");
        if let Values::Many { bits, .. } = values {
            assert!(bits.len() <= bytes && bits.len() * 8 <= among as usize * 10);
        }
    }
    assert_eq!(Values::of(digests(0, 60_000), 7168), Values::Any);
    let most: usize = FIELDS.iter().map(|(_, most)| most + 9).sum();
    assert!(most + 200 <= LARGEST);
}

prop_compose! {
    fn records()(
        records in prop::collection::vec((0..300_usize, 0..6_usize, 0..20_usize), 1..120)
    ) -> Vec<String> {
        records.into_iter().map(|(second, peer, id)| line(second, &format!("p{peer}"), id)).collect()
    }
}

prop_compose! {
    fn questions()(
        from in prop::option::of(0..300_i64), long in prop::option::of(1..200_i64),
        peers in prop::collection::vec(0..8_usize, 0..3), ids in prop::collection::vec(0..25_usize, 0..3),
        outcome in prop::option::of(prop::sample::select(vec!["success", "failure", ""])),
    ) -> Sought {
        let at = |second| NOON + Duration::seconds(second);
        let to = long.map(|long| at(from.unwrap_or_default() + long));
        let texts = [
            ("peer", peers.iter().map(|peer| format!("p{peer}")).collect::<Vec<_>>()),
            ("connection", ids.iter().map(|id| format!("{id:032x}")).collect()),
            ("outcome", outcome.map(ToOwned::to_owned).into_iter().collect()),
        ];
        let fields = texts.into_iter().filter(|(_, texts)| !texts.is_empty());
        let fields = fields.map(|(name, texts)| (Field::named(name).unwrap(), texts)).collect();
        Sought { window: Window { from: from.map(at), to }, fields }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_and_without_indexes_the_answer_is_the_same(
        records in records(), questions in prop::collection::vec(questions(), 1..8), each in 1..40_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (number, lines) in records.chunks(each).enumerate() {
            segment(dir.path(), number, &lines.concat());
        }
        for sought in questions.iter().chain(&questions) {
            let with = find(dir.path(), sought, Indexes::Used).0;
            prop_assert_eq!(&with, &find(dir.path(), sought, Indexes::Passed).0);
        }
    }

    #[test]
    fn an_index_that_was_cut_or_changed_counts_for_nothing(cut in 0..2000_usize, bit in 0..8_u32) {
        let (dir, paths) = trail();
        assert!(make(&paths[0], &AtomicBool::new(false)).unwrap());
        let whole = fs::read(beside(&paths[0])).unwrap();
        let cut = cut % whole.len();
        let mut changed = whole.clone();
        changed[cut] ^= 1 << bit;

        for bytes in [&whole[..cut], &changed, &[&whole[..], b"x"].concat()] {
            fs::write(beside(&paths[0]), bytes).unwrap();
            prop_assert_eq!(Index::of(&paths[0]), None);
        }
        prop_assert_eq!(find(dir.path(), &connection(0), Indexes::Used).0, [0, 1]);
    }
}
