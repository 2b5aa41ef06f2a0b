use std::fs;
use std::io::Write;

use tempfile::TempDir;
use time::Duration;

use super::*;
use crate::clock;
use crate::identity::SpiffeId;

struct Place(TempDir);

impl Place {
    /// A directory that passes for an authority's.
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;

        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(dir)
    }

    fn store(&self) -> Store {
        Store::open_or_create(self.0.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(NAME)
    }

    fn append(&self, entry: &Entry) {
        Ledger::of(&self.store()).append(entry, clock::now()).unwrap();
    }

    fn serials(&self) -> Vec<String> {
        let book = Ledger::of(&self.store()).read().unwrap();
        book.issued().iter().map(|record| record.serial.to_string()).collect()
    }

    fn length(&self) -> u64 {
        fs::metadata(self.path()).unwrap().len()
    }
}

fn record(number: u32, not_after: OffsetDateTime) -> Record {
    Record {
        at: not_after - Duration::DAY,
        serial: Serial::parse(&format!("{number:08x}")).unwrap(),
        subject: "O=hospital.example, CN=ehr".to_owned(),
        spiffe: SpiffeId::parse("spiffe://hospital.example/ehr").unwrap(),
        dns: Vec::new(),
        not_before: not_after - Duration::DAY,
        not_after,
        ttl_seconds: 86_400,
        sha256: "ab".repeat(32),
        key_type: "ECDSA P-256".to_owned(),
        issuer: "0123456789abcdef".to_owned(),
        authorized: Authorized::Local,
        user: 0,
    }
}

fn issued(number: u32) -> Entry {
    Entry::Issued(record(number, clock::now() + Duration::DAY))
}

fn revoked(number: u32, not_after: OffsetDateTime) -> Entry {
    let Record { serial, issuer, .. } = record(number, not_after);
    let (at, reason) = (clock::now(), Reason::Superseded);
    Entry::Revoked(Revocation { at, serial, not_after, issuer, reason, user: 0 })
}

#[test]
fn what_was_written_is_read_again_word_for_word() {
    let place = Place::new();
    let end = clock::now().replace_nanosecond(0).unwrap() + Duration::DAY;
    let mut one = record(1, end);
    one.dns = vec![crate::identity::DnsName::parse("ehr.hospital.example").unwrap()];
    one.authorized = Authorized::Reenrolment { serial: Serial::parse("aa").unwrap() };

    place.append(&Entry::Issued(one.clone()));
    place.append(&revoked(1, end));

    let book = Ledger::of(&place.store()).read().unwrap();
    assert_eq!(book.issued(), [one.clone()]);
    assert!(matches!(book.standing(&one, clock::now()), Standing::Revoked(_)));
    let text = fs::read_to_string(place.path()).unwrap();
    assert!(text.starts_with("{\"event\":\"begun\",\"version\":1,"), "{text}");
    assert!(text.contains("\"authorized\":{\"by\":\"reenrolment\",\"serial\":\"AA\"}"), "{text}");
}

#[test]
fn a_torn_last_line_is_passed_over_and_cut_off_before_the_next() {
    let place = Place::new();
    place.append(&issued(1));
    let whole = fs::read(place.path()).unwrap();
    place.append(&issued(2));
    let both = fs::read(place.path()).unwrap();

    for cut in whole.len()..both.len() {
        fs::write(place.path(), &both[..cut]).unwrap();
        assert_eq!(place.serials(), ["00000001"], "cut at {cut}");
    }
    place.append(&issued(3));

    assert_eq!(place.serials(), ["00000001", "00000003"]);
}

#[test]
fn a_file_that_is_torn_in_its_first_line_is_begun_anew() {
    let place = Place::new();
    for torn in ["", "{\"event\":\"beg"] {
        fs::write(place.path(), torn).unwrap();
        place.append(&issued(1));
        assert_eq!(place.serials(), ["00000001"]);
    }
}

#[test]
fn a_damaged_line_is_named_and_not_skipped() {
    let place = Place::new();
    place.append(&issued(1));
    place.append(&issued(2));
    let text = fs::read_to_string(place.path()).unwrap();
    let long = "x".repeat(100_000);

    for damaged in
        [text.replace("00000001", "nonsense"), text.replacen('\n', &format!("\n{long}\n"), 1)]
    {
        fs::write(place.path(), damaged).unwrap();
        let error = Ledger::of(&place.store()).read().unwrap_err();
        assert!(error.to_string().contains("issued.jsonl: line 2 is damaged"), "{error}");
    }
}

#[test]
fn a_newer_form_is_left_alone() {
    let place = Place::new();
    fs::write(place.path(), "{\"event\":\"begun\",\"version\":2,\"kept_bytes\":0}\n").unwrap();

    let error = Ledger::of(&place.store()).read().unwrap_err();

    assert!(error.to_string().contains("newer version of myelin"), "{error}");
}

/// Writes so many lines without waiting for the disk.
fn fill(place: &Place, entries: impl Iterator<Item = Entry>) {
    place.append(&issued(0));
    let mut file = OpenOptions::new().append(true).open(place.path()).unwrap();
    let lines: Vec<u8> = entries.flat_map(|entry| line(&entry)).collect();
    file.write_all(&lines).unwrap();
}

