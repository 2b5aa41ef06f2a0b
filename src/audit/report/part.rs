//! A part of a report.

use super::table::Table;

/// A rule that a part gives evidence for, and in what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Citation {
    /// As lawyers cite it.
    pub(super) rule: &'static str,
    /// What of it the part shows: no more than is so.
    pub(super) how: &'static str,
}

pub(super) const fn cite(rule: &'static str, how: &'static str) -> Citation {
    Citation { rule, how }
}

/// A part: what it supports, what it says, and the tables that it says it by.
#[derive(Debug)]
pub(super) struct Part {
    /// For programs: stable.
    pub(super) id: &'static str,
    /// For people.
    pub(super) title: &'static str,
    pub(super) supports: &'static [Citation],
    /// Paragraphs.
    pub(super) says: Vec<String>,
    pub(super) tables: Vec<Table>,
}
