//! A trail in which everything fits.

use std::fmt;

use serde::Serialize;

use crate::report::Count;

/// A trail in which everything fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Files with records.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// The first record's number; more than 1 when older segments are gone.
    pub first_sequence: u64,
    /// The last record's number.
    pub last_sequence: u64,
    /// The first record's time.
    pub first_time: String,
    /// The last record's time.
    pub last_time: String,
    /// SHA-256 of the last line, lower-case hexadecimal. To be compared with what is known elsewhere: a
    /// trail that was cut at its end, or written anew from its beginning, fits as well.
    pub last_hash: String,
    /// When older segments are gone: whether a record of this trail says that their retention was over.
    pub removal_on_record: Option<bool>,
    /// The number of that record.
    pub removed_by: Option<u64>,
    /// Records whose time is before that of the record before them: clocks are set, and records of
    /// different connections overtake each other by milliseconds.
    pub earlier_than_previous: u64,
    /// What sealed it.
    pub seals: Sealed,
    /// Bytes after the last record: one that is being written, or was when the power failed. The next
    /// start puts it on record.
    pub unfinished_bytes: u64,
}

/// What is known of a trail's seals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Sealed {
    /// Checkpoints in the trail; all of them fit.
    pub checkpoints: u64,
    /// The last record that a checkpoint covers; 0 when none does.
    pub up_to: u64,
    /// The root of the tree over all records (RFC 6962), hexadecimal.
    pub root: String,
    /// The verifier keys that signed, in their order, each introduced by the one before.
    pub keys: Vec<String>,
    /// How many of the given keys and checkpoints vouch for it.
    pub vouched: usize,
    /// Given checkpoints that are older than what is kept of the trail, and so could not be compared.
    pub too_old: usize,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, segments, first_sequence, last_sequence, .. } = self;
        let (records, segments) = (Count(*records, "record"), Count(*segments, "file"));
        writeln!(f, "{records} in {segments}: an unbroken chain")?;
        writeln!(f, "first: record {first_sequence} at {}", self.first_time)?;
        writeln!(f, "last:  record {last_sequence} at {}", self.last_time)?;
        write!(f, "SHA-256 of the last line: {}", self.last_hash)?;
        match self.removal_on_record {
            None => {}
            Some(true) => write!(
                f,
                "\nrecords 1 to {} are not here any more: what came before was removed when its retention was over, as \
                 record {} says",
                first_sequence - 1,
                self.removed_by.unwrap_or_default()
            )?,
            Some(false) => write!(
                f,
                "\nrecords 1 to {} are not here any more: what came before is gone, and no record says why",
                first_sequence - 1
            )?,
        }
        match self.earlier_than_previous {
            0 => {}
            1 => write!(f, "\n1 record is earlier than its predecessor")?,
            records => write!(f, "\n{records} records are earlier than their predecessors")?,
        }
        write!(f, "\n{}", self.seals)?;
        if self.unfinished_bytes > 0 {
            let bytes = Count(self.unfinished_bytes, "byte");
            write!(f, "\n{bytes} of an unfinished line at the end")?;
        }
        Ok(())
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoints, up_to, keys, vouched, too_old, .. } = self;
        if *checkpoints == 0 {
            return write!(f, "not sealed: there is no checkpoint in it");
        }
        let (checkpoints, signed) =
            (Count(*checkpoints, "checkpoint"), Count(keys.len() as u64, "key"));
        writeln!(
            f,
            "sealed up to record {up_to} by {checkpoints}, signed by {signed}, the first of them"
        )?;
        write!(f, "  {}", keys.first().map_or("", String::as_str))?;
        if *too_old > 0 {
            let given = Count(*too_old as u64, "given checkpoint");
            write!(f, "\n{given} could not be compared: what is kept of the trail begins later")?;
        }
        match vouched {
            0 => write!(
                f,
                "\nnobody outside vouches for it: whoever could write here could have written all of it anew; \
                 compare with --checkpoint or --key what was kept elsewhere"
            ),
            fit => {
                write!(f, "\nvouched for from outside: {fit} of the given checkpoints and keys fit")
            }
        }
    }
}
