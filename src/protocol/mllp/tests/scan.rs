use super::*;

fn types(stream: impl AsRef<[u8]>) -> Vec<String> {
    let seen = scan(stream);
    assert_eq!(seen.malformed, None);
    seen.judged
}

fn refused(stream: impl AsRef<[u8]>) -> (Malformed, Vec<u8>) {
    let seen = scan(stream);
    (seen.malformed.expect("nothing wrong was found"), seen.passed)
}

#[test]
fn a_message_is_judged_once_and_passes_as_it_is() {
    let stream = framed(ADT);

    let seen = scan(&stream);

    assert_eq!(seen.judged, ["ADT^A01"]);
    assert_eq!(seen.passed, stream);
    assert_eq!(seen.ends, 1);
}

#[test]
fn many_messages_may_come_at_once_and_one_may_come_byte_by_byte() {
    let stream = [framed(ADT), framed(ADT.replace("A01", "A08")), framed(ADT)].concat();

    let at_once = scan(&stream);
    let by_bytes = scan_pieces(Reading::Messages, stream.chunks(1));

    assert_eq!(at_once.judged, ["ADT^A01", "ADT^A08", "ADT^A01"]);
    assert_eq!(at_once, by_bytes);
}

#[test]
fn what_comes_between_frames_does_no_harm() {
    let message = framed(ADT);
    for between in ["\r\n", "\0\0\0", " ", "\n\n\n\n", "\u{0}\r"] {
        let stream = [between.as_bytes(), &message, between.as_bytes(), &message].concat();
        assert_eq!(types(&stream), ["ADT^A01", "ADT^A01"], "{between:?}");
        assert_eq!(scan(&stream).passed, stream, "{between:?}");
    }
}

#[test]
fn a_little_junk_before_a_frame_is_dropped() {
    let message = framed(ADT);

    let seen = scan([b"hello?\r\n".as_slice(), &message].concat());

    assert_eq!(seen.judged, ["ADT^A01"]);
    assert_eq!(seen.passed, message);
}

#[test]
fn a_connection_may_be_kept_alive_for_ever() {
    let nothing = [0xff, 0xf1].repeat(100_000);

    assert_eq!(scan(&nothing).malformed, None);
}

#[test]
fn much_junk_is_no_mllp() {
    let (malformed, passed) = refused([b'x'; 65]);

    assert_eq!(malformed, Malformed::NoStart);
    assert_eq!(passed, b"");
}

#[test]
fn a_message_without_its_frame_is_refused() {
    assert_eq!(refused(ADT), (Malformed::NoStart, Vec::new()));
}

#[test]
fn the_carriage_return_at_the_end_may_be_missing() {
    let bare = [b"\x0b", ADT.as_bytes(), b"\x1c"].concat();

    assert_eq!(types([bare.clone(), bare.clone()].concat()), ["ADT^A01", "ADT^A01"]);
    assert_eq!(types([bare.clone(), b"\n".to_vec(), bare].concat()), ["ADT^A01", "ADT^A01"]);
}

#[test]
fn content_behind_the_end_of_a_frame_is_refused() {
    let (malformed, passed) =
        refused(b"\x0bMSH|^~\\&|A|B|C|D|||ADT^A01\r\x1cMSH|^~\\&|A|B|C|D|||ORU^R01\r\x1c\r");

    assert_eq!(malformed, Malformed::AfterEnd);
    assert!(passed.ends_with(b"\x1c"));
}

#[test]
fn another_message_in_the_same_frame_is_judged_too() {
    for end in [
        "\r",
        "\n",
        "\r\n",
        "\x0c",
        "\r \t",
        "\r\n\r\n",
        "\r\u{a0}",
        "\r\u{85}",
        "\r\u{3000} \u{feff}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{2028} \u{feff}",
    ] {
        let other = ADT.replace("ADT^A01", "ORU^R01");
        let stream = framed(format!("{}{end}{other}", ADT.trim_end()));
        assert_eq!(types(&stream), ["ADT^A01", "+ORU^R01"], "{end:?}");
        let by_bytes = scan_pieces(Reading::Messages, stream.chunks(1));
        assert_eq!(by_bytes.judged, ["ADT^A01", "+ORU^R01"], "{end:?}");
    }
}

#[test]
fn a_second_header_behind_an_unfinished_first_is_judged_too() {
    let stream = framed("MSH|^~\\&|A|B\rMSH|^~\\&|A|B|C|D|||ORU^R01|1\r");

    assert_eq!(types(stream), ["^", "+ORU^R01"]);
}

#[test]
fn another_message_behind_a_blank_of_latin_1_is_judged_too() {
    let other = ADT.replace("ADT^A01", "ORU^R01");
    let stream = framed([ADT.as_bytes(), b"\xa0\x85", other.as_bytes()].concat());

    assert_eq!(types(&stream), ["ADT^A01", "+ORU^R01"]);
}

