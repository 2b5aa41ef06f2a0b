//! A table of facts, whatever it is told as.

use time::{OffsetDateTime, UtcOffset};

use crate::audit::forms::Value;
use crate::audit::line::text::Timestamp;

/// What stands in a row under a column.
pub(super) type Cell = Value<'static>;

/// What stands in a column, and so how people are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, or what strangers may have chosen.
    Text,
    /// A short name: of a listener, a peer or a reason.
    Label,
    /// An identifier: set in a fixed width.
    Id,
    /// A count.
    Number,
    /// Bytes.
    Bytes,
    /// RFC 3339.
    Moment,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// For programs: stable.
    pub(super) name: &'static str,
    /// For people.
    pub(super) head: &'static str,
    pub(super) kind: Kind,
    /// People are shown it below the column before it: pages are narrow.
    pub(super) is_below: bool,
}

/// Makes the lists of columns readable.
pub(super) const fn column(name: &'static str, head: &'static str, kind: Kind) -> Column {
    Column { name, head, kind, is_below: false }
}

/// The same, below the column before it.
pub(super) const fn below(name: &'static str, head: &'static str, kind: Kind) -> Column {
    Column { name, head, kind, is_below: true }
}

/// Rows under columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For programs: stable.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    pub(super) columns: &'static [Column],
    /// Each has a cell for each column.
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The sum of a column of numbers.
    pub(super) fn sum(&self, name: &str) -> u64 {
        let column = self.columns.iter().position(|column| column.name == name);
        let number = |row: &Vec<Cell>| match column.and_then(|column| row.get(column)) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        };
        self.rows.iter().map(number).sum()
    }

    /// What a row has under the column of this name.
    pub(super) fn cell<'r>(&self, row: &'r [Cell], name: &str) -> Option<&'r Cell> {
        row.get(self.columns.iter().position(|column| column.name == name)?)
    }
}

/// For people: to the minute, in UTC.
pub(super) fn when(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
}

pub(super) fn text(text: &str) -> Cell {
    Value::from(text).into_owned()
}

pub(super) fn moment(at: Option<OffsetDateTime>) -> Cell {
    at.map(|at| Timestamp(at).to_string()).into()
}

pub(super) fn yes(is_so: bool) -> Cell {
    text(if is_so { "yes" } else { "no" })
}
