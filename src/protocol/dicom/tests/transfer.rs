//! What passes in one direction of an association: PDUs, fragments and commands, torn as you like.

use proptest::prelude::*;

use super::super::*;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const GRAYSCALE_PRINT: &str = "1.2.840.10008.5.1.1.9";
const FILM_BOX: &str = "1.2.840.10008.5.1.1.2";
const COLOR_BOX: &str = "1.2.840.10008.5.1.1.4.1";
const UPS_PUSH: &str = "1.2.840.10008.5.1.4.34.6.1";
const UPS_WATCH: &str = "1.2.840.10008.5.1.4.34.6.2";
pub(crate) const RELEASE_REQUEST: Pdu = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
pub(crate) const RELEASE_REPLY: Pdu = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];

pub(crate) const C_STORE: u16 = 0x0001;
const C_FIND: u16 = 0x0020;
pub(crate) const C_ECHO: u16 = 0x0030;
const N_ACTION: u16 = 0x0130;
const N_CREATE: u16 = 0x0140;
const C_CANCEL: u16 = 0x0fff;
const RESPONSE: u16 = 0x8000;

pub(crate) fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), body].concat()
}

fn fragment(context: u8, control: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 2).unwrap().to_be_bytes();
    [length.as_slice(), &[context, control], body].concat()
}

fn element(number: u16, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    [&[0, 0], number.to_le_bytes().as_slice(), &length, value].concat()
}

/// A command that names `class` as the affected SOP class.
fn command(field: u16, class: &str) -> Vec<u8> {
    let class = element(0x0002, format!("{class}\0").as_bytes());
    let id = element(0x0110, &[1, 0]);
    [element(0, &[0; 4]), class, element(0x0100, &field.to_le_bytes()), id].concat()
}

/// The same in a PDU of its own.
pub(crate) fn asks(context: u8, field: u16, class: &str) -> Vec<u8> {
    pdu(4, &fragment(context, 3, &command(field, class)))
}

/// A piece of a data set, the last one.
fn data(context: u8) -> Vec<u8> {
    pdu(4, &fragment(context, 2, b"PATIENT"))
}

/// Contexts 1, 3, … of these abstract syntaxes, all accepted, and one more that was not.
fn contexts(syntaxes: &[&str]) -> Contexts {
    let all: Vec<_> = syntaxes.iter().chain(&[MR]).map(|uid| (*uid).to_owned()).collect();
    let request = Request::proposing("CT2", "PACS", &all);
    let last = request.contexts.last().unwrap().id;
    let answers: Vec<_> =
        request.contexts.iter().map(|c| Answer { id: c.id, accepted: c.id != last }).collect();
    Contexts::accepted(request, &answers)
}

fn stopped(syntaxes: &[&str], bytes: &[u8]) -> (usize, Option<Stopped>) {
    Transfer::new(&contexts(syntaxes), true).pass(bytes)
}

fn malformed(malformed: Malformed) -> Option<Stopped> {
    Some(Stopped::Malformed(malformed))
}

#[test]
fn data_goes_by_and_is_counted_until_the_release() {
    let contexts = contexts(&[CT]);
    let mut transfer = Transfer::new(&contexts, true);
    let bytes = [asks(1, C_STORE, CT), data(1), pdu(4, b""), RELEASE_REQUEST.to_vec()].concat();

    assert_eq!(transfer.pass(&bytes), (bytes.len(), None));

    assert_eq!(transfer.units(), 3);
    assert!(transfer.has_requested_release() && transfer.is_between());
}

