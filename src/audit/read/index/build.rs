//! Makes indexes, and puts them beside their segments.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Access, access};
use tempfile::Builder;

use super::format::{Salt, encode};
use super::stamp::Stamp;
use super::values::{Digest, Values};
use super::{FIELDS, INDEX, Index, beside};
use crate::audit::forms::{Field, Value};
use crate::audit::read::Recorded;
use crate::audit::read::files::{open, regular};
use crate::audit::read::lines::{Lines, Next};

/// What the name of one that is not finished ends with.
const UNFINISHED: &str = ".new";
/// Most values of a field that are told apart: more than a segment's records can have, unless others made it.
const MOST: usize = 1 << 20;

/// An index that is being made, of the records that are read for another reason.
pub(in crate::audit) struct Building {
    path: PathBuf,
    stamp: Stamp,
    owner: Metadata,
    salt: Salt,
    earliest: i128,
    latest: i128,
    /// `None`: it may be any, for there were too many.
    fields: Vec<(Field, Option<HashSet<Box<str>>>)>,
    /// There was a line that is no record.
    is_broken: bool,
}

impl Building {
    /// Begins with the segment in `path`, unless nothing can be put beside it.
    pub(in crate::audit) fn begin(path: &Path) -> io::Result<Self> {
        access(path.parent().unwrap_or(path), Access::WRITE_OK)?;
        let segment = regular(path)?;
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_unspecified| io::ErrorKind::Other)?;
        let fields = FIELDS.iter().filter_map(|(name, _)| Field::named(name));
        Ok(Self {
            path: path.to_owned(),
            stamp: Stamp::of(&segment)?,
            owner: segment.metadata()?,
            salt,
            earliest: i128::MAX,
            latest: i128::MIN,
            fields: fields.map(|field| (field, Some(HashSet::new()))).collect(),
            is_broken: false,
        })
    }

    /// Takes the next record.
    pub(in crate::audit) fn take(&mut self, recorded: &Recorded) {
        let at = recorded.at.unix_timestamp_nanos();
        (self.earliest, self.latest) = (self.earliest.min(at), self.latest.max(at));
        for (field, known) in &mut self.fields {
            let Some(texts) = known else { continue };
            let value = field.of(recorded);
            let other; // what is no text
            let text = match &value {
                Value::Text(text) => &**text,
                value => {
                    other = value.to_string();
                    &*other
                }
            };
            if !texts.contains(text) {
                texts.insert(text.into());
            }
            if texts.len() > MOST {
                *known = None;
            }
        }
    }

    /// Notes a line that is no record.
    pub(in crate::audit) fn pass_over(&mut self) {
        self.is_broken = true;
    }

    /// Puts the index beside its segment, for whoever owns that, in one step. It is not made durable: half of one counts for
    /// nothing.
    ///
    /// # Errors
    ///
    /// It cannot be written, or the segment has changed since.
    pub(in crate::audit) fn finish(self) -> io::Result<()> {
        let (to, path) = (beside(&self.path), self.path.clone());
        let (stamp, uid, gid) = (self.stamp, self.owner.uid(), self.owner.gid());
        let bytes = encode(&stamp, &self.index());
        let name = to.file_name().unwrap_or_default();
        let dir = to.parent().unwrap_or(&to);
        let mut file = Builder::new().prefix(name).suffix(UNFINISHED).tempfile_in(dir)?;
        file.write_all(&bytes)?;
        let is = file.as_file().metadata()?;
        if (is.uid(), is.gid()) != (uid, gid) {
            fchown(file.as_file(), Some(uid), Some(gid))?;
        }
        if Stamp::of(&File::open(path)?)? != stamp {
            return Err(io::Error::other("the segment has changed while it was read"));
        }
        file.persist(to)?;
        Ok(())
    }

    fn index(self) -> Index {
        let Self { salt, is_broken, .. } = self;
        let digested = |number, texts: HashSet<Box<str>>| {
            texts.iter().map(|text| Digest::of(&salt, number, text)).collect()
        };
        let fields = self.fields.into_iter().zip(FIELDS).zip(0..);
        let values = fields.map(|(((_, texts), (_, most)), number)| match texts {
            Some(texts) if !is_broken => Values::of(digested(number, texts), most),
            _ => Values::Any,
        });
        let values = values.collect();
        let (earliest, latest) =
            if is_broken { (i128::MIN, i128::MAX) } else { (self.earliest, self.latest) };
        Index { salt, earliest, latest, values }
    }
}

/// Makes the index of the segment in `path` anew; whether it came to its end before `stop`.
pub(in crate::audit) fn make(path: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let mut building = Building::begin(path)?;
    let mut lines = Lines::new(open(path)?);
    while !stop.load(Ordering::Relaxed) {
        match lines.next()? {
            Next::Line(line) => match serde_json::from_slice(line) {
                Ok(recorded) => building.take(&recorded),
                Err(_no_record) => building.pass_over(),
            },
            Next::TooLong => building.pass_over(),
            Next::Unfinished(_) => {
                building.pass_over();
                return building.finish().map(|()| true);
            }
            Next::End => return building.finish().map(|()| true),
        }
    }
    Ok(false)
}

/// Removes those in `dir` that were never finished.
pub(in crate::audit) fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("trail-") && name.ends_with(UNFINISHED) && name.contains(INDEX) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
