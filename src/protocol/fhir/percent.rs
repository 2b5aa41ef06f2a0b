//! Percent-encoding of names and values in queries.

use crate::protocol::hex;

/// The longest name or value that is looked at.
pub(super) const LONGEST: usize = 512;

/// Room for one of them.
pub(super) type Room = [u8; LONGEST];

/// `text` with its percent-encoding taken off, in `room` where there is any. `None`: too long, broken, or not
/// UTF-8.
pub(super) fn decoded<'a>(text: &'a str, room: &'a mut Room) -> Option<&'a str> {
    if text.len() > LONGEST {
        return None;
    }
    if !text.contains('%') {
        return Some(text);
    }
    let (mut rest, mut length) = (text.as_bytes(), 0);
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match first {
            b'%' => hex::octet(tail)?,
            byte => (*byte, tail),
        };
        *room.get_mut(length)? = byte;
        length += 1;
        rest = tail;
    }
    std::str::from_utf8(room.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_is_taken_off_once() {
        let text = |text| decoded(text, &mut [0; LONGEST]).map(ToOwned::to_owned);

        assert_eq!(text("plain").as_deref(), Some("plain"));
        assert_eq!(text("%5Finclude%3a").as_deref(), Some("_include:"));
        assert_eq!(text("%255F").as_deref(), Some("%5F"));
        assert_eq!(text("M%C3%BCller").as_deref(), Some("Müller"));
        for broken in ["%", "%5", "%zz", "%C3", "a%+5"] {
            assert_eq!(text(broken), None, "{broken}");
        }
        assert_eq!(text(&"a".repeat(LONGEST + 1)), None);
    }
}
