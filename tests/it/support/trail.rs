//! The audit trail as an auditor reads it: from its files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::eventually;

/// A trail's directory.
#[derive(Clone)]
pub(crate) struct Trail {
    dir: PathBuf,
}

impl Trail {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files with records, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        let mut segments: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                // Beside them may lie lists of what exports left out.
                let is_segment = name.ends_with(".jsonl") || name.ends_with(".jsonl.zst");
                name.starts_with("trail-") && is_segment
            })
            .collect();
        // By number: the clock may have been set back.
        segments.sort_by_key(|path| {
            path.file_name().unwrap().to_string_lossy().split_once("Z-").unwrap().1.to_owned()
        });
        // Of one that is there twice, the copy comes behind it.
        segments.dedup_by(|copy, file| copy.with_extension("") == *file);
        segments
    }

    /// Every whole line, as it is.
    pub(crate) fn text(&self) -> String {
        let whole = |path: &PathBuf| {
            let Some(text) = read(path) else { return String::new() };
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            text[..whole].to_owned()
        };
        self.segments().iter().map(whole).collect()
    }

    /// A record for each line.
    pub(crate) fn lines(&self) -> Vec<Record> {
        self.text().lines().map(|line| Record(serde_json::from_str(line).unwrap())).collect()
    }

    /// The records of what happened; checkpoints come whenever they are due.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.lines().into_iter().filter(|record| record.action() != "checkpoint").collect()
    }

    /// The records of one action.
    pub(crate) fn all(&self, action: &str) -> Vec<Record> {
        self.lines().into_iter().filter(|record| record.action() == action).collect()
    }

    /// The first `count` records of `action`, as soon as there are so many.
    pub(crate) async fn wait_for(&self, action: &str, count: usize) -> Vec<Record> {
        let what = format!("{count} records of {action} in {}", self.dir.display());
        eventually(&what, || async {
            let found = self.all(action);
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// The record of `action`, as soon as it is there. Checks that there is no second one.
    pub(crate) async fn only(&self, action: &str) -> Record {
        let mut found = self.wait_for(action, 1).await;
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }
}

/// A segment's text, whatever form it has by now; none when its retention is over.
fn read(path: &Path) -> Option<String> {
    let plain = std::fs::read_to_string(path);
    let compressed = || {
        let name = path.to_str().unwrap();
        let name = format!("{}.zst", name.strip_suffix(".zst").unwrap_or(name));
        let bytes = zstd::decode_all(std::fs::File::open(name).ok()?).unwrap();
        Some(String::from_utf8(bytes).unwrap())
    };
    plain.ok().or_else(compressed)
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record(Value);

impl Record {
    /// The field at a path of names with dots between; null when there is none.
    pub(crate) fn field(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, name| &value[name])
    }

    /// The same, as text. Empty when there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.field(path).as_str().unwrap_or_default()
    }

    /// What a malformed request's message begins with: the label of what is wrong.
    pub(crate) fn label(&self) -> &str {
        self.text("message").split(':').next().unwrap()
    }

    pub(crate) fn number(&self, path: &str) -> u64 {
        self.field(path).as_u64().unwrap_or_else(|| panic!("no number {path} in {:#}", self.0))
    }

    pub(crate) fn action(&self) -> &str {
        self.text("event.action")
    }

    pub(crate) fn reason(&self) -> &str {
        self.text("event.reason")
    }

    /// The connection's id: the same on both sides.
    pub(crate) fn connection(&self) -> &str {
        self.text("myelin.connection")
    }
}
