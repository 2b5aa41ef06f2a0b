use super::*;
use crate::protocol::mllp::header::Found;

fn read(text: &str) -> Option<Header<'_>> {
    match Header::message(text.as_bytes(), false) {
        Found::It(header) => Some(header),
        Found::More | Found::Not => None,
    }
}

#[test]
fn a_header_says_who_sends_what_to_whom() {
    let header = read(ADT).unwrap();

    assert_eq!(header.separator, b'|');
    assert_eq!(header.encoding, b"^~\\&");
    assert_eq!(header.sending_application, b"ADT1");
    assert_eq!(header.sending_facility, b"MAIN");
    assert_eq!(header.receiving_application, b"LAB");
    assert_eq!(header.receiving_facility, b"ANNEX");
    assert_eq!((header.code, header.trigger), (&b"ADT"[..], &b"A01"[..]));
    assert_eq!(header.control_id, b"MSG-1");
    assert_eq!(header.processing_id, b"P");
    assert_eq!(header.version, b"2.5.1");
    assert!(!header.is_batch);
}

#[test]
fn a_sender_may_have_separators_of_its_own() {
    let header = read("MSH#*~\\&#A*1.2.3*ISO#B#C#D###ORU*R01#7#T*A#2.3*X\r").unwrap();

    assert_eq!(header.sending_application, b"A*1.2.3*ISO");
    assert_eq!((header.code, header.trigger), (&b"ORU"[..], &b"R01"[..]));
    assert_eq!(header.processing_id, b"T");
    assert_eq!(header.version, b"2.3");
}

#[test]
fn three_encoding_characters_are_enough_and_five_are_fine() {
    assert_eq!(read("MSH|^~\\|A|B|C|D|||ADT^A01\r").unwrap().code, b"ADT");
    assert_eq!(read("MSH|^~\\&#|A|B|C|D|||ADT^A01\r").unwrap().code, b"ADT");
    assert_eq!(read("MSH|^~\\&#$|A|B|C|D|||ADT^A01\r"), None);
    assert_eq!(read("MSH||A|B|C|D|||ADT^A01\r"), None);
}

#[test]
fn any_end_of_a_segment_ends_the_header() {
    for end in ["\r", "\n", "\r\n", "\x0c", ""] {
        let message = format!("MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.3{end}");
        let header = read(&message).unwrap();
        assert_eq!((header.code, header.version), (&b"ADT"[..], &b"2.3"[..]), "{end:?}");
    }
}

#[test]
fn blanks_around_a_field_do_not_count() {
    let header = read("MSH|^~\\&| A | B|C |D||| ADT ^ A01 | 1 |P |2.3 \r").unwrap();

    assert_eq!(header.sending_application, b"A");
    assert_eq!((header.code, header.trigger), (&b"ADT"[..], &b"A01"[..]));
    assert_eq!(header.control_id, b"1");
}

#[test]
fn fields_that_are_missing_are_empty() {
    let header = read("MSH|^~\\&|A\r").unwrap();

    assert_eq!(header.sending_application, b"A");
    assert_eq!((header.code, header.control_id, header.version), (&b""[..], &b""[..], &b""[..]));
}

#[test]
fn what_is_no_header_is_none() {
    for text in
        ["", "MS", "MSH", "PID|1", "MSHA^~\\&|", "MSH \r", "msh|^~\\&|", "<ClinicalDocument>"]
    {
        assert_eq!(read(text), None, "{text:?}");
    }
}

#[test]
fn a_header_is_read_as_soon_as_what_it_asks_for_has_come() {
    let begun = b"MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.3";
    assert!(matches!(Header::message(begun, true), Found::More));

    let whole = b"MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.3|||AL|NE|";
    let Found::It(header) = Header::message(whole, true) else { panic!("not read") };
    assert_eq!(header.version, b"2.3");
    assert_eq!(header.accept_acknowledgement, b"AL");
    assert_eq!(header.application_acknowledgement, b"NE");
}

#[test]
fn a_header_without_end_is_none() {
    let endless = [b"MSH|^~\\&|".as_slice(), &[b'A'; 5000]].concat();

    assert!(matches!(Header::message(&endless, true), Found::Not));
}

#[test]
fn a_rejection_turns_the_header_around() {
    let answer = nack(&read(ADT).unwrap(), "20261122130000", "N1");

    assert_eq!(
        text(&answer),
        "\x0bMSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122130000||ACK^A01^ACK|N1|P|2.5.1\r\
         MSA|AR|MSG-1\r\x1c\r"
    );
}

#[test]
fn a_rejection_has_nothing_that_could_end_it_early() {
    let header = read("MSH|^~\\&|A\x1c\x0bX|B|C|D|||ADT^A01|1\x1c\r").unwrap();

    let answer = nack(&header, "20261122130000", "N1");

    assert_eq!(answer.iter().filter(|byte| **byte == 0x1c).count(), 1);
    assert_eq!(answer.iter().filter(|byte| **byte == 0x0b).count(), 1);
}