#[test]
fn what_is_over_goes_and_what_is_revoked_stays() {
    let place = Place::new();
    let (past, future) = (clock::now() - Duration::days(3), clock::now() + Duration::DAY);
    let over = (1..3000).map(|number| Entry::Issued(record(number, past)));
    fill(&place, over.chain([revoked(7, past), issued(4000), revoked(4001, future)]));
    let before = place.length();

    place.append(&issued(5000));

    assert_eq!(place.serials(), ["00000000", "00000007", "00000FA0", "00001388"]);
    assert!(place.length() < 4096 && before > 1 << 20, "{before} {}", place.length());
    let book = Ledger::of(&place.store()).read().unwrap();
    let listed = book.listed("0123456789abcdef", clock::now());
    assert_eq!(listed.len(), 2, "the one that expired three days ago is still told of");
    assert_eq!(book.listed("another", clock::now()), Vec::<&Revocation>::new());
}

#[test]
fn a_clock_that_ran_ahead_makes_nobody_forget_a_revocation() {
    let place = Place::new();
    let end = clock::now() + Duration::DAY;
    let over = (1..3000).map(|number| Entry::Issued(record(number, end)));
    fill(&place, over.chain([revoked(7, end)]));

    let ahead = clock::now() + Duration::days(300);
    Ledger::of(&place.store()).append(&issued(5000), ahead).unwrap();

    let book = Ledger::of(&place.store()).read().unwrap();
    assert_eq!(book.issued().len(), 2);
    assert_eq!(book.listed("0123456789abcdef", clock::now()).len(), 1);
}

#[test]
fn ten_thousand_living_certificates_are_read_in_a_moment_and_not_rewritten_for_each_new_one() {
    let place = Place::new();
    fill(&place, (1..10_000).map(issued));

    let begun = tokio::time::Instant::now();
    assert_eq!(place.serials().len(), 10_000);
    let reading = begun.elapsed();
    place.append(&issued(10_000)); // looks whether anything is over, and remembers that nothing is
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.path()).unwrap());
    let rewritten = inode();
    (10_001..10_020).for_each(|number| place.append(&issued(number)));

    assert_eq!(inode(), rewritten);
    assert_eq!(place.serials().len(), 10_020);
    assert!(reading < std::time::Duration::from_secs(5), "{reading:?}"); // without optimization
}

#[test]
fn who_has_filled_the_ledger_gets_nothing_more_and_can_still_be_revoked() {
    let place = Place::new();
    let begun = Entry::Begun { version: VERSION, kept_bytes: MOST }; // all of it is alive
    fs::write(place.path(), line(&begun)).unwrap();
    let file = OpenOptions::new().append(true).open(place.path()).unwrap();
    file.set_len(MOST).unwrap(); // takes no room on the disk
    (&file).write_all(b"\n").unwrap();
    let (store, future) = (place.store(), clock::now() + Duration::DAY);
    let append = |entry: Entry| Ledger::of(&store).append(&entry, clock::now());

    let refused = append(issued(1)).unwrap_err();

    assert!(matches!(refused, AuthorityError::FullLedger { .. }), "{refused}");
    let before = place.length();
    append(revoked(1, future)).unwrap();
    assert!(place.length() > before);
}

/// A ledger that is full with a few lines, and what it says of the next certificate.
fn next_in_full(place: &Place) -> Result<(), AuthorityError> {
    let store = place.store();
    Ledger { most: 4096, ..Ledger::of(&store) }.append(&issued(5000), clock::now())
}

/// Fills it so that making it shorter would not be worth it if it were not full.
fn fill_up(place: &Place, entries: impl Iterator<Item = Entry>) {
    let lines: Vec<u8> = entries.flat_map(|entry| line(&entry)).collect();
    let begun = Entry::Begun { version: VERSION, kept_bytes: lines.len() as u64 };
    fs::write(place.path(), [line(&begun), lines].concat()).unwrap();
}

/// As if nobody had written to it for so long.
fn let_rest(place: &Place, time: std::time::Duration) {
    let file = File::open(place.path()).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - time).unwrap();
}

#[test]
fn a_full_ledger_that_rests_is_made_shorter_and_one_that_was_just_written_is_not() {
    let place = Place::new();
    let past = clock::now() - Duration::days(3);
    fill_up(&place, (1..100).map(|number| Entry::Issued(record(number, past))));
    let full = fs::read(place.path()).unwrap();

    let refused = next_in_full(&place).unwrap_err();
    assert!(matches!(refused, AuthorityError::FullLedger { most: 4096, .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), full);
    let_rest(&place, REST / 2);
    assert!(next_in_full(&place).is_err());

    let_rest(&place, REST);
    next_in_full(&place).unwrap();
    assert_eq!(place.serials(), ["00001388"]);
}

#[test]
fn a_full_ledger_of_living_certificates_is_looked_through_once_in_a_while_alone() {
    let place = Place::new();
    fill_up(&place, (1..100).map(issued));
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.path()).unwrap());
    let_rest(&place, REST * 2);

    assert!(next_in_full(&place).is_err());
    let looked_through = inode();
    for _ in 0..3 {
        assert!(next_in_full(&place).is_err());
    }

    assert_eq!(inode(), looked_through);
    assert_eq!(place.serials().len(), 99);
}
