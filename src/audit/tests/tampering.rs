//! What `verify` finds.

use super::*;

/// Rewrites the lines of the only file of `dir`, and says what `verify` says of it.
fn after(dir: &TempDir, tamper: impl FnOnce(&mut Vec<String>)) -> String {
    let file = &files(dir.path())[0];
    let mut lines: Vec<String> =
        fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    tamper(&mut lines);
    fs::write(file, lines.join("\n") + "\n").unwrap();
    let error = verify_alone(dir.path()).unwrap_err().to_string();
    let name = file.file_name().unwrap().to_str().unwrap();
    error.split_once(&format!("{name}:")).unwrap().1.to_owned()
}

/// A trail of three files, the middle one being in its own day.
async fn three_files() -> TempDir {
    let dir = trail_of(2).await;
    for day in ["20200101", "20200102"] {
        let newest = files(dir.path()).pop().unwrap();
        let name = newest.file_name().unwrap().to_str().unwrap();
        let aged = format!("trail-{day}T000000Z-{}", name.split_once("Z-").unwrap().1);
        fs::rename(&newest, dir.path().join(aged)).unwrap();
        open(dir.path()).close().await;
    }
    assert_eq!(files(dir.path()).len(), 3);
    dir
}

#[tokio::test]
async fn a_trail_that_was_left_alone_fits() {
    let dir = three_files().await;

    let verified = verify_alone(dir.path()).unwrap();

    let status = open(dir.path()).status();
    assert_eq!((verified.segments, verified.records, verified.last_sequence), (3, 11, 11));
    assert_eq!(status.sequence, 12);
    assert!(verified.to_string().starts_with("11 records in 3 files: an unbroken chain\n"));
}

#[tokio::test]
async fn a_segment_says_what_it_follows() {
    let dir = three_files().await;

    let begin = &lines(dir.path())[8];

    let files = files(dir.path());
    let name = |index: usize| files[index].file_name().unwrap().to_str().unwrap();
    let segment = &begin["myelin"]["segment"];
    assert_eq!((&segment["file"], &segment["previous"]), (&json!(name(2)), &json!(name(1))));
    assert_eq!(
        (&segment["previous_records"], segment["peaks"].as_array().unwrap().len()),
        (&json!(3), 1)
    );
}

#[tokio::test]
async fn a_changed_byte_is_found_where_it_was_changed() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| lines[4] = lines[4].replace("10.20.0.52", "10.20.0.53"));

    assert!(found.starts_with("5: changed after it was written: its SHA-256 is "), "{found}");
}

#[tokio::test]
async fn a_deleted_line_is_found_where_it_is_missing() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| drop(lines.remove(4)));

    assert_eq!(
        found,
        "5: record 5 is expected, record 6 found: one record is missing or comes later"
    );
}

#[tokio::test]
async fn a_blank_line_is_called_one() {
    let dir = trail_of(2).await;

    let found = after(&dir, |lines| lines.push(String::new()));

    assert!(found.starts_with("6: the line is blank"), "{found}");
}

#[tokio::test]
async fn swapped_lines_are_found_at_the_first() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| lines.swap(4, 6));

    assert_eq!(
        found,
        "5: record 5 is expected, record 7 found: 2 records are missing or come later"
    );
}

#[tokio::test]
async fn a_line_that_is_there_twice_is_found() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| lines.insert(5, lines[4].clone()));

    assert_eq!(
        found,
        "6: record 6 is expected, record 5 found: it was there before, or comes too late"
    );
}

#[tokio::test]
async fn a_record_that_was_added_is_found_even_if_it_fits_the_one_before() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| {
        let mut added: Value = serde_json::from_str(&lines[4]).unwrap();
        added["event"]["sequence"] = 6.into();
        added["myelin"]["prev"] = hex::encode(hash(lines[4].as_bytes())).into();
        lines.insert(5, added.to_string());
    });

    assert_eq!(
        found,
        "7: record 7 is expected, record 6 found: it was there before, or comes too late"
    );
}

