use proptest::prelude::*;

use super::super::segments::Segments;

/// The same by the words of its description, byte by byte.
fn expected(content: &[u8], envelopes: bool) -> Option<usize> {
    let names: &[&[u8]] = if envelopes { &[b"MSH", b"BHS", b"FHS"] } else { &[b"MSH"] };
    let is_text = |byte: &&u8| byte.is_ascii() && **byte != b' ' && **byte != b'\t';
    (0..content.len()).find(|at| {
        let (before, segment) = content.split_at(*at);
        let has_name = |name: &&[u8]| segment.starts_with(name) || name.starts_with(segment);
        let last = before.iter().rev().find(is_text);
        names.iter().any(has_name) && last.is_some_and(|byte| byte.is_ascii_control())
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

proptest! {
    #[test]
    fn what_is_found_is_what_a_reader_of_every_byte_finds(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("\r"), Just("\n\t "), Just("\u{a0}"), Just("MSH"), Just("BHS"), Just("FHS"), Just("HS"),
                Just("M"), Just("B"), Just("F"), Just("SH"), Just("|text|"), Just("a text of some length"),
            ],
            0..400,
        ),
        envelopes in any::<bool>(),
    ) {
        found(pieces.concat().as_bytes(), envelopes);
    }
}
