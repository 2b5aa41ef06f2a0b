mod ack;
mod corpus;
mod header;
mod properties;
mod scan;
mod segments;

use super::*;

/// A message as interface engines send them, without its frame.
const ADT: &str =
    "MSH|^~\\&|ADT1|MAIN|LAB|ANNEX|20261122||ADT^A01^ADT_A01|MSG-1|P|2.5.1\rEVN|A01\rPID|1||4711\r";

/// In a frame.
fn framed(content: impl AsRef<[u8]>) -> Vec<u8> {
    [b"\x0b", content.as_ref(), b"\x1c\r"].concat()
}

/// What came of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// What passed.
    passed: Vec<u8>,
    /// `CODE^TRIGGER` of what was judged, a plus sign before what came in a frame of another.
    judged: Vec<String>,
    /// FHS-3 and BHS-3, where they can be read.
    envelopes: Vec<Option<String>>,
    /// MSA-1 and MSA-2 of those that have one.
    acks: Vec<(Option<AckCode>, String)>,
    /// Frames that ended.
    ends: usize,
    malformed: Option<Malformed>,
}

/// Scans a stream that comes in these pieces, holding what is to be held.
fn scan_pieces<'a>(reading: Reading, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    scan_by(Scanner::new(reading), pieces)
}

/// The same, by this scanner.
fn scan_by<'a>(mut scanner: Scanner, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut seen = Seen::default();
    let mut held: Vec<u8> = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let step = match scanner.step(rest) {
                Ok(step) => step,
                Err(malformed) => {
                    seen.malformed = Some(malformed);
                    return seen;
                }
            };
            let (pass, skip) = match step {
                Step::Pass(n) | Step::Other(_, n) => (n, 0),
                Step::Drop(n) => (0, n),
                Step::End(n) => {
                    seen.ends += 1;
                    (n, 0)
                }
                Step::Message(lead, n, further) => {
                    let [code, trigger] = [lead.header.code, lead.header.trigger].map(text);
                    let plus = if further { "+" } else { "" };
                    seen.judged.push(format!("{plus}{code}^{trigger}"));
                    let names = lead.envelopes().map(|header| text(header.sending_application));
                    seen.envelopes.extend(names.map(Some));
                    seen.acks.extend(lead.ack.map(|ack| (ack.code, text(ack.control_id))));
                    (n, 0)
                }
                Step::Envelope(header, n) => {
                    seen.envelopes.push(header.map(|header| text(header.sending_application)));
                    (n, 0)
                }
                Step::More => break,
            };
            seen.passed.extend_from_slice(&rest[..pass]);
            rest = &rest[pass + skip..];
        }
        held = rest.to_vec();
    }
    seen
}

/// Scans a stream that comes at once.
fn scan(stream: impl AsRef<[u8]>) -> Seen {
    scan_pieces(Reading::Messages, [stream.as_ref()])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