#[tokio::test]
async fn in_a_trail_that_is_read_in_many_parts_the_first_bad_record_is_named() {
    let dir = trail_of(6000).await;
    let length = files(dir.path())[0].metadata().unwrap().len();
    assert!(length > 4 * 1024 * 1024, "{length} bytes are few parts");
    assert_eq!(counted(dir.path()), 6002);

    let found = after(&dir, |lines| {
        for changed in [1999, 4999] {
            lines[changed] = lines[changed].replace("10.20.0.52", "10.20.0.53");
        }
    });

    assert!(found.starts_with("2000: changed after it was written"), "{found}");
}

#[tokio::test]
async fn a_line_that_is_longer_than_any_record_is_found() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| lines.insert(4, "x".repeat(3 * 1024 * 1024)));

    assert_eq!(found, "5: longer than any record of the trail");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let dir = three_files().await;
    let file = &files(dir.path())[1];
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();

    let error = verify_alone(dir.path()).unwrap_err();

    assert_eq!(error.to_string(), format!("{}: cannot be read", file.display()));
}

#[tokio::test]
async fn whoever_waits_hears_how_far_it_is() {
    let dir = three_files().await;
    let mut heard = Vec::new();

    verify_telling(dir.path(), &Kept::default(), |progress| heard.push(progress)).unwrap();

    let last = Progress { file: 3, files: 3, records: 11 };
    assert_eq!((heard[0].file, heard.last()), (1, Some(&last)));
}

#[tokio::test]
async fn a_line_that_is_no_record_is_found() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| lines[4].truncate(100));

    assert_eq!(found, "5: not a record of the trail: not JSON from column 100 on");
}

#[tokio::test]
async fn a_beginning_that_is_gone_is_no_beginning() {
    let dir = trail_of(8).await;

    let found = after(&dir, |lines| drop(lines.remove(0)));

    assert_eq!(
        found,
        "1: a record that begins a segment is expected at the beginning, connection-allowed found"
    );
}

#[tokio::test]
async fn a_changed_last_line_of_a_file_is_found_from_the_next() {
    let dir = three_files().await;
    let file = &files(dir.path())[0];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("recording-stopped", "recording-stoppeD")).unwrap();

    let error = verify_alone(dir.path()).unwrap_err();

    let expected = format!("{}:4: changed after it was written", file.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_found() {
    let dir = three_files().await;
    let files = files(dir.path());
    fs::remove_file(&files[1]).unwrap();

    let error = verify_alone(dir.path()).unwrap_err();

    let expected = format!(
        "{}:1: record 6 is expected, record 9 found: 3 records are missing or come later",
        files[2].display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_missing_first_file_is_said_when_no_record_says_why() {
    let dir = three_files().await;
    fs::remove_file(&files(dir.path())[0]).unwrap();

    let verified = verify_alone(dir.path()).unwrap();

    assert_eq!((verified.first_sequence, verified.removal_on_record), (6, Some(false)));
    assert!(verified.to_string().contains("what came before is gone, and no record says why"));
}

#[tokio::test]
async fn a_file_that_is_cut_off_in_the_middle_of_the_trail_is_found() {
    let dir = three_files().await;
    let file = &files(dir.path())[0];
    let length = file.metadata().unwrap().len();
    OpenOptions::new().write(true).open(file).unwrap().set_len(length - 10).unwrap();

    let error = verify_alone(dir.path()).unwrap_err();

    let cut_off = "the line is cut off, and the trail goes on in the next file";
    assert_eq!(error.to_string(), format!("{}:5: {cut_off}", file.display()));
}

#[test]
fn a_directory_without_a_trail_is_not_verified() {
    let dir = TempDir::new().unwrap();

    assert!(matches!(verify_alone(dir.path()), Err(Broken::Missing { .. })));
}
