//! Changes to a text that leave every byte beside them as it was: comments, order and form are the owner's.

use std::ops::Range;

use serde_json::{Map, Value};

use super::page;
use super::tree::{Entry, Kind, Node};

/// Changes to a text, made together by [`Editor::finish`].
pub(super) struct Editor<'t> {
    text: &'t str,
    /// Whether it is JSON, and programs that read nothing else may be behind us.
    is_json: bool,
    edits: Vec<Edit>,
}

struct Edit {
    range: Range<usize>,
    text: String,
    /// Of what is inserted at the same place the deepest comes first: it belongs to what ends there.
    indent: usize,
}

/// Where a node stands, and so how another value takes its place.
#[derive(Clone, Copy)]
enum Slot {
    /// In `{}` or `[]`.
    Flow,
    /// Behind a key.
    Key { after: usize, column: usize },
    /// Behind a dash.
    Item { column: usize },
}

impl<'t> Editor<'t> {
    /// `text` ends with a newline, or is empty.
    pub(super) fn new(text: &'t str) -> Self {
        let inside = text.trim_start().strip_prefix(['{', '[']).map(str::trim_start);
        let is_json = inside.is_some_and(|inside| inside.starts_with(['"', '{', '}', ']']));
        Self { text, is_json, edits: Vec::new() }
    }

    /// Makes `document` say `wanted`, which has all its keys.
    pub(super) fn make(&mut self, document: &Node, wanted: &Value) {
        self.merge(document, wanted, Slot::Item { column: 0 });
    }

    /// The text with all changes.
    pub(super) fn finish(mut self) -> String {
        self.edits.sort_by_key(|edit| (edit.range.start, usize::MAX - edit.indent));
        let mut result = String::with_capacity(self.text.len() * 2);
        let mut at = 0;
        for edit in &self.edits {
            result.push_str(self.text.get(at..edit.range.start).unwrap_or_default());
            result.push_str(&edit.text);
            at = edit.range.end;
        }
        result.push_str(self.text.get(at..).unwrap_or_default());
        result
    }

    fn merge(&mut self, node: &Node, wanted: &Value, slot: Slot) {
        if node.json() == *wanted {
            return;
        }
        match (&node.kind, wanted) {
            (Kind::Map(entries), Value::Object(wanted))
                if !entries.is_empty() && entries.iter().all(|e| wanted.contains_key(&e.name)) =>
            {
                self.merge_map(node, entries, wanted);
            }
            (Kind::List(items), Value::Array(list))
                if !items.is_empty() && Pairs::of(items, list).is_some() =>
            {
                self.merge_list(node, items, list, wanted, slot);
            }
            _ => self.replace(node, wanted, slot),
        }
    }

    fn merge_map(&mut self, node: &Node, entries: &[Entry], wanted: &Map<String, Value>) {
        for entry in entries {
            let Some(value) = wanted.get(&entry.name) else { continue };
            let slot = match node.flow {
                true => Slot::Flow,
                false => Slot::Key { after: entry.after, column: entry.column },
            };
            self.merge(&entry.node, value, slot);
        }
        for (key, value) in wanted {
            if entries.iter().any(|entry| entry.name == *key) {
                continue;
            }
            let last = entries.last().map_or(node.span.end, |entry| entry.node.span.end);
            if node.flow {
                let pair: Map<_, _> = [(key.clone(), value.clone())].into_iter().collect();
                let pair = self.flow(&Value::Object(pair));
                let pair = pair.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
                self.insert(last, format!(", {pair}"), 0);
            } else {
                let indent = entries.first().map_or(node.column, |entry| entry.column);
                self.insert(self.line_end(last), page::entry(key, value, indent), indent);
            }
        }
    }

    fn merge_list(
        &mut self,
        node: &Node,
        items: &[Node],
        list: &[Value],
        wanted: &Value,
        slot: Slot,
    ) {
        let dash = items.first().and_then(|first| self.dash(first));
        let (Some(pairs), Some(column)) =
            (Pairs::of(items, list), dash.or_else(|| node.flow.then_some(0)))
        else {
            return self.replace(node, wanted, slot);
        };
        let inner = if node.flow { Slot::Flow } else { Slot::Item { column } };
        for (item, value) in items.iter().zip(pairs.kept) {
            self.merge(item, value, inner);
        }
        let first = items.first().map_or(node.span.start, |item| item.span.start);
        for value in pairs.first {
            match node.flow {
                true => self.insert(first, format!("{}, ", self.flow(value)), 0),
                false => self.insert(self.above(first), page::item(value, column), 0),
            }
        }
        for value in pairs.last {
            match node.flow {
                true => {
                    let last = items.last().map_or(first, |item| item.span.end);
                    self.insert(last, format!(", {}", self.flow(value)), 0);
                }
                // A dash may stand as far left as the key above: what belongs to it still comes first.
                false => {
                    self.insert(
                        self.line_end(node.span.end),
                        page::item(value, column),
                        column + 1,
                    );
                }
            }
        }
    }

    fn replace(&mut self, node: &Node, wanted: &Value, slot: Slot) {
        let (start, mut text, indent) = match slot {
            Slot::Flow => (node.span.start, self.flow(wanted), 0),
            Slot::Key { after, column } => (after, page::behind(wanted, column), column),
            Slot::Item { column } => (node.span.start, page::inside(wanted, column + 2), column),
        };
        if self.text.get(start..node.span.end).is_some_and(|old| old.ends_with('\n')) {
            text.push('\n');
        }
        self.edits.push(Edit { range: start..node.span.end, text, indent });
    }

    /// In braces, in the words of the text.
    fn flow(&self, value: &Value) -> String {
        if self.is_json { value.to_string() } else { page::flow(value) }
    }

