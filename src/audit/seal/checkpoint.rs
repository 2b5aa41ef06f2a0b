//! Checkpoints (C2SP `tlog-checkpoint`): whose tree, how many leaves, and its root.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{Hash, Tree};

/// A tree at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which trail.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// A text that is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no checkpoint: lines with an origin, a number of records and a root are expected")]
pub struct NotACheckpoint;

impl Checkpoint {
    /// Of `tree`, as it is now.
    pub fn of(origin: &str, tree: &Tree) -> Self {
        Self { origin: origin.to_owned(), size: tree.size(), root: tree.root() }
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    ///
    /// It is of another form. Further lines may follow, as the specification has it; they say nothing here.
    pub fn parse(text: &str) -> Result<Self, NotACheckpoint> {
        let mut lines = text.strip_suffix('\n').ok_or(NotACheckpoint)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(NotACheckpoint);
        let (origin, size, root) = (line()?, line()?, line()?);
        let is_number = size.bytes().all(|byte| byte.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| is_number).ok_or(NotACheckpoint)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        let root = root.ok_or(NotACheckpoint)?;
        if lines.any(str::is_empty) {
            return Err(NotACheckpoint);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// The text of the note that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root } = self;
        write!(f, "{origin}\n{size}\n{}\n", STANDARD.encode(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_checkpoint_of_the_specification_is_read_and_written() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();

        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), TEXT);
        let extended = format!("{TEXT}more\n");
        assert_eq!(Checkpoint::parse(&extended), Ok(checkpoint));
    }

    #[test]
    fn what_is_no_checkpoint_is_not_taken_for_one() {
        for bad in [
            "",
            "\n",
            TEXT.trim_end(),
            &format!("{TEXT}\n"),
            &TEXT.replace("2085", "02085"),
            &TEXT.replace("2085", "+2085"),
            &TEXT.replace("Cs", ""),
            &TEXT.replace("20852163", "99999999999999999999"),
        ] {
            assert_eq!(Checkpoint::parse(bad), Err(NotACheckpoint), "{bad}");
        }
    }
}