#[test]
fn nothing_follows_a_release_or_an_abort() {
    let contexts = contexts(&[CT]);
    let mut released = Transfer::new(&contexts, false);
    assert_eq!(released.pass(&RELEASE_REPLY), (10, None));
    assert!(released.has_replied_to_release());
    assert_eq!(released.pass(&data(1)), (0, malformed(Malformed::UnexpectedPdu)));

    let mut aborted = Transfer::new(&contexts, false);
    let abort = Abort { source: 0, reason: 0 };
    let first = asks(1, C_STORE, CT);
    let bytes = [first.clone(), abort.pdu().to_vec(), data(1)].concat();
    assert_eq!(aborted.pass(&bytes), (first.len() + 10, Some(Stopped::Aborted(abort))));
}

#[test]
fn a_second_association_is_stopped_at_its_first_byte() {
    let first = asks(1, C_STORE, CT);
    let bytes = [first.clone(), vec![1]].concat();

    assert_eq!(stopped(&[CT], &bytes), (first.len(), malformed(Malformed::UnexpectedPdu)));
}

#[test]
fn what_is_asked_for_is_counted_and_answers_are_not() {
    let contexts = contexts(&[CT, FIND]);
    let mut transfer = Transfer::new(&contexts, true);
    let bytes = [
        asks(1, C_STORE, CT),
        data(1),
        asks(1, C_STORE, CT),
        data(1),
        asks(3, C_FIND, FIND),
        asks(3, C_CANCEL, FIND),
        asks(1, C_STORE | RESPONSE, MR),
    ]
    .concat();

    assert_eq!(transfer.pass(&bytes), (bytes.len(), None));

    let counted: Vec<_> = transfer.commands().iter().collect();
    assert_eq!(counted, [("c_store", 2), ("c_find", 1), ("c_cancel", 1)]);
}

#[test]
fn a_command_is_for_the_sop_class_of_its_context() {
    let good = [
        (CT, C_STORE, CT),
        (FIND, C_FIND, FIND),
        (GRAYSCALE_PRINT, N_CREATE, FILM_BOX),
        (UPS_WATCH, N_ACTION, UPS_PUSH),
        ("1.2.3.4", C_STORE, "1.2.3.4"),
        ("1.2.3.4", N_ACTION, "1.2.3.4"),
    ];
    for (context, field, class) in good {
        let bytes = asks(1, field, class);
        assert_eq!(stopped(&[context], &bytes), (bytes.len(), None), "{field:x} of {class}");
    }
    let wrong = [
        (CT, C_STORE, MR),
        (CT, C_FIND, CT),
        (CT, C_FIND, FIND),
        (FIND, C_STORE, FIND),
        (GRAYSCALE_PRINT, N_CREATE, COLOR_BOX),
        (FILM_BOX, N_CREATE, GRAYSCALE_PRINT),
        (UPS_WATCH, N_CREATE, UPS_PUSH),
        ("1.2.3.4", C_STORE, "1.2.3"),
        (CT, 0x0002, CT),
    ];
    for (context, field, class) in wrong {
        let bytes = asks(1, field, class);
        assert_eq!(stopped(&[context], &bytes), (0, Some(Stopped::Misfit)), "{field:x} of {class}");
    }
}

#[test]
fn a_requested_sop_class_counts_as_much_as_an_affected_one() {
    let asked = |affected: &str, requested: &str| {
        let classes = [element(0x0002, affected.as_bytes()), element(0x0003, requested.as_bytes())];
        let command = [classes.concat(), element(0x0100, &N_ACTION.to_le_bytes())].concat();
        stopped(&["1.2.3.4", FIND], &pdu(4, &fragment(1, 3, &command))).1
    };

    assert_eq!(asked("1.2.3.4", "1.2.3.4"), None);
    assert_eq!(asked("1.2.3.4", FIND), Some(Stopped::Misfit));
    assert_eq!(asked(FIND, "1.2.3.4"), Some(Stopped::Misfit));
}

