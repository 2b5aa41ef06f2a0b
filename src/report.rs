//! How things are told: an error and its causes on one line, a number with its noun, and what no text of strangers may do.

use std::error::Error;
use std::fmt;

/// Displays an error followed by the chain of its sources, separated by `: `.
///
/// Every error of ours displays its own layer only; this is what puts the layers together.
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Displays a number with its noun: `1 record`, `2 records`.
///
/// Only for nouns whose plural is made with `s`.
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        let ending = if *number == 1 { "" } else { "s" };
        write!(f, "{number} {noun}{ending}")
    }
}

/// Whether a character steers where it is shown: control characters, and those that break lines or change the direction of
/// writing, in which a text reads as another (Unicode TR 36, 2.5).
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let told = [0, 1, 2].map(|number| Count(number, "record").to_string());

        assert_eq!(told, ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn a_name_in_any_script_steers_nothing() {
        assert!(!"Zoë 検査 🩺 a\u{301}\u{200d}".chars().any(steers));
        for c in "\n\u{1b}\u{85}\u{200f}\u{2028}\u{202e}\u{2066}".chars() {
            assert!(steers(c), "{}", c.escape_unicode());
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_layer_is_printed_once() {
        let error = Outer(std::io::Error::other("disk on fire"));

        assert_eq!(Report(&error).to_string(), "cannot read the file: disk on fire");
    }
}
