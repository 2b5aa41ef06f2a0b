//! What the upper layer's readers make of real bytes, of wrong ones and of torn ones.

use proptest::prelude::*;

use super::*;

pub(crate) mod transfer;

/// `echoscu -aet CT_SCANNER_1 -aec PACS` of dcmtk 3.6.7, header left out.
pub(crate) fn echoscu() -> Vec<u8> {
    let titles = [b"PACS            ".as_slice(), b"CT_SCANNER_1    ", &[0; 32]].concat();
    let syntaxes = [item(0x30, b"1.2.840.10008.1.1"), item(0x40, b"1.2.840.10008.1.2")].concat();
    let user = [
        item(0x51, &[0, 0, 0x40, 0]),
        item(0x52, b"1.2.276.0.7230010.3.0.3.6.7"),
        item(0x55, b"OFFIS_DCMTK_367"),
    ];
    [
        [&[0, 1, 0, 0], titles.as_slice()].concat(),
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        item(0x20, &[&[1, 0, 0xff, 0], syntaxes.as_slice()].concat()),
        item(0x50, &user.concat()),
    ]
    .concat()
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), value].concat()
}

/// The same with one piece replaced.
fn with(piece: &[u8], other: &[u8]) -> Vec<u8> {
    let bytes = echoscu();
    let at = bytes.windows(piece.len()).position(|window| window == piece).unwrap();
    [&bytes[..at], other, &bytes[at + piece.len()..]].concat()
}

#[test]
fn a_request_says_who_wants_what_of_whom() {
    let bytes = echoscu();
    assert_eq!(bytes.len(), 0xcd, "as long as the real one");

    let asked = request(&bytes).unwrap();

    assert_eq!((asked.calling_ae.as_str(), asked.called_ae.as_str()), ("CT_SCANNER_1", "PACS"));
    let context = Context { id: 1, abstract_syntax: "1.2.840.10008.1.1".to_owned() };
    assert_eq!(asked.contexts, [context]);
    assert_eq!(asked.implementation_class.as_deref(), Some("1.2.276.0.7230010.3.0.3.6.7"));
    assert_eq!(asked.implementation_version.as_deref(), Some("OFFIS_DCMTK_367"));
}

#[test]
fn who_the_user_is_stays_unread() {
    let identity = item(0x58, b"\x02\x01\x00\x08DR_HOUSE\x00\x06secret");
    let user = [item(0x51, &[0, 0, 0x40, 0]), identity].concat();
    let bytes = [&echoscu()[..0xcd - 62], &item(0x50, &user)].concat();

    let asked = request(&bytes).unwrap();

    assert!(!format!("{asked:?}").contains("HOUSE"));
}

#[test]
fn padding_of_old_senders_is_taken_off() {
    let titled = with(b"CT_SCANNER_1    ", b"  CT1\0\0\0\0\0\0\0\0\0  ");
    assert_eq!(request(&titled).unwrap().calling_ae, "CT1");

    let padded = item(0x30, b"1.2.840.10008.1.1\0");
    let context = |abstract_syntax: &[u8]| {
        let syntaxes = [abstract_syntax, &item(0x40, b"1.2.840.10008.1.2")].concat();
        item(0x20, &[&[1, 0, 0, 0], syntaxes.as_slice()].concat())
    };
    let old = [&echoscu()[..93], &context(&padded), &echoscu()[143..]].concat();
    assert_eq!(request(&old).unwrap().contexts[0].abstract_syntax, "1.2.840.10008.1.1");
}