#[test]
fn another_message_is_judged_however_much_text_is_before_it() {
    let other = ADT.replace("ADT^A01", "ORU^R01");
    for text in ["plain text ", "OBX|1\r"] {
        for size in [512, 1024, 4096, LEAD_MAX, 2 * LEAD_MAX].map(|size| size - ADT.len()) {
            for size in size - 12..size + 12 {
                let before = text.repeat(size / text.len() + 1);
                let content = [ADT, &before[..size], "\r", &other, &before, "\u{2028}", &other];
                let stream = framed(content.concat());
                let seen = scan_pieces(Reading::Messages, [stream.as_slice()]);
                assert_eq!(seen.judged, ["ADT^A01", "+ORU^R01", "+ORU^R01"], "{text:?} {size}");
                assert_eq!((seen.passed, seen.ends), (stream, 1), "{text:?} {size}");
            }
        }
    }
}

#[test]
fn another_message_behind_a_line_end_of_latin_1_is_judged_too() {
    let other = ADT.replace("ADT^A01", "ORU^R01");
    let stream = framed([ADT.trim_end().as_bytes(), b"\x85", other.as_bytes()].concat());

    assert_eq!(types(&stream), ["ADT^A01", "+ORU^R01"]);
    assert_eq!(scan_pieces(Reading::Messages, stream.chunks(1)).judged, ["ADT^A01", "+ORU^R01"]);
}

#[test]
fn a_header_that_only_some_receivers_see_in_that_of_a_batch_is_refused() {
    let other = ADT.replace("ADT^A01", "ORU^R01");
    for end in [b"\xc2\x85".as_slice(), b"\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9 "] {
        for name in ["MSH", "BHS", "FHS"] {
            let hidden = other.trim_end().replacen("MSH", name, 1);
            let before = [b"FHS|^~\\&|F\rBHS|^~\\&|F".as_slice(), end].concat();
            let batch = [&before, hidden.as_bytes(), b"\r", ADT.as_bytes()].concat();
            let stream = framed(batch);
            assert_eq!(refused(&stream), (Malformed::NoHeader, Vec::new()), "{end:?} {name}");
            let by_bytes = scan_pieces(Reading::Messages, stream.chunks(1));
            assert_eq!(by_bytes.malformed, Some(Malformed::NoHeader), "{end:?} {name}");
        }
    }
}

#[test]
fn a_header_further_below_that_cannot_be_read_is_refused() {
    for header in [
        "MSHz^~\\&zAzBzCzDzzzORU^R01z1zPz2.5\r",
        "MSH#^~\\&x#A#B#C#D###ORU^R01#1#P#2.5\r",
        "MSH|\r",
        "MSH \r",
        "MSH-7 is wrong\r",
        "MSH",
        "\u{a0}MSHz",
    ] {
        let stream = framed(format!("{ADT}{header}"));
        let at_once = scan(&stream);
        assert_eq!(at_once.malformed, Some(Malformed::NoHeader), "{header:?}");
        assert_eq!(at_once.judged, ["ADT^A01"], "{header:?}");
        assert!(!text(&at_once.passed).contains("\rMSH"), "{header:?}");
        assert_eq!(scan_pieces(Reading::Messages, stream.chunks(1)), at_once, "{header:?}");
    }
}

#[test]
fn a_header_of_a_file_or_batch_that_cannot_be_read_is_refused() {
    for headers in [
        "FHSz^~\\&zF\r".to_owned(),
        "BHS#^~\\&x#F\r".to_owned(),
        format!("FHS|^~\\&|F\rBHSz^~\\&zF\r{ADT}"),
        format!("FHS|^~\\&|F\rBHS#^~\\&x#F\r{ADT}"),
        "FHS|^~\\&|F\rMSHz^~\\&z\r".to_owned(),
    ] {
        assert_eq!(refused(framed(&headers)), (Malformed::NoHeader, Vec::new()), "{headers:?}");
    }
}

#[test]
fn a_frame_that_begins_inside_of_another_is_refused() {
    let other = ADT.replace("ADT^A01", "ORU^R01");
    for inside in [
        format!("{ADT}\x0b{other}"),
        format!("{ADT}M\x0bSH{}", &other[3..]),
        format!("{ADT}MSH\x0b{}", &other[3..]),
        format!("{ADT}NTE|\x0b"),
        "MSH|^~\\&|A\x0b|B|C|D|||ADT^A01\r".to_owned(),
        "\x06\x0b".to_owned(),
        "\r\x0b".to_owned(),
    ] {
        let stream = framed(&inside);
        let at_once = scan(&stream);
        assert!(at_once.malformed.is_some(), "{inside:?}");
        assert!(!text(&at_once.passed[1.min(at_once.passed.len())..]).contains('\x0b'));
        assert!(!text(&at_once.passed).contains("ORU"), "{inside:?}");
        let by_bytes = scan_pieces(Reading::Messages, stream.chunks(1));
        assert_eq!(by_bytes, at_once, "{inside:?}");
    }
    let (malformed, _) = refused(framed(format!("{ADT}M\x0bSH|")));
    assert_eq!(malformed, Malformed::StartInside);
}

