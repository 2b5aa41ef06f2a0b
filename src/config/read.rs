//! A declarative reader over the tree: which keys there are, what each wants, and nothing overlooked.
//!
//! A reader that answers `None` has noted a problem; its caller goes on with the next key, so that
//! one run shows everything.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::keys::Section;
use super::nearest::nearest;
use super::problem::{Fault, Place, Problem, Severity, quoted};
use super::substitute::{Sources, files, read_text, substitute};
use super::yaml::{Entry, Node, Value};

/// Longest path of a file, in bytes (Linux' PATH_MAX with its NUL).
const MAX_PATH: usize = 4095;

/// Where something stands, for a problem about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'n> {
    place: Place,
    key: &'n str,
}

impl At<'_> {
    /// Its line, from 1.
    pub(super) fn line(&self) -> u32 {
        u32::try_from(self.place.line).unwrap_or(u32::MAX)
    }

    /// The place of something that is called `name`, and was not written as such.
    pub(super) fn called(&self, name: &str) -> Located<()> {
        Located { value: (), written: name.into(), place: self.place, key: self.key.into() }
    }
}

impl Node {
    /// Where it stands.
    pub(super) fn at(&self) -> At<'_> {
        At { place: self.place, key: &self.key }
    }
}

impl Entry {
    /// Where its key stands.
    pub(super) fn at(&self) -> At<'_> {
        At { place: self.place, key: &self.node.key }
    }
}

/// A value that remembers where it was written, for checks against other values.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    /// The value.
    pub(super) value: T,
    /// As it was written, before anything was put in: what a message may show.
    pub(super) written: String,
    place: Place,
    key: String,
}

impl<T> Located<T> {
    /// Where it stands.
    pub(super) fn at(&self) -> At<'_> {
        At { place: self.place, key: &self.key }
    }

    /// Its key, like `inbound[0].listen`.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The key of the mapping that it stands in, like `inbound[0]`.
    pub(super) fn parent(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// The place alone.
    pub(super) fn mark(&self) -> Located<()> {
        self.holding(())
    }

    /// Another value that was written here.
    pub(super) fn holding<U>(&self, value: U) -> Located<U> {
        let (written, key) = (self.written.clone(), self.key.clone());
        Located { value, written, place: self.place, key }
    }
}