#[test]
fn what_could_be_read_in_two_ways_is_not_read() {
    let application = item(0x10, b"1.2.840.10008.3.1.1.1");
    let context = echoscu()[93..143].to_vec();
    let nested = item(0x20, &[&[1, 0, 0, 0], item(0x20, b"").as_slice()].concat());
    let two = [item(0x30, b"1.2"), item(0x30, b"1.3"), item(0x40, b"1.2")].concat();

    let wrong = [
        (with(b"PACS            ", &[b' '; 16]), Malformed::AeTitle),
        (with(b"PACS            ", b"PA\0CS           "), Malformed::AeTitle),
        (with(b"PACS            ", b"P\xc4CS            "), Malformed::AeTitle),
        (with(b"PACS            ", b"P\\CS            "), Malformed::AeTitle),
        (with(&[0, 1, 0, 0], &[0, 2, 0, 0]), Malformed::Version),
        (with(&application, &[]), Malformed::Missing),
        (
            with(&application, &[application.clone(), application.clone()].concat()),
            Malformed::Repeated,
        ),
        (with(&context, &[]), Malformed::Missing),
        (with(&context, &[context.clone(), context.clone()].concat()), Malformed::ContextId),
        (with(&context, &nested), Malformed::Misplaced),
        (with(&context, &item(0x21, &[1, 0, 0, 0])), Malformed::Misplaced),
        (with(&context, &item(0x20, &[2, 0, 0, 0])), Malformed::ContextId),
        (
            with(&context, &item(0x20, &[&[1, 0, 0, 0], two.as_slice()].concat())),
            Malformed::Repeated,
        ),
        (with(b"1.2.840.10008.1.1@", b"1.2.840.10008.1.a@"), Malformed::Uid),
        (echoscu()[..0xcc].to_vec(), Malformed::Truncated),
        (echoscu()[..60].to_vec(), Malformed::Truncated),
        ([echoscu(), vec![0]].concat(), Malformed::Truncated),
    ];

    for (bytes, malformed) in wrong {
        assert_eq!(request(&bytes), Err(malformed));
    }
}

#[test]
fn items_that_nobody_knows_are_skipped() {
    let bytes = [echoscu(), item(0x7f, b"vendor")].concat();

    assert_eq!(request(&bytes), request(&echoscu()));
}

/// The answer to it: its context is accepted, and another one is not.
pub(crate) fn accepted() -> Vec<u8> {
    let accepted =
        item(0x21, &[&[1, 0, 0, 0], item(0x40, b"1.2.840.10008.1.2").as_slice()].concat());
    let refused = item(0x21, &[3, 0, 3, 0]);
    [&echoscu()[..93], &accepted, &refused, &echoscu()[143..]].concat()
}

#[test]
fn an_answer_says_which_contexts_were_accepted() {
    let answers = accept(&accepted()).unwrap();

    assert_eq!(answers, [Answer { id: 1, accepted: true }, Answer { id: 3, accepted: false }]);
}

#[test]
fn the_pdus_that_we_write_are_those_of_the_standard() {
    assert_eq!(Reject::CALLING_AE.pdu(), [3, 0, 0, 0, 0, 4, 0, 1, 1, 3]);
    assert_eq!(Abort::UNSPECIFIED.pdu(), [7, 0, 0, 0, 0, 4, 0, 0, 2, 0]);
    assert_eq!(reject(&Reject::CONGESTION.pdu()[6..]), Ok(Reject::CONGESTION));
    assert_eq!(Malformed::UnexpectedPdu.abort(), Abort { source: 2, reason: 2 });
}

#[test]
fn a_header_that_cannot_be_is_not_taken() {
    let header = |kind, length: u32| {
        let [a, b, c, d] = length.to_be_bytes();
        Header::read([kind, 0, a, b, c, d])
    };

    assert_eq!(header(1, 205), Ok(Header { kind: Kind::AssociateRequest, length: 205 }));
    let longest = Header { kind: Kind::AssociateRequest, length: 128 * 1024 };
    assert_eq!(header(1, 128 * 1024), Ok(longest));
    assert_eq!(header(1, 128 * 1024 + 1), Err(Malformed::Length));
    assert_eq!(header(2, 128 * 1024 + 1), Err(Malformed::Length));
    assert_eq!(header(5, 5), Err(Malformed::Length));
    assert_eq!(header(8, 4), Err(Malformed::UnrecognizedPdu));
    assert_eq!(header(b'G', 4), Err(Malformed::UnrecognizedPdu), "HTTP, for one");
}

proptest! {
    /// Whatever a stranger sends, it is read or it is not.
    #[test]
    fn nothing_makes_the_readers_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _read = (request(&bytes), accept(&bytes), reject(&bytes));
        let prefixed = [&echoscu()[..72], &bytes].concat();
        let _read = (request(&prefixed), accept(&prefixed));
    }

    /// One byte wrong anywhere: what is then read was there.
    #[test]
    fn a_flipped_byte_invents_nothing(at in 0_usize..0xcd, to in any::<u8>()) {
        let mut bytes = echoscu();
        bytes[at] = to;
        if let Ok(asked) = request(&bytes) {
            for said in [&asked.calling_ae, &asked.called_ae] {
                prop_assert!(bytes.windows(said.len()).any(|window| window == said.as_bytes()));
            }
        }
    }
}
