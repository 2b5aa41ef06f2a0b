//! Lines that are written together.

use std::ops::Range;

use crate::audit::line::encode::{Hash, NOTHING_BEFORE};
use crate::audit::pages::Page;
use crate::audit::record::Action;
use crate::audit::seal::{Tree, leaf};
use crate::audit::trail::backlog::Pending;

/// Bytes of one write, about.
const BYTES: usize = 1024 * 1024;

/// Where in the trail, and in its segment, the next record goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct Position {
    /// Its number.
    pub(in crate::audit) next: u64,
    /// The hash of the line before it.
    pub(in crate::audit) prev: Hash,
    /// The segment's length before it.
    pub(in crate::audit) length: u64,
    /// Records of the segment before it.
    pub(in crate::audit) records: u64,
    /// The tree over all records before it.
    pub(in crate::audit) tree: Tree,
    /// The number of the last checkpoint before it; 0 when there is none.
    pub(in crate::audit) sealed: u64,
}

impl Position {
    /// Before the first record of a trail.
    pub(in crate::audit) fn start() -> Self {
        let tree = Tree::default();
        Self { next: 1, prev: NOTHING_BEFORE, length: 0, records: 0, tree, sealed: 0 }
    }

    /// How many records there are after the last checkpoint.
    pub(in crate::audit) fn news(&self) -> u64 {
        self.next - 1 - self.sealed
    }
}

/// Lines that are written together; kept for the next ones when they are.
#[derive(Debug)]
pub(in crate::audit) struct Chunk {
    bytes: Vec<u8>,
    end: Position,
    records: usize,
    shown: Vec<(Page, Range<usize>)>,
    counts: Vec<(Action, u64)>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            end: Position::start(),
            records: 0,
            shown: Vec::new(),
            counts: Vec::new(),
        }
    }
}

impl Chunk {
    /// Gives records their places from `start` on, until there are none or it is full.
    pub(in crate::audit) fn fill<'a>(
        &mut self,
        start: &Position,
        backlog: impl Iterator<Item = &'a Pending>,
    ) {
        self.bytes.clear();
        self.shown.clear();
        self.counts.clear();
        self.end.clone_from(start);
        self.records = 0;
        for pending in backlog {
            self.place(pending);
            if self.bytes.len() >= BYTES {
                break;
            }
        }
        self.end.length += self.bytes.len() as u64;
    }

    fn place(&mut self, pending: &Pending) {
        let begin = self.bytes.len();
        self.end.prev = pending.line.place(self.end.next, &self.end.prev, &mut self.bytes);
        let line = self.bytes.get(begin..self.bytes.len().saturating_sub(1)).unwrap_or_default();
        self.end.tree.push(leaf(line));
        if pending.line.action == Action::Checkpoint {
            self.end.sealed = self.end.next;
        }
        self.end.next += 1;
        self.end.records += 1;
        self.records += 1;
        if let Some(page) = pending.unshown {
            self.shown.push((page, begin..self.bytes.len() - 1)); // without the newline
        }
        let action = pending.line.action;
        match self.counts.iter_mut().find(|(counted, _)| *counted == action) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((action, 1)),
        }
    }

    /// The lines.
    pub(in crate::audit) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the next record goes once these are written.
    pub(in crate::audit) fn end(&self) -> &Position {
        &self.end
    }

    /// How many they are.
    pub(in crate::audit) fn records(&self) -> usize {
        self.records
    }

    /// Those that a page is owed.
    pub(in crate::audit) fn shown(&self) -> impl Iterator<Item = (Page, &[u8])> {
        self.shown.iter().filter_map(|(page, range)| Some((*page, self.bytes.get(range.clone())?)))
    }

    /// How many there are of each action.
    pub(in crate::audit) fn counts(&self) -> impl Iterator<Item = (Action, u64)> {
        self.counts.iter().copied()
    }
}