#[test]
fn a_command_that_could_be_read_in_two_ways_is_none() {
    let field = element(0x0100, &C_STORE.to_le_bytes());
    let class = element(0x0002, CT.as_bytes());
    let wrong = [
        vec![],
        class.clone(),
        [field.clone(), class.clone()].concat(),
        [class.clone(), class.clone(), field.clone()].concat(),
        [class.clone(), field.clone(), vec![8, 0, 0x16, 0, 0, 0, 0, 0]].concat(),
        [element(0x0002, b"1.2\\1.3"), field.clone()].concat(),
        [class, field, vec![0]].concat(),
        [b"\0\0\x02\0UI\x1a\0".as_slice(), CT.as_bytes(), b"\0\0\0\0\x01US\x02\0\x01\0"].concat(),
    ];

    for command in wrong {
        let bytes = pdu(4, &fragment(1, 3, &command));
        assert_eq!(stopped(&[CT], &bytes), (0, Some(Stopped::Misfit)), "{command:02x?}");
        let contexts = contexts(&[CT]);
        let mut free = Transfer::new(&contexts, false);
        assert_eq!(free.pass(&bytes), (bytes.len(), None));
        assert_eq!(free.commands().iter().collect::<Vec<_>>(), [("other", 1)]);
        assert_eq!(free.misfit().unwrap().context, CT);
    }
}

#[test]
fn nothing_may_be_said_on_a_context_that_was_not_accepted() {
    for context in [0, 2, 3, 5, 255] {
        let bytes = asks(context, C_STORE, CT);
        assert_eq!(stopped(&[CT], &bytes), (0, malformed(Malformed::ContextId)), "{context}");
    }
}

#[test]
fn fragments_of_one_message_come_without_those_of_another() {
    let whole = command(C_STORE, CT);
    let (first, rest) = whole.split_at(11);
    let torn = [fragment(1, 1, first), fragment(1, 3, rest)].concat();
    let good = [pdu(4, &torn), pdu(4, &fragment(1, 0, b"PA")), pdu(4, &fragment(1, 2, b""))];
    assert_eq!(stopped(&[CT, CT], &good.concat()).1, None);

    let begun = fragment(1, 1, first);
    let wrong = [
        vec![fragment(1, 2, b"data")],
        vec![begun.clone(), fragment(3, 3, rest)],
        vec![begun, fragment(1, 2, b"data")],
        vec![fragment(1, 3, &whole), fragment(3, 2, b"data")],
        vec![fragment(1, 3, &whole), fragment(1, 0, b"da"), fragment(1, 3, &whole)],
        vec![fragment(1, 3, &whole), fragment(1, 2, b"data"), fragment(1, 2, b"data")],
    ];
    for fragments in wrong {
        let bytes = pdu(4, &fragments.concat());
        let interleaved = malformed(Malformed::Interleaved);
        assert_eq!(stopped(&[CT, CT], &bytes), (0, interleaved), "{fragments:02x?}");
    }
}

#[test]
fn a_fragment_lies_within_its_pdu() {
    let beyond = [&7_u32.to_be_bytes(), [1, 3].as_slice(), b"abcd"].concat();
    let short = [&1_u32.to_be_bytes(), [1].as_slice(), b"abcd"].concat();
    let torn = [fragment(1, 3, &command(C_STORE, CT)), vec![0; 5]].concat();

    for body in [beyond, short, torn, vec![0]] {
        let bytes = [pdu(4, &body), data(1)].concat();
        assert_eq!(stopped(&[CT], &bytes), (0, malformed(Malformed::Truncated)), "{body:02x?}");
    }
}

#[test]
fn a_command_set_has_64_kib_at_most_however_it_comes() {
    let comment = |length: usize| {
        let long = element(0x0902, &vec![b'x'; length]);
        [command(C_STORE, CT), long].concat()
    };
    let room = 64 * 1024 - comment(0).len();
    let torn = |bytes: &[u8]| -> Vec<u8> {
        let pieces: Vec<_> = bytes.chunks(1000).collect();
        let fragments = pieces.iter().enumerate().map(|(at, piece)| {
            pdu(4, &fragment(1, if at + 1 == pieces.len() { 3 } else { 1 }, piece))
        });
        fragments.flatten().collect()
    };

    assert_eq!(stopped(&[CT], &torn(&comment(room))).1, None);
    let long = malformed(Malformed::LongCommand);
    assert_eq!(stopped(&[CT], &torn(&comment(room + 1))).1, long);
    assert_eq!(stopped(&[CT], &pdu(4, &fragment(1, 3, &comment(room + 1)))), (0, long));
}

