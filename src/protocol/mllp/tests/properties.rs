use proptest::prelude::*;

use super::*;

/// Pieces of which streams are made that are likely to be wrong.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(framed(ADT)),
        2 => Just(b"\x0bMSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.3\r".to_vec()),
        2 => Just(b"\rMSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.3\r".to_vec()),
        2 => Just(b"MSH".to_vec()),
        2 => Just(b"\r\xc2\xa0MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.3\r".to_vec()),
        2 => Just(b"\xe2\x80\xa8MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.3\r".to_vec()),
        2 => Just(b"\x85MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.3\r".to_vec()),
        1 => Just(b"\xe2\x80".to_vec()),
        1 => Just(b"BHS|^~\\&|A".to_vec()),
        1 => Just(b"\rMSHz^~\\&zA\r".to_vec()),
        1 => Just(b"\rM\x0bSH|".to_vec()),
        1 => Just(b"FHS|^~\\&|A\r".to_vec()),
        1 => Just(b"MSA|AA|1\r".to_vec()),
        2 => Just(b"\x1c\r".to_vec()),
        1 => Just(b"\x1c".to_vec()),
        1 => Just(b"\x0b".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Where in what has passed a receiver might see the header of a message, however it splits segments.
fn headers(passed: &[u8]) -> usize {
    let breaks = |byte: u8| byte < b' ' && byte != b'\t';
    (0..passed.len())
        .filter(|at| {
            let is_text = |byte: &&u8| **byte != b' ' && **byte != b'\t' && byte.is_ascii();
            let before = passed[..*at].iter().rev().find(is_text);
            let stripped = passed[..*at].iter().rev().take_while(|byte| !is_text(byte)).count();
            let stripped = String::from_utf8_lossy(&passed[*at - stripped..*at]).into_owned();
            let is_split = stripped.contains(['\u{85}', '\u{2028}', '\u{2029}'])
                || passed[..*at].ends_with(b"\x85");
            passed[*at..].starts_with(b"MSH")
                && (is_split || before.is_none_or(|byte| breaks(*byte)))
        })
        .count()
}

proptest! {
    #[test]
    fn it_does_not_matter_in_which_pieces_a_stream_comes(
        stream in stream(),
        size in 1_usize..40,
        answers in any::<bool>(),
    ) {
        let reading = if answers { Reading::Answers } else { Reading::Messages };
        let whole = scan_pieces(reading, [stream.as_slice()]);
        let pieces = scan_pieces(reading, stream.chunks(size));
        // A stream that is refused may have passed more when it came in pieces, never something else.
        prop_assert_eq!(&whole.judged, &pieces.judged);
        prop_assert_eq!(whole.malformed.is_some(), pieces.malformed.is_some());
        prop_assert_eq!(&whole.passed, &pieces.passed);
    }

    #[test]
    fn no_header_passes_unjudged(stream in stream(), size in 1_usize..40) {
        let seen = scan_pieces(Reading::Messages, stream.chunks(size));
        prop_assert!(headers(&seen.passed) <= seen.judged.len());
    }

    #[test]
    fn answers_pass_as_they_are(stream in stream(), size in 1_usize..40) {
        let seen = scan_pieces(Reading::Answers, stream.chunks(size));
        prop_assert_eq!(seen.malformed, None);
        prop_assert!(stream.starts_with(&seen.passed));
    }

    #[test]
    fn any_bytes_are_survived(stream in proptest::collection::vec(any::<u8>(), 0..400)) {
        scan(stream);
    }
}