/// Collects problems, and knows what may be put into scalars.
pub(super) struct Reader<'a> {
    sources: Sources<'a>,
    found: RefCell<Vec<Problem>>,
    /// The files that were named.
    files: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Reader<'a> {
    /// A reader that goes on from `found`.
    pub(super) fn new(sources: Sources<'a>, found: Vec<Problem>) -> Self {
        Self { sources, found: RefCell::new(found), files: RefCell::default() }
    }

    /// The files that were named so far, whether they are there or not.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        self.files.borrow().clone()
    }

    /// Everything that was found.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.found.into_inner()
    }

    /// Notes something for which the configuration is refused.
    pub(super) fn error(&self, at: At<'_>, fault: Fault) {
        self.found.borrow_mut().push(fault.at(at.place, at.key, Severity::Error));
    }

    /// Notes something that deserves a look.
    pub(super) fn warn(&self, at: At<'_>, fault: Fault) {
        self.found.borrow_mut().push(fault.at(at.place, at.key, Severity::Warning));
    }

    /// Notes that `node` is something else than `wanted`.
    fn mismatch(&self, node: &Node, wanted: &str, hint: Option<&str>) {
        let is = match &node.value {
            Value::Refused => return,
            Value::Null => {
                let fault = Fault::new(format!("{} has no value", quoted(&node.key)))
                    .hint(format!("give it {wanted}, or remove the key"));
                return self.error(node.at(), fault);
            }
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        let whose = if node.key.is_empty() { "the file".into() } else { quoted(&node.key) };
        let fault = Fault::new(format!("{whose} wants {wanted}, this is {is}"));
        self.error(node.at(), Fault { hint: hint.map(Into::into), ..fault });
    }

    /// A scalar, with everything put in, as `parse` takes it.
    pub(super) fn located<T>(
        &self,
        node: &Node,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Located<T>> {
        let Value::Text(written) = &node.value else {
            self.mismatch(node, "a text", None);
            return None;
        };
        let named = files(written).map(|path| self.sources.base.join(path));
        self.files.borrow_mut().extend(named);
        let replaced =
            substitute(written, self.sources).map_err(|fault| self.error(node.at(), fault)).ok()?;
        match parse(replaced.as_deref().unwrap_or(written)) {
            Ok(value) => Some(Located {
                value,
                written: written.clone(),
                place: node.place,
                key: node.key.clone(),
            }),
            Err(fault) => {
                self.error(node.at(), about(node, written, replaced.is_some(), fault));
                None
            }
        }
    }

    /// The directory that relative paths begin at.
    pub(super) fn base(&self) -> &Path {
        self.sources.base
    }

    /// The path of a file; relative ones begin at the configuration file's directory.
    pub(super) fn path(&self, node: &Node) -> Option<PathBuf> {
        self.located(node, |text| self.resolve(text)).map(|path| path.value)
    }

    /// The path of a file and its text, of at most `max` bytes.
    pub(super) fn file(&self, node: &Node, max: u64) -> Option<(PathBuf, String)> {
        let read = |text: &str| {
            let path = self.resolve(text)?;
            let text = read_text(&path, max).map_err(|why| {
                let place = path.display();
                Fault::new(format!("cannot be read: {why}")).quoting(format_args!(
                    "it is looked for at {place}: put a file there that this user may read, or name another"
                ))
            })?;
            Ok((path, text))
        };
        self.located(node, read).map(|file| file.value)
    }

    /// The path that `text` names.
    fn resolve(&self, text: &str) -> Result<PathBuf, Fault> {
        match text {
            "" => Err(Fault::new("is not a path")),
            text if text.contains('\0') => Err(Fault::new("has a NUL in it, which no path has")),
            text if text.len() > MAX_PATH => Err(Fault::new("is longer than a path can be")),
            text => {
                let path = self.sources.base.join(text);
                self.files.borrow_mut().insert(path.clone());
                Ok(path)
            }
        }
    }

    /// A list, of which every item is looked at.
    pub(super) fn list<T>(
        &self,
        node: &Node,
        mut item: impl FnMut(&Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(items) = &node.value else {
            self.mismatch(node, "a list", Some("write it as [a, b], or one `- a` a line"));
            return None;
        };
        let read: Vec<_> = items.iter().map(|node| item(self, node)).collect();
        read.into_iter().collect()
    }

    /// A list that must not be empty. `empty`: what is wrong with that, and how to mend it.
    pub(super) fn some<T>(
        &self,
        node: &Node,
        item: impl Fn(&Self, &Node) -> Option<T>,
        (empty, hint): (&str, &str),
    ) -> Option<Vec<T>> {
        let list = self.list(node, item)?;
        if list.is_empty() {
            self.error(node.at(), Fault::new(empty).hint(hint));
            return None;
        }
        Some(list)
    }

    /// One text, or a list of texts that must not be empty. `empty` as for [`Self::some`].
    pub(super) fn one_or_some<T>(
        &self,
        node: &Node,
        item: impl Fn(&Self, &Node) -> Option<T>,
        empty: (&str, &str),
    ) -> Option<Vec<T>> {
        match &node.value {
            Value::Text(_) => item(self, node).map(|only| vec![only]),
            _ => self.some(node, item, empty),
        }
    }

    /// The keys of a mapping whose names are the operator's to choose.
    pub(super) fn entries<'n>(&self, node: &'n Node) -> Option<&'n [Entry]> {
        let Value::Map(entries) = &node.value else {
            self.mismatch(node, "a mapping", Some("write it as `key: value`, one a line"));
            return None;
        };
        Some(entries)
    }
}

