//! An error and its causes on one line.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_layer_is_printed_once() {
        let error = Outer(std::io::Error::other("disk on fire"));

        assert_eq!(Report(&error).to_string(), "cannot read the file: disk on fire");
    }
}
