//! Whether the checkpoints in a trail fit it, and those that were kept elsewhere.

use std::path::Path;

use super::broken::Broken;
use super::kept::{Given, Kept};
use super::verified::Sealed;
use crate::audit::read::placed::Line;
use crate::audit::seal::{Checkpoint, Hash, NoKey, NotACheckpoint, Note, Tree, Verifier};

/// The seals of a trail, up to a line.
pub(super) struct Seals {
    tree: Option<Tree>,
    key: Option<Verifier>,
    sealed: Sealed,
    strangers: Vec<Verifier>,
    /// Those that are still to come, the earliest last.
    given: Vec<Given>,
}

impl Seals {
    /// Before the first record, to be compared with what was kept.
    pub(super) fn new(kept: &Kept) -> Self {
        let Kept { keys, checkpoints } = kept.clone();
        let mut given = checkpoints;
        given.sort_by_key(|given| std::cmp::Reverse(given.checkpoint.size));
        Self { tree: None, key: None, sealed: Sealed::default(), strangers: keys, given }
    }

    /// A segment begins.
    pub(super) fn begin_segment(&mut self, path: &Path, line: &Line<'_>) -> Result<(), Broken> {
        let Some(start) = &line.myelin.segment else { return Ok(()) };
        let says = line.tree_before();
        match (&self.tree, says) {
            (Some(tree), Some(says)) if *tree != says => {
                return Err(Broken::Peaks { file: path.into() });
            }
            (Some(_), _) => {}
            (None, says) => {
                let begins_here = line.event.sequence == 1;
                self.tree = says.or_else(|| begins_here.then(Tree::default));
            }
        }
        if let Some(key) = start.key {
            let stranger = |found| Broken::Key { file: path.into(), found };
            let key = Verifier::parse(key).map_err(|NoKey| stranger("what is no key".into()))?;
            match &self.key {
                Some(known) if *known == key => {}
                Some(_) => return Err(stranger(key.to_string())),
                None => self.sealed_by(key),
            }
        }
        Ok(())
    }

    fn sealed_by(&mut self, key: Verifier) {
        self.strangers.retain(|stranger| {
            let is_met = *stranger == key;
            self.sealed.vouched += usize::from(is_met);
            !is_met
        });
        self.sealed.keys.push(key.to_string());
        self.key = Some(key);
    }

    /// Compares the tree before `line` with what was kept, and with the checkpoint that `line` may be.
    pub(super) fn meet(&mut self, path: &Path, number: u64, line: &Line<'_>) -> Result<(), Broken> {
        self.compare()?; // before the line may introduce another key
        let is_checkpoint = line.event.action == "checkpoint";
        let Some(says) = line.myelin.checkpoint.as_ref().filter(|_| is_checkpoint) else {
            return Ok(());
        };
        let wrong = |why| Broken::Checkpoint { file: path.into(), line: number, why };
        let (Some(tree), Some(key)) = (&self.tree, &self.key) else {
            return Err(wrong("comes before anything says which key seals the trail"));
        };
        let note = Note::parse(&says.note).map_err(|_no_note| wrong("is no signed note"))?;
        let checkpoint =
            Checkpoint::parse(note.text()).map_err(|NotACheckpoint| wrong("is no checkpoint"))?;
        if checkpoint.origin != key.key_id().name {
            return Err(wrong("is of another trail"));
        }
        if !note.is_signed_by(key) {
            return Err(wrong("is not signed by the key that seals the trail here"));
        }
        if checkpoint.size != tree.size() || says.size != tree.size() {
            return Err(wrong("is of another number of records than there are before it"));
        }
        if checkpoint.root != tree.root() {
            return Err(wrong("is not of the records before it: one of them was changed"));
        }
        self.sealed.checkpoints += 1;
        self.sealed.up_to = checkpoint.size;
        if let Some(next) = says.introduces {
            let next = Verifier::parse(next).ok().filter(|next| note.is_signed_by(next));
            let next = next.filter(|next| next.key_id().name == checkpoint.origin);
            self.sealed_by(next.ok_or_else(|| wrong("introduces a key that has not signed it"))?);
        }
        Ok(())
    }

    /// Compares the tree with the checkpoints that were kept of it at this size.
    fn compare(&mut self) -> Result<(), Broken> {
        let Some(tree) = &self.tree else { return Ok(()) };
        while let Some(given) = self.given.pop_if(|given| given.checkpoint.size <= tree.size()) {
            if given.checkpoint.size < tree.size() {
                self.sealed.too_old += 1;
                continue;
            }
            given.compare(tree, self.key.as_ref())?;
            self.sealed.vouched += 1;
        }
        Ok(())
    }

    /// Adds a leaf to the tree, and compares the tree before it with what was kept.
    pub(super) fn append(&mut self, leaf: Hash) -> Result<(), Broken> {
        self.compare()?;
        if let Some(tree) = &mut self.tree {
            tree.push(leaf);
        }
        Ok(())
    }

    /// Behind the last record.
    pub(super) fn finish(mut self) -> Result<Sealed, Broken> {
        self.compare()?;
        let size = self.tree.as_ref().map_or(0, Tree::size);
        if let Some(given) = self.given.last() {
            let of = given.checkpoint.size;
            return Err(given.broken(format!(
                "it is of {of} records, and the trail has {size}: its end is cut off, or it was set back to an \
                 earlier state"
            )));
        }
        if let Some(stranger) = self.strangers.first() {
            return Err(Broken::Stranger { key: stranger.to_string() });
        }
        self.sealed.root = self.tree.map(|tree| hex::encode(tree.root())).unwrap_or_default();
        Ok(self.sealed)
    }
}