/// Completes `fault`, which says what is wrong with a scalar, by the scalar as it was written.
fn about(node: &Node, written: &str, replaced: bool, fault: Fault) -> Fault {
    let written = if written.is_empty() { "\"\"" } else { written };
    let key = node.key.rsplit('.').next().filter(|name| !name.is_empty() && !name.ends_with(']'));
    let shown = key.map_or_else(|| written.to_owned(), |key| format!("{key}: {written}"));
    let once = if replaced { ", once everything is put in," } else { "" };
    let hint = fault.hint.filter(|_| !(replaced && fault.quotes));
    Fault { text: format!("{}{once} {}", quoted(&shown), fault.text), hint, quotes: false }
}

/// A reader of one scalar.
pub(super) fn one<T>(
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> impl Fn(&Reader<'_>, &Node) -> Option<T> {
    move |reader, node| reader.located(node, &parse).map(|located| located.value)
}

/// A reader of one scalar that remembers its place.
pub(super) fn located<T>(
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> impl Fn(&Reader<'_>, &Node) -> Option<Located<T>> {
    move |reader, node| reader.located(node, &parse)
}

/// The keys of one mapping, taken out one by one; [`Fields::finish`] asks what was left over.
pub(super) struct Fields<'f, 'a> {
    reader: &'f Reader<'a>,
    node: &'f Node,
    entries: &'f [Entry],
    section: &'static Section,
    asked: Vec<&'static str>,
}

impl<'f, 'a> Fields<'f, 'a> {
    /// The keys of `node`, which is to be a mapping like `section`.
    pub(super) fn open(
        reader: &'f Reader<'a>,
        node: &'f Node,
        section: &'static Section,
    ) -> Option<Self> {
        let entries = reader.entries(node)?;
        Some(Self { reader, node, entries, section, asked: Vec::new() })
    }

    /// Where the mapping stands.
    pub(super) fn at(&self) -> At<'f> {
        self.node.at()
    }

    /// The key and value of `key`, if it is there.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<&'f Entry> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.name == key)
    }

    /// The value of `key`, which must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Reader<'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        let like = self.section.required.iter().find(|(name, _)| *name == key);
        self.must(key, like.map(|(_, like)| *like), read)
    }

    /// The value of `key`, which must be there beside what else is; it may look `like` this.
    pub(super) fn must<T>(
        &mut self,
        key: &'static str,
        like: Option<&str>,
        read: impl FnOnce(&Reader<'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        if let Some(entry) = self.entry(key) {
            return read(self.reader, &entry.node);
        }
        let inside = inside(&self.node.key);
        let fault = Fault::new(format!("`{key}` is missing{inside}"));
        let fault = match like {
            Some(like) => fault.hint(format!("add it, like `{key}: {like}`")),
            None => fault,
        };
        self.reader.error(self.node.at(), fault);
        None
    }

    /// The value of `key`: `None` when it is wrong, `Some(None)` when it is not there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Reader<'a>, &Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.entry(key) {
            Some(entry) => read(self.reader, &entry.node).map(Some),
            None => Some(None),
        }
    }

    /// The value of `key`, or `default` when it is not there.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Reader<'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        self.optional(key, read).map(|value| value.unwrap_or(default))
    }

    /// Notes every key that nobody asked for, and says how many there were.
    pub(super) fn finish(self) -> usize {
        debug_assert!(
            self.section.keys.iter().all(|key| self.asked.contains(key))
                && self.asked.iter().all(|key| self.section.keys.contains(key)),
            "the keys that are known and those that are read differ"
        );
        let over = self.entries.iter().filter(|entry| !self.asked.contains(&entry.name.as_str()));
        over.inspect(|entry| self.reader.error(entry.at(), self.left_over(&entry.name))).count()
    }

    fn left_over(&self, name: &str) -> Fault {
        let inside = inside(&self.node.key);
        let fault = Fault::new(format!("unknown key {}{inside}", quoted(name)));
        match nearest(name, self.section.keys.iter().copied()) {
            Some(known) => fault.hint(format!("did you mean `{known}`?")),
            None => fault.hint(format!("known here: {}", self.section.keys.join(", "))),
        }
    }
}

fn inside(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" in {key}") }
}
