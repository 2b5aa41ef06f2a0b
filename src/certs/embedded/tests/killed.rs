//! What somebody leaves behind who is killed.

use std::fs;

use super::*;

#[test]
fn what_somebody_left_who_was_killed_while_writing_a_key_is_removed_by_the_next_and_nothing_else() {
    let (_parent, dir) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();
    let key = fs::read(dir.join("issuing.key")).unwrap();
    let left = dir.join(".myelin-unfinished-a1B2c3");
    fs::write(&left, &key).unwrap();
    fs::write(dir.join(".notes"), "an operator's").unwrap();

    Authority::look(&dir, &domain()).unwrap();
    assert!(left.exists(), "who is only to look removes nothing");
    Authority::open(&dir, &domain()).unwrap();

    assert!(!left.exists());
    assert!(dir.join(".notes").exists());
    assert_eq!(fs::read(dir.join("issuing.key")).unwrap(), key);
}