#[test]
fn the_name_of_a_header_within_a_segment_is_text() {
    let notes =
        "NTE|1||see MSH\rNTE|MSH|^~\\&|A|B|C|D|||ORU^R01\rNTE|\u{a0}MSH|^~\\&|\rNTE|\u{3c5} MSH\rM";

    assert_eq!(types(framed(format!("{ADT}{notes}"))), ["ADT^A01"]);
}

#[test]
fn a_batch_is_judged_by_its_messages() {
    let batch = format!("FHS|^~\\&|F|G\rBHS|^~\\&|F|G\r{ADT}{ADT}BTS|2\rFTS|1\r");

    let mut scanner = Scanner::new(Reading::Messages);
    let stream = framed(batch);
    let Ok(Step::Message(lead, _, false)) = scanner.step(&stream) else { panic!("no message") };

    assert!(lead.header.is_batch);
    assert_eq!(lead.header.sending_application, b"ADT1");
    assert_eq!(types(&stream), ["ADT^A01", "+ADT^A01"]);
}

#[test]
fn a_batch_of_nothing_is_judged_by_its_own_header() {
    assert_eq!(types(framed("FHS|^~\\&|F|G\rBHS|^~\\&|F|G\rBTS|0\rFTS|1\r")), ["^"]);
}

#[test]
fn what_is_no_message_is_refused_before_anything_passes() {
    for content in
        ["<ClinicalDocument/>", "PID|1||4711\r", "MSH", "MSH|", "msh|^~\\&|A\r", "HTTP/1.1\r"]
    {
        assert_eq!(refused(framed(content)), (Malformed::NoHeader, Vec::new()), "{content:?}");
    }
}

#[test]
fn a_header_that_never_ends_is_refused() {
    let endless = [b"\x0bMSH|^~\\&|".as_slice(), &[b'A'; 20_000]].concat();
    assert_eq!(refused(&endless).1, b"");

    let blanks = [b"\x0b".as_slice(), &[b' '; 20_000]].concat();
    assert_eq!(refused(&blanks), (Malformed::HeaderTooLong, Vec::new()));
}

#[test]
fn blanks_and_a_byte_order_mark_before_the_header_are_overlooked() {
    for before in ["\r\n", "  ", "\u{feff}", "\u{feff}\r", "\x0b", "\n\x0b"] {
        assert_eq!(types(framed(format!("{before}{ADT}"))), ["ADT^A01"], "{before:?}");
    }
}

#[test]
fn empty_frames_and_replies_of_release_two_pass_unjudged() {
    for content in ["", "\r", "\x06", "\x15"] {
        let stream = framed(content);
        assert_eq!(types(&stream), Vec::<String>::new(), "{content:?}");
        assert_eq!(scan(&stream).passed, stream, "{content:?}");
    }
    assert_eq!(types(framed(format!("\x06{ADT}"))), ["ADT^A01"]);
}

#[test]
fn fifty_megabytes_pass_in_one_message() {
    let document = "JVBERi0xLjcK".repeat(50 * 1024 * 1024 / 12);
    let stream = framed(format!("{ADT}OBX|1|ED|PDF||^application^pdf^Base64^{document}\r"));

    let seen = scan_pieces(Reading::Messages, stream.chunks(131_072));

    assert_eq!(seen.judged, ["ADT^A01"]);
    assert_eq!(seen.passed.len(), stream.len());
}

#[test]
fn the_headers_of_files_and_batches_are_told_of_wherever_they_stand() {
    let bhs = |name: &str| format!("BHS|^~\\&|{name}|MAIN\r");
    let content = format!(
        "FHS|^~\\&|A\r{}{ADT}BTS|1\r{}{ADT}OBX|1|TX|||BHS|a\tBHS|b\r BHS pneumonia\r",
        bhs("B"),
        bhs("C")
    );

    let seen = scan(framed(&content));

    let names = [Some("A"), Some("B"), Some("C"), None].map(|name| name.map(str::to_owned));
    assert_eq!(seen.envelopes, names);
    assert_eq!(seen.judged, ["ADT^A01", "+ADT^A01"]);
    assert_eq!(seen.passed, framed(&content));
    let pieces = framed(&content);
    assert_eq!(scan_pieces(Reading::Messages, pieces.chunks(1)), seen);
}

#[test]
fn where_nobody_asks_who_sends_a_batch_further_below_is_text_and_its_messages_are_judged() {
    let stream = framed(format!("{ADT}BHS|^~\\&|B|MAIN\r{ADT}BHSz\rFHS"));
    let mut scanner = Scanner::new(Reading::Messages);
    scanner.heed_envelopes(false);

    let seen = scan_by(scanner, [stream.as_slice()]);

    assert_eq!(seen.envelopes, []);
    assert_eq!(seen.judged, ["ADT^A01", "+ADT^A01"]);
    assert_eq!(seen.passed, stream);
}

#[test]
fn all_headers_before_an_empty_batch_are_told_of() {
    let seen = scan(framed("FHS|^~\\&|A\rBHS|^~\\&|B\rBTS|0\rFTS|1\r"));

    assert_eq!(seen.envelopes, ["A", "B"].map(|name| Some(name.to_owned())));
    assert_eq!(seen.judged, ["^"]);
}
