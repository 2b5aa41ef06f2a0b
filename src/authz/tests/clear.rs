//! Parts of a message that receivers may read in more than one way, where the last rule is for all the rest.

use super::decisions::NOW;
use super::*;
use crate::outcome::DenyReason;
use crate::protocol::mllp::Header;

/// What becomes of a message of `lab`, which may send all but `ADT^A23` and as all but `PACS` at `ICU`.
fn sent(encoding: &[u8], parts: [&[u8]; 3]) -> Result<(), DenyReason> {
    split(b'|', encoding, parts)
}

/// The same, of fields that `separator` separates.
fn split(
    separator: u8,
    encoding: &[u8],
    [kind, application, facility]: [&[u8]; 3],
) -> Result<(), DenyReason> {
    let config = config(
        r#"
peers: { lab: { spiffe: "spiffe://td/lab" }, admin: { spiffe: "spiffe://td/admin" } }
inbound:
  - name: adt
    listen: 127.0.0.1:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    allow: [lab, admin]
    messages: [ { name: delete, types: ["ADT^A23"], allow: [admin] }, { name: rest, types: ["*"], allow: [lab] } ]
    senders: [ { application: PACS, facility: ICU, allow: [admin] }, { application: LIS, allow: [lab] },
               { facility: MAIN, allow: [lab] } ]
"#,
    );
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let permit = policy.authorize(&spiffe("spiffe://td/lab"), NOW).unwrap();
    let mut parts = kind.splitn(2, |byte| *byte == b'^');
    let header = Header {
        separator,
        encoding,
        code: parts.next().unwrap(),
        trigger: parts.next().unwrap_or_default(),
        sending_application: application,
        sending_facility: facility,
        ..Header::default()
    };
    policy.authorize_message(&permit, &header, NOW).map(|_| ()).map_err(|denied| denied.reason)
}

#[test]
fn a_type_that_is_no_code_slips_through_under_no_rule_for_the_rest() {
    let sends = |kind: &'static [u8]| sent(b"^~\\&", [kind, b"LIS", b"MAIN"]);

    for clear in [&b"ADT^A01"[..], b"ORU^R01", b"ACK", b"ZDS^Z_1"] {
        assert_eq!(sends(clear), Ok(()));
    }
    for unclear in [
        &b"ADT^A\\X32\\3"[..],
        b"A\\X44\\T^A23",
        b"ADT^A23&A01",
        b"ADT^A23~ADT^A01",
        b"ADT^a23",
        b"ADT^A23\xc2\xa0",
        b"ADT^A23\xa0",
        b"ADT^A23\0",
        b"ADT^AAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let shown = String::from_utf8_lossy(unclear);
        assert_eq!(sends(unclear), Err(DenyReason::NoMessageRule), "{shown}");
    }
}

#[test]
fn a_name_that_is_read_in_two_ways_is_nobodys() {
    let names = |application: &'static [u8], facility: &'static [u8]| {
        sent(b"^~\\&", [b"ADT^A01", application, facility])
    };

    for (application, facility) in [
        (&b"LIS"[..], &b"WEST"[..]),
        (b"LIS^1.2.3^ISO", b"WEST WING^x"),
        (b"X-RAY_2 (old)#", b"MAIN"),
        ("Röntgen à".as_bytes(), b"MAIN"),
        (b"R\xf6ntgen", b"MAIN"),
    ] {
        assert_eq!(
            names(application, facility),
            Ok(()),
            "{}",
            String::from_utf8_lossy(application)
        );
    }
    assert_eq!(names(b"PACS", b"ICU"), Err(DenyReason::UnknownSender));
    for (application, facility) in [
        (&b"LIS"[..], &b"I\\X43\\U"[..]),
        (b"PA\\H\\CS", b"MAIN"),
        (b"PACS&1", b"MAIN"),
        (b"PACS~LIS", b"MAIN"),
        (b"LIS", b"ICU\xc2\x85"),
        (b"LIS", b"\xe3\x80\x80ICU"),
        (b"LIS", b"ICU\xef\xbb\xbf"),
        (b"LIS", b"ICU\xa0"),
        (b"LIS", b"I\x01CU"),
    ] {
        assert_eq!(
            names(application, facility),
            Err(DenyReason::UnknownSender),
            "{} {}",
            String::from_utf8_lossy(application),
            String::from_utf8_lossy(facility)
        );
    }
}

#[test]
fn the_messages_own_escape_character_counts_and_so_does_the_standards() {
    let names = |encoding, facility| sent(encoding, [b"ADT^A01", b"LIS", facility]);

    assert_eq!(names(b"^~!&", b"WEST"), Ok(()));
    assert_eq!(names(b"^~!&", b"I!X43!U"), Err(DenyReason::UnknownSender));
    assert_eq!(names(b"^~!&", b"I\\X43\\U"), Err(DenyReason::UnknownSender));
    assert_eq!(names(b"^~\\&#", b"ICU#"), Err(DenyReason::UnknownSender));
    assert_eq!(names(b"^~\\", b"I\\X43\\U"), Err(DenyReason::UnknownSender));
}

#[test]
fn what_no_rule_names_may_be_anything() {
    let config = config(
        r#"
peers: { lab: { spiffe: "spiffe://td/lab" } }
inbound:
  - { name: adt, listen: 127.0.0.1:2575, forward: 127.0.0.1:2576, protocol: mllp, allow: [lab],
      messages: [ "ADT^*" ], senders: [ { application: LIS, allow: [lab] } ] }
"#,
    );
    let policy = ListenerPolicy::inbound(&config, &config.inbound[0]);
    let permit = policy.authorize(&spiffe("spiffe://td/lab"), NOW).unwrap();
    let header = Header {
        encoding: b"^~\\&",
        code: b"ADT",
        trigger: b"a01 (local)",
        sending_application: b"LIS",
        sending_facility: b"SURGERY \\T\\ ICU",
        ..Header::default()
    };

    assert!(policy.authorize_message(&permit, &header, NOW).is_ok());
}

#[test]
fn the_denial_says_what_is_wrong_with_the_name() {
    let lab = decisions::Visit::under("", "lab", 1);

    assert_eq!(
        decisions::no(lab.sends("ORU^R01", "L\\X49\\S|MAIN")).2,
        "nearest is sender rule `lis`: sender LIS|MAIN, not L\\\\X49\\\\S|MAIN (escaped or divided: \
         another name to some receivers)"
    );
    assert_eq!(
        decisions::no(lab.sends("ADT^A\\X30\\1", "LIS|MAIN")).2,
        "nearest is message rule `adt`: message type ADT^A01 or ADT^A08, not ADT^other (no code of \
         HL7's form)"
    );
}

#[test]
fn a_header_that_others_may_split_elsewhere_matches_no_rule() {
    let parts = [&b"ADT^A01"[..], b"LIS", b"MAIN"];

    assert_eq!(split(b'|', b"^~\\&", parts), Ok(()));
    for (separator, encoding) in [(b'_', &b"^~\\&"[..]), (b'|', b"_~\\&"), (b'|', b"$~\\&")] {
        assert_eq!(split(separator, encoding, parts), Err(DenyReason::NoMessageRule));
    }
}