    fn insert(&mut self, at: usize, text: String, indent: usize) {
        self.edits.push(Edit { range: at..at, text, indent });
    }

    /// The beginning of the line behind the one that `at` is in, unless `at` begins one.
    fn line_end(&self, at: usize) -> usize {
        match at.checked_sub(1).and_then(|before| self.text.as_bytes().get(before)) {
            Some(b'\n') => at,
            _ => self
                .text
                .get(at..)
                .and_then(|rest| rest.find('\n'))
                .map_or(self.text.len(), |n| at + n + 1),
        }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// The column of the dash that `item` stands behind, if it is in the same line.
    fn dash(&self, item: &Node) -> Option<usize> {
        let before = self.text.get(self.line_start(item.span.start)..item.span.start)?;
        let column = before.trim_end().strip_suffix('-')?.len();
        before.trim_start_matches(' ').starts_with('-').then_some(column)
    }

    /// The beginning of the line that `at` is in, or of the comments right above it, which belong to it.
    fn above(&self, at: usize) -> usize {
        let mut start = self.line_start(at);
        while let Some(end) = start.checked_sub(1) {
            let line = self.line_start(end);
            match self.text.get(line..end) {
                Some(text) if text.trim_start().starts_with('#') => start = line,
                _ => break,
            }
        }
        start
    }
}

/// What becomes of the items of a list: each stays, and others come before and behind.
struct Pairs<'w> {
    first: &'w [Value],
    kept: &'w [Value],
    last: &'w [Value],
}

impl<'w> Pairs<'w> {
    /// `None` if items of the list are gone or have another order.
    fn of(items: &[Node], wanted: &'w [Value]) -> Option<Self> {
        let old: Vec<Value> = items.iter().map(Node::json).collect();
        if old.len() == wanted.len() && old.iter().any(|item| name(item).is_none()) {
            return Some(Self { first: &[], kept: wanted, last: &[] });
        }
        let begin = wanted.iter().position(|item| old.first().is_some_and(|o| same(o, item)))?;
        let (first, rest) = wanted.split_at_checked(begin)?;
        let (kept, last) = rest.split_at_checked(old.len())?;
        let stay = old.iter().zip(kept).all(|(old, new)| same(old, new));
        stay.then_some(Self { first, kept, last })
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (name(one), name(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// What Kubernetes knows an item by: containers, volumes and claims have names.
fn name(item: &Value) -> Option<&str> {
    item.get("name").or_else(|| item.pointer("/metadata/name")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::read;
    use super::*;

    /// `text` made to say what `change` makes of it; what it says then is what was wanted.
    fn edited(text: &str, change: impl FnOnce(&mut Value)) -> String {
        let documents = read(text).unwrap();
        let mut wanted = documents[0].json();
        change(&mut wanted);
        let mut editor = Editor::new(text);
        editor.make(&documents[0], &wanted);
        let result = editor.finish();
        assert_eq!(read(&result).unwrap()[0].json(), wanted, "{result}");
        result
    }

    fn push(list: &mut Value, item: Value) {
        list.as_array_mut().unwrap().push(item);
    }

    #[test]
    fn keys_and_items_go_where_they_belong_and_comments_stay() {
        let text = "# top\nspec: # why\n  # the first\n  list:\n  # one\n  - name: a # a\n    x: |\n      t\n\n  # tail\n\nlast: 1 # end\n";

        let result = edited(text, |value| {
            value["spec"]["list"].as_array_mut().unwrap().insert(0, json!({"name": "new"}));
            push(&mut value["spec"]["list"], json!({"name": "z", "w": {"k": "v"}}));
            value["spec"]["more"] = json!([1]);
            value["last"] = json!(2);
        });

        let wanted = "# top\nspec: # why\n  # the first\n  list:\n  - name: new\n  # one\n  - name: a # a\n    x: |\n      t\n\n  - name: z\n    w:\n      k: v\n  more:\n    - 1\n  # tail\n\nlast: 2 # end\n";
        assert_eq!(result, wanted);
    }

    #[test]
    fn what_is_written_in_braces_stays_in_braces() {
        let text = "a: { b: [{name: x}], c: {d: 1} } # note\ne: []\nf:\ng: {}\n";

        let result = edited(text, |value| {
            push(&mut value["a"]["b"], json!({"name": "w"}));
            value["a"]["c"]["k"] = json!("v");
            value["e"] = json!([{"name": "z"}]);
            value["f"] = json!({"h": 1});
            value["g"] = json!({"i": "j"});
        });

        let wanted = "a: { b: [{name: x}, {name: w}], c: {d: 1, k: v} } # note\ne:\n  - name: z\nf:\n  h: 1\ng:\n  i: j\n";
        assert_eq!(result, wanted);
    }

    #[test]
    fn json_stays_json_and_a_text_of_several_lines_is_replaced_whole() {
        let result = edited("{\"a\": {\"b\": 1}}\n", |value| value["a"]["c"] = json!([true]));
        assert_eq!(result, "{\"a\": {\"b\": 1, \"c\":[true]}}\n");

        let result = edited("a:\n  t: |\n    one\n    two\n  b: 1\n", |value| {
            value["a"]["t"] = json!("three\n");
        });
        assert_eq!(result, "a:\n  t: |\n    three\n  b: 1\n");
    }

    #[test]
    fn what_is_gone_takes_no_neighbour_along() {
        let result = edited("a:\n- name: x\n  old: 1\n  k: 1\n- name: y # y\nb: 1\n", |value| {
            value["a"][0].as_object_mut().unwrap().remove("old");
        });
        assert_eq!(result, "a:\n- name: x\n  k: 1\n- name: y # y\nb: 1\n");
    }
}