#[test]
fn of_a_command_that_may_not_pass_never_all_does() {
    let bytes = [asks(1, C_STORE, CT), data(1), asks(1, C_STORE, MR)].concat();
    let good = asks(1, C_STORE, CT).len() + data(1).len();
    let contexts = contexts(&[CT]);

    let mut whole = Transfer::new(&contexts, true);
    assert_eq!(whole.pass(&bytes), (good, Some(Stopped::Misfit)));
    assert!(whole.is_between() && whole.units() == 2, "another PDU fits in");

    let mut torn = Transfer::new(&contexts, true);
    assert_eq!(torn.pass(&bytes[..bytes.len() - 1]), (bytes.len() - 1, None));
    assert_eq!(torn.pass(&bytes[bytes.len() - 1..]), (0, Some(Stopped::Misfit)));
    assert!(!torn.is_between());
    let misfit = torn.misfit().unwrap();
    assert_eq!((misfit.service, misfit.named), (Some(Service::CStore), Some("MRImageStorage")));
}

/// PDUs of every kind, P-DATA-TF among them that are right, and some that are not.
fn any_pdu() -> impl Strategy<Value = Vec<u8>> {
    let of_four = (0_u8..9).prop_map(|kind| pdu(kind, &[kind; 4]));
    let command = (0_u8..4, prop_oneof![Just(CT), Just(MR)]);
    let fragments = proptest::collection::vec((1_u8..4, 0_u8..4, 0_usize..40), 0..3);
    prop_oneof![
        1 => of_four,
        6 => command.prop_map(|(context, class)| asks(context | 1, C_STORE, class)),
        6 => (0_u8..4).prop_map(|context| data(context | 1)),
        2 => fragments.prop_map(|all| {
            let all = all.into_iter().map(|(context, control, length)| {
                fragment(context, control, &vec![0; length])
            });
            pdu(4, &all.flatten().collect::<Vec<_>>())
        }),
    ]
}

proptest! {
    /// Where the stream is torn apart does not matter: not to what ends it, and a PDU that may not pass never
    /// does.
    #[test]
    fn the_pieces_in_which_bytes_come_change_nothing(
        pdus in proptest::collection::vec(any_pdu(), 1..12),
        cuts in proptest::collection::vec(0_usize..800, 0..12),
        is_bound in any::<bool>(),
    ) {
        let (bytes, contexts) = (pdus.concat(), contexts(&[CT]));
        let mut whole = Transfer::new(&contexts, is_bound);
        let (passed, why) = whole.pass(&bytes);

        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let (mut torn, mut at, mut stopped) = (Transfer::new(&contexts, is_bound), 0, None);
        for cut in cuts {
            if stopped.is_none() {
                let (here, why) = torn.pass(&bytes[at..cut]);
                at += here;
                stopped = why;
            }
        }

        prop_assert_eq!(stopped, why);
        prop_assert_eq!(torn.commands(), whole.commands());
        prop_assert_eq!(torn.misfit(), whole.misfit());
        let ends = pdus.iter().scan(0, |end, pdu| {
            *end += pdu.len();
            Some(*end)
        });
        let of_the_next = ends.clone().find(|end| *end > passed).unwrap_or(usize::MAX);
        prop_assert!(passed <= at && at < of_the_next, "{} and {} went by", passed, at);
        prop_assert!(!torn.is_between() || (at == passed && torn.units() == whole.units()));
    }
}
