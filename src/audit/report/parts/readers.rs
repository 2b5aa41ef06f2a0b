//! Who looked at the trail.

use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, column, text};
use crate::audit::report::told::{Events, kept};
use crate::report::Count;

const SUPPORTS: &[Citation] =
    &[cite("45 CFR 164.312(b)", "audit controls: use of the audit trail itself")];
const COLUMNS: &[Column] = &[
    column("time", "Time", Kind::Moment),
    column("command", "Command", Kind::Label),
    column("filters", "Narrowed by", Kind::Text),
    column("records", "Records read", Kind::Number),
    column("account", "Account", Kind::Text),
];

/// Records of queries, exports and reports.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Readers {
    reads: Events,
}

impl Readers {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if let Some(read) = &seen.record.myelin.read {
            self.reads.take(|| {
                let filters = read.filters.join(" ");
                let [at, command, filters, by] =
                    [&read.at, &read.command, &filters, &read.by.to_string()]
                        .map(|name| text(&kept(name)));
                vec![at, command, filters, read.records.into(), by]
            });
        }
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let mut says = vec![match self.reads.count() {
            0 => "No record of this period says that anybody read the trail. That does not mean that nobody did: whoever can read its files needs no command of ours, and that \
                  is for the file system's own audit."
                .into(),
            reads => format!("{} on record. Whoever reads the files without our commands leaves none.", Count(reads, "reading")),
        }];
        says.extend(self.reads.left_out("reading"));
        let rows = self.reads.rows.clone();
        Part {
            id: "readers",
            title: "Who looked at the trail",
            supports: SUPPORTS,
            says,
            tables: vec![Table { name: "reads", title: "Readings", columns: COLUMNS, rows }],
        }
    }
}
