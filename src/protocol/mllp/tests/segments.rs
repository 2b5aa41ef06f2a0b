use proptest::prelude::*;

use super::super::segments::Segments;

/// The same by the words of its description, byte by byte.
fn expected(content: &[u8], envelopes: bool) -> Option<usize> {
    let names: &[&[u8]] = if envelopes { &[b"MSH", b"BHS", b"FHS"] } else { &[b"MSH"] };
    let is_text = |byte: &&u8| byte.is_ascii() && **byte != b' ' && **byte != b'\t';
    (0..content.len()).find(|at| {
        let (before, segment) = content.split_at(*at);
        let has_name = |name: &&[u8]| segment.starts_with(name) || name.starts_with(segment);
        let text = before.iter().rposition(|byte| is_text(&byte));
        let stripped = &before[text.map_or(0, |at| at + 1)..];
        let ends = ["\u{85}", "\u{2028}", "\u{2029}"];
        let has_end = |end: &str| stripped.windows(end.len()).any(|bytes| bytes == end.as_bytes());
        let is_behind_end = text.is_some_and(|at| before[at].is_ascii_control())
            || ends.into_iter().any(has_end)
            || before.ends_with(b"\x85");
        names.iter().any(has_name) && is_behind_end
    })
}

fn found(content: &[u8], envelopes: bool) -> Option<usize> {
    let found = Segments::default().next(content, envelopes);
    assert_eq!(found, expected(content, envelopes), "with envelopes: {envelopes}");
    found
}

#[test]
fn a_header_is_found_wherever_it_stands_in_large_content() {
    for at in (4080..4110).chain(8180..8200) {
        for name in ["MSH", "BHS", "FHS"] {
            let before = "OBX|1|NM\r".repeat(1000).into_bytes();
            let before = [&before[..at - 1], b"\r"].concat();
            let content = [&before, name.as_bytes(), b"|^~\\&|A\r", &before].concat();
            assert_eq!(found(&content, true), Some(at), "{name}");
            assert_eq!(found(&content, false), Some(at).filter(|_| name == "MSH"), "{name}");
        }
    }
}

#[test]
fn of_two_headers_the_first_is_found() {
    for (first, second) in [("MSH", "BHS"), ("BHS", "MSH"), ("FHS", "BHS"), ("MSH", "MSH")] {
        for between in ["|\r", "|A|B\r \t", &"|text\rOBX".repeat(2000), "\r\n"] {
            let content = format!("|A\r{first}{between}\r{second}|");
            assert_eq!(found(content.as_bytes(), true), Some(3), "{content:?}");
        }
    }
}

#[test]
fn a_name_that_is_not_whole_yet_is_found_at_the_end_alone() {
    for torn in ["M", "MS", "B", "BH", "F", "FH"] {
        assert_eq!(found(format!("|A\r\u{a0}{torn}").as_bytes(), true), Some(5), "{torn}");
        assert_eq!(found(format!("|A\r{torn}|").as_bytes(), true), None, "{torn}");
        assert_eq!(found(format!("|A{torn}").as_bytes(), true), None, "{torn}");
    }
    assert_eq!(found(b"|A\rB", false), None);
}

/// What is found when the content comes in two pieces, of which the first has passed.
fn found_behind(first: &[u8], second: &[u8]) -> Option<usize> {
    let mut segments = Segments::default();
    segments.passed(first);
    segments.next(second, true)
}

#[test]
fn a_line_end_that_is_torn_is_one_all_the_same() {
    for end in ["\u{85}", "\u{2028}", "\u{2029}"] {
        for behind in ["", " ", "\u{3000}\t"] {
            let content = format!("|A{end}{behind}MSH|");
            let name = content.find("MSH").unwrap();
            for torn in 2..=name {
                let (first, second) = content.as_bytes().split_at(torn);
                assert_eq!(found_behind(first, second), Some(name - torn), "{content:?} {torn}");
            }
        }
    }
}

#[test]
fn a_byte_that_may_be_a_line_end_counts_right_before_a_name_alone() {
    for (before, is_found) in [
        (b"ACTH\x85".as_slice(), true),               // U+0085 of Latin-1
        (b"ACTH \x85 ", false),                       // three dots of Windows-1252
        ("\u{3c4}\u{3bf}\u{3c5} ".as_bytes(), false), // a Greek article, its last byte 0x85
    ] {
        let content = [before, b"MSH |"].concat();
        assert_eq!(found(&content, true).is_some(), is_found, "{before:?}");
        for torn in 1..=before.len() {
            let (first, second) = content.split_at(torn);
            assert_eq!(found_behind(first, second).is_some(), is_found, "{before:?} {torn}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_found_is_what_a_reader_of_every_byte_finds(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("\r"), Just("\n\t "), Just("\u{a0}"), Just("\u{85}"), Just("\u{2028}"), Just("\u{2029} "), Just("\u{c5}"), Just("MSH"), Just("BHS"), Just("FHS"), Just("HS"),
                Just("M"), Just("B"), Just("F"), Just("SH"), Just("|text|"), Just("a text of some length"),
            ],
            0..400,
        ),
        envelopes in any::<bool>(),
    ) {
        found(pieces.concat().as_bytes(), envelopes);
    }
}
