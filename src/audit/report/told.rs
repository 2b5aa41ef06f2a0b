//! What is told apart, with a bound: whoever chose the values cannot fill the memory.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::table::{Cell, moment, text};
use crate::audit::forms::Value;
use crate::report::Count;

/// Most values that one table tells apart.
pub(super) const MOST: usize = 10_000;
/// Most characters that are kept of one.
const LONGEST: usize = 512;
/// The same of a list, or of a note.
const AT_LENGTH: usize = 4096;
/// What stands in place of those beyond the bound.
pub(super) const OTHERS: &str = "(others)";

/// What is known of each of `N` values together. Beyond [`MOST`], all others are one.
#[derive(Debug)]
pub(super) struct Told<const N: usize, V> {
    kept: HashMap<[String; N], V>,
    others: Option<V>,
}

impl<const N: usize, V> Default for Told<N, V> {
    fn default() -> Self {
        Self { kept: HashMap::new(), others: None }
    }
}

impl<const N: usize, V: Default> Told<N, V> {
    /// What is known of these.
    pub(super) fn at(&mut self, key: [&str; N]) -> &mut V {
        let key = key.map(kept);
        if self.kept.len() >= MOST && !self.kept.contains_key(&key) {
            return self.others.get_or_insert_default();
        }
        self.kept.entry(key).or_default()
    }

    /// The same, if it is known or there is room for it.
    pub(super) fn room(&mut self, key: [&str; N]) -> Option<&mut V> {
        let key = key.map(kept);
        if self.kept.len() >= MOST && !self.kept.contains_key(&key) {
            return None;
        }
        Some(self.kept.entry(key).or_default())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[String; N], &V)> {
        self.kept.iter()
    }

    /// Rows in the order of `by`, the key's cells before those of the value; the others at the end.
    pub(super) fn rows<O: Ord>(
        &self,
        by: impl Fn(&[String; N], &V) -> O,
        cells: impl Fn(&V) -> Vec<Cell>,
    ) -> Vec<Vec<Cell>> {
        let mut kept: Vec<_> = self.kept.iter().collect();
        kept.sort_by(|(one, a), (other, b)| by(one, a).cmp(&by(other, b)).then(one.cmp(other)));
        let row = |(key, value): (&[String; N], &V)| {
            key.iter().map(|name| text(name)).chain(cells(value)).collect()
        };
        let others = self.others.as_ref().map(|value| {
            let names = (0..N).map(|n| if n == 0 { text(OTHERS) } else { Value::Nothing });
            names.chain(cells(value)).collect()
        });
        kept.into_iter().map(row).chain(others).collect()
    }
}

/// As much of a text as is kept.
pub(super) fn kept(text: &str) -> String {
    cut(text, LONGEST)
}

/// The same of a list, or of what somebody wrote for the reader of a report.
pub(super) fn kept_at_length(text: &str) -> String {
    cut(text, AT_LENGTH)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// From when to when something was seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: Option<OffsetDateTime>,
    pub(super) last: Option<OffsetDateTime>,
}

impl Span {
    pub(super) fn seen(&mut self, at: OffsetDateTime) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = self.last.max(Some(at));
    }

    pub(super) fn cells(&self) -> [Cell; 2] {
        [moment(self.first), moment(self.last)]
    }
}

/// Events one by one, the first of them.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) rows: Vec<Vec<Cell>>,
    /// How many more there were.
    more: u64,
}

impl Events {
    pub(super) fn take(&mut self, row: impl FnOnce() -> Vec<Cell>) {
        if self.rows.len() < MOST {
            self.rows.push(row());
        } else {
            self.more += 1;
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// What is said where they are not all listed. `noun` is what they are, one of them.
    pub(super) fn left_out(&self, noun: &'static str) -> Option<String> {
        (self.more > 0).then(|| {
            format!(
                "Only the first {} of this part {} listed; {} more {} in the trail, and `myelin audit query` finds them.",
                Count(self.rows.len() as u64, noun),
                if self.rows.len() == 1 { "is" } else { "are" },
                self.more,
                if self.more == 1 { "is" } else { "are" },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_all_are_one_and_none_is_lost() {
        let mut told: Told<1, u64> = Told::default();

        for n in 0..MOST + 7 {
            *told.at([&n.to_string()]) += 1;
        }
        *told.at(["3"]) += 1;

        let rows = told.rows(|_, count| u64::MAX - count, |count| vec![Value::Number(*count)]);
        assert_eq!(rows.len(), MOST + 1);
        assert_eq!(rows[0], [text("3"), Value::Number(2)]);
        assert_eq!(rows[MOST], [text(OTHERS), Value::Number(7)]);
        assert!(told.room(["new"]).is_none());
    }

    #[test]
    fn a_text_of_any_length_is_kept_in_part() {
        assert_eq!(kept(&"ö".repeat(2000)).chars().count(), LONGEST + 1);
        assert_eq!(kept_at_length(&"ö".repeat(9000)).chars().count(), AT_LENGTH + 1);
    }
}
