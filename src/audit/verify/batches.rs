//! Reads a trail's lines in batches and digests them on all cores; they come out in their order.
//!
//! One thread reads. Batch after batch goes to the workers in turn, and is taken from them in the same turn, so
//! the order needs no sorting. All queues are bounded: memory does not depend on the trail.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, available_parallelism};

use super::digest::Digest;
use crate::audit::read::files::SegmentFile;
use crate::audit::read::lines::{Lines, Next};

/// Bytes of one batch, about.
const BYTES: usize = 1024 * 1024;
/// Most lines of one: blank ones have no bytes, but a place each.
const LINES: usize = 8 * 1024;
/// Batches that wait before and behind each worker.
const WAITING: usize = 2;
/// More workers than this wait for the reader.
const WORKERS: usize = 8;

/// Lines of one file that follow each other.
#[derive(Debug)]
pub(super) struct Batch {
    /// Which file: its place in the list.
    pub(super) file: usize,
    /// The number of the first line, from 1.
    pub(super) first: u64,
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`.
    ends: Vec<usize>,
    digests: Vec<Digest>,
    /// Why there is no further line in the file, unless there is.
    pub(super) end: Option<End>,
}

/// What is behind the last line of a file.
#[derive(Debug)]
pub(super) enum End {
    /// So many bytes that no newline ends.
    Unfinished(u64),
    /// A line that is longer than any record.
    TooLong,
    /// The file cannot be read.
    Unreadable(io::Error),
}

impl Batch {
    fn new(file: usize, first: u64) -> Self {
        Self { file, first, bytes: Vec::new(), ends: Vec::new(), digests: Vec::new(), end: None }
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES || self.ends.len() >= LINES
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(begin..*end))
    }

    fn digest(mut self) -> Self {
        self.digests = self.lines().map(Digest::of).collect();
        self
    }

    /// The lines with their numbers and digests.
    pub(super) fn digested(&self) -> impl Iterator<Item = (u64, &[u8], &Digest)> {
        (self.first..).zip(self.lines()).zip(&self.digests).map(|((n, line), of)| (n, line, of))
    }
}

/// The batches of all files, in their order.
pub(super) struct Batches {
    workers: Vec<Receiver<Batch>>,
    turn: usize,
}

impl Batches {
    /// Starts to read; what is left ends when this is dropped.
    pub(super) fn start<'s>(scope: &'s Scope<'s, '_>, files: &'s [SegmentFile]) -> Self {
        let workers = available_parallelism().map_or(1, usize::from).min(WORKERS);
        let (mut ways_in, mut ways_out) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (way_in, read) = sync_channel::<Batch>(WAITING);
            let (digested, way_out) = sync_channel(WAITING);
            scope.spawn(move || read.iter().try_for_each(|batch| digested.send(batch.digest())));
            ways_in.push(way_in);
            ways_out.push(way_out);
        }
        scope.spawn(move || read(files, &ways_in));
        Self { workers: ways_out, turn: 0 }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let worker = self.workers.get(self.turn % self.workers.len())?;
        self.turn += 1;
        // The reader is at its end when its turn's worker is.
        worker.recv().ok()
    }
}

/// Reads all files, until a line cannot be read or nobody takes batches any more.
fn read(files: &[SegmentFile], workers: &[SyncSender<Batch>]) {
    let mut turns = workers.iter().cycle();
    for (index, file) in files.iter().enumerate() {
        let mut send = |batch| turns.next().is_some_and(|worker| worker.send(batch).is_ok());
        if !read_file(index, file, &mut send) {
            return;
        }
    }
}

/// Whether there may be more to read.
fn read_file(index: usize, file: &SegmentFile, send: &mut impl FnMut(Batch) -> bool) -> bool {
    let mut batch = Batch::new(index, 1);
    let end = match file.open() {
        Ok(reader) => {
            let mut lines = Lines::new(reader);
            loop {
                match lines.next() {
                    Ok(Next::Line(line)) => batch.push(line),
                    Ok(Next::TooLong) => break End::TooLong,
                    Ok(Next::Unfinished(bytes)) => break End::Unfinished(bytes),
                    Ok(Next::End) => break End::Unfinished(0),
                    Err(error) => break End::Unreadable(error),
                }
                if batch.is_full() {
                    let next = Batch::new(index, lines.number() + 1);
                    if !send(std::mem::replace(&mut batch, next)) {
                        return false;
                    }
                }
            }
        }
        Err(error) => End::Unreadable(error),
    };
    let goes_on = matches!(end, End::Unfinished(_));
    batch.end = Some(end);
    send(batch) && goes_on
}
