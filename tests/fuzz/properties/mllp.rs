//! A stream of MLLP, at once and byte by byte: both must come to the same.

use myelin::protocol::mllp::{LEAD_MAX, Reading, Scanner, Step};

pub(super) fn check(stream: &[u8]) {
    for reading in [Reading::Messages, Reading::Answers] {
        let whole = scan(reading, std::iter::once(stream));
        assert_eq!(whole, scan(reading, stream.chunks(1)));
    }
}

/// What passes, and how many headers are judged; `None` for what is refused.
fn scan<'a>(reading: Reading, pieces: impl Iterator<Item = &'a [u8]>) -> Option<(Vec<u8>, usize)> {
    let (mut scanner, mut held) = (Scanner::new(reading), Vec::new());
    let (mut passed, mut judged) = (Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let (pass, skip) = match scanner.step(rest).ok()? {
                Step::Pass(n) | Step::Other(_, n) | Step::End(n) => (n, 0),
                Step::Drop(n) => (0, n),
                Step::Message(_, n, _) | Step::Envelope(_, n) => {
                    judged += 1;
                    (n, 0)
                }
                Step::More => break,
            };
            assert!(pass + skip > 0, "no way forward");
            passed.extend_from_slice(&rest[..pass]);
            rest = &rest[pass + skip..];
        }
        held = rest.to_vec();
        assert!(held.len() <= LEAD_MAX + 1, "more is held than may be");
    }
    Some((passed, judged))
}
