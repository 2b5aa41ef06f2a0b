//! Where a trail ended, and how it stood there.

use std::io;
use std::path::Path;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chunk::Position;
use super::segment::Tail;
use crate::audit::line::encode::hash;
use crate::audit::read::files::{SegmentFile, files};
use crate::audit::read::lines::{Lines, Next};
use crate::audit::read::placed::Line;
use crate::audit::seal::{Tree, leaf};

/// The end of a trail.
pub(super) struct End {
    /// The last record. `None` when there is none.
    pub(super) last: Option<Last>,
    /// The newest segment, when a crash has torn its end.
    pub(super) torn: Option<(SegmentFile, Tail)>,
}

/// The last record of a trail.
pub(super) struct Last {
    /// Where it is.
    pub(super) file: SegmentFile,
    /// Whether no file is newer, not even an empty one.
    pub(super) is_newest: bool,
    /// Where the next record goes.
    pub(super) position: Position,
    /// The verifier key that was announced last.
    pub(super) key: Option<String>,
    /// When it was written.
    pub(super) time: Option<OffsetDateTime>,
}

impl End {
    /// Of the trail in `dir`.
    pub(super) fn find(dir: &Path) -> io::Result<Self> {
        let mut files = files(dir)?;
        let (mut torn, mut is_newest) = (None, true);
        while let Some(file) = files.pop() {
            let scanned = Scanned::of(&file, None)?;
            if is_newest && scanned.tail.torn > 0 && !file.is_compressed {
                torn = Some((file.clone(), scanned.tail.clone()));
            }
            let Some((sequence, prev)) = scanned.tail.last else {
                is_newest = false;
                continue;
            };
            let Scanned { tail, tree, sealed, key, time } = match scanned.tree {
                Some(_) => scanned,
                // A version that kept no peaks began the segment: the tree is grown from the beginning.
                None => Scanned::of(&file, grown(&files)?)?,
            };
            let tree = tree.ok_or_else(|| {
                io::Error::other(format!(
                    "{}: the tree over the records before it is not known, and those are gone: move the trail \
                     elsewhere, and a new one begins",
                    file.path.display()
                ))
            })?;
            let (length, records) = (tail.length, tail.records);
            let position = Position { next: sequence + 1, prev, length, records, tree, sealed };
            let time = OffsetDateTime::parse(&time, &Rfc3339).ok();
            return Ok(Self { last: Some(Last { file, is_newest, position, key, time }), torn });
        }
        Ok(Self { last: None, torn })
    }
}

/// The tree over all records of these files, the oldest first.
fn grown(files: &[SegmentFile]) -> io::Result<Option<Tree>> {
    let mut tree = None;
    for file in files {
        tree = Scanned::of(file, tree)?.tree;
    }
    Ok(tree)
}

/// One segment, read to its end.
pub(super) struct Scanned {
    /// Where its records end.
    pub(super) tail: Tail,
    /// The tree over all records up to there, if it is known.
    pub(super) tree: Option<Tree>,
    /// The last checkpoint's number, or that of the record before the segment.
    sealed: u64,
    /// The key that was announced last.
    key: Option<String>,
    /// When the last record was written, as it says.
    time: String,
}

impl Scanned {
    /// Reads `file`, before which `tree` was grown; a segment that says it by itself needs none.
    ///
    /// A damaged line with records after it is left for `verify` to find: only what follows the last record
    /// can have been torn by a crash.
    pub(super) fn of(file: &SegmentFile, tree: Option<Tree>) -> io::Result<Self> {
        let before = file.name.first.saturating_sub(1);
        let tree = if before == 0 { Some(Tree::default()) } else { tree };
        let (tail, time) = (Tail::default(), String::new());
        let mut scanned = Self { tail, tree, sealed: before, key: None, time };
        let mut lines = Lines::new(file.open()?);
        // Leaves of lines behind which there may be no record any more.
        let (mut damaged, mut unfinished) = (Vec::new(), 0);
        loop {
            let line = match lines.next()? {
                Next::Line(line) => line,
                Next::TooLong => continue,
                Next::Unfinished(bytes) => {
                    unfinished = bytes;
                    break;
                }
                Next::End => break,
            };
            let Ok(parsed) = Line::parse(line) else {
                damaged.push(leaf(line));
                continue;
            };
            scanned.meet(&parsed);
            let last = Some((parsed.event.sequence, hash(line)));
            if let Some(tree) = &mut scanned.tree {
                damaged.drain(..).for_each(|leaf| tree.push(leaf));
                tree.push(leaf(line));
            }
            let (length, records) = (lines.offset(), lines.number());
            scanned.tail = Tail { length, torn: 0, records, last };
        }
        scanned.tail.torn = lines.offset() + unfinished - scanned.tail.length;
        Ok(scanned)
    }

    fn meet(&mut self, line: &Line<'_>) {
        self.time.clear();
        self.time.push_str(line.timestamp);
        if self.tail.records == 0
            && let Some(tree) = line.tree_before()
        {
            self.tree = Some(tree);
        }
        if let Some(key) = line.myelin.segment.as_ref().and_then(|segment| segment.key) {
            self.key = Some(key.to_owned());
        }
        if let Some(checkpoint) = &line.myelin.checkpoint {
            self.sealed = line.event.sequence;
            if let Some(next) = checkpoint.introduces {
                self.key = Some(next.to_owned());
            }
        }
    }
}
