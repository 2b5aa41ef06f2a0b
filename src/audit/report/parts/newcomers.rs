//! Peers that were seen for the first time.

use time::OffsetDateTime;

use crate::audit::read::Window;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{
    Cell, Column, Kind, Table, below, column, moment, text, when, yes,
};
use crate::audit::report::told::{Told, kept};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.308(a)(4)(ii)(C)",
        "access establishment and modification: systems that are new here, to be held against what was approved",
    ),
    cite("45 CFR 164.312(d)", "person or entity authentication: who each of them proved to be"),
];
const COLUMNS: &[Column] = &[
    column("identity", "Proven identity", Kind::Id),
    below("peer", "peer", Kind::Label),
    column("first", "First seen", Kind::Moment),
    column("listener", "At endpoint", Kind::Label),
    below("service", "service", Kind::Label),
    column("let_in", "Ever let in", Kind::Label),
    column("since_review", "Since the last sign-off", Kind::Label),
    column("issuer", "Certificate from", Kind::Text),
];

/// Every identity that was ever proven, and when it was first.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Newcomers {
    known: Told<1, Option<Known>>,
    /// Records of identities for which there was no room.
    left_out: u64,
    /// The first record of all.
    begins: Option<OffsetDateTime>,
}

#[derive(Debug)]
struct Known {
    first: OffsetDateTime,
    peer: String,
    listener: String,
    service: String,
    issuer: String,
    let_in: bool,
}

impl Newcomers {
    /// Takes every record up to the period's end: who was seen before is not new.
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        let at = seen.record.at;
        self.begins = Some(self.begins.map_or(at, |begins| begins.min(at)));
        if seen.identity().is_empty() {
            return;
        }
        let Some(known) = self.known.room([seen.identity()]) else {
            self.left_out += 1;
            return;
        };
        let known = known.get_or_insert_with(|| Known {
            first: at,
            peer: String::new(),
            listener: kept(seen.listener()),
            service: kept(seen.service()),
            issuer: kept(seen.record.presented().map_or("", |end| &end.issuer)),
            let_in: false,
        });
        known.let_in |= seen.opens();
        if known.peer != seen.peer() && !seen.peer().is_empty() {
            known.peer = kept(seen.peer());
        }
    }

    pub(in crate::audit::report) fn part(
        &self,
        period: Window,
        reviewed: Option<OffsetDateTime>,
    ) -> Part {
        let mut new: Vec<_> = self
            .known
            .iter()
            .filter_map(|([identity], known)| Some((identity, known.as_ref()?)))
            .filter(|(_, known)| period.has(known.first))
            .collect();
        new.sort_by_key(|(identity, known)| (known.first, identity.as_str()));
        let rows: Vec<_> =
            new.into_iter().map(|(identity, known)| known.row(identity, reviewed)).collect();
        let count = Count(rows.len() as u64, "peer").to_string();
        let begins = self.begins.map(when).unwrap_or_default();
        let mut says = vec![format!(
            "{count} seen for the first time. The trail that was read begins at {begins} UTC: whoever was seen only before that counts as new."
        )];
        says.push(match reviewed {
            Some(end) => format!("The last sign-off covers what was until {} UTC.", when(end)),
            None => "No review was signed off yet, so nobody here is marked as reviewed.".into(),
        });
        if self.left_out > 0 {
            says.push(format!(
                "{} of further identities were left out: there are too many to tell apart.",
                Count(self.left_out, "record")
            ));
        }
        Part {
            id: "newcomers",
            title: "New peers",
            supports: SUPPORTS,
            says,
            tables: vec![Table {
                name: "peers",
                title: "Seen for the first time",
                columns: COLUMNS,
                rows,
            }],
        }
    }
}

impl Known {
    fn row(&self, identity: &str, reviewed: Option<OffsetDateTime>) -> Vec<Cell> {
        let Self { first, peer, listener, service, issuer, let_in } = self;
        vec![
            text(identity),
            text(peer),
            moment(Some(*first)),
            text(listener),
            text(service),
            yes(*let_in),
            yes(reviewed.is_none_or(|end| *first >= end)),
            text(issuer),
        ]
    }
}
