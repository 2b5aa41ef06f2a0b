//! Who has reviewed the trail.

use time::OffsetDateTime;

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Cell, Column, Kind, Table, below, column, text, yes};
use crate::audit::report::told::{Events, kept, kept_at_length};
use crate::audit::reviews::Review;
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.308(a)(1)(ii)(D)",
        "information system activity review: that records were reviewed, when, and by whom",
    ),
    cite("45 CFR 164.316(b)(1)(ii)", "documentation: a written record of the review"),
];
const COLUMNS: &[Column] = &[
    column("time", "Signed", Kind::Moment),
    column("reviewer", "Reviewer, as given", Kind::Text),
    below("account", "account", Kind::Text),
    column("from", "Period from", Kind::Moment),
    below("to", "to", Kind::Moment),
    column("note", "Note", Kind::Text),
    column("report", "Report", Kind::Text),
    below("report_sha256", "SHA-256", Kind::Id),
    column("sealed", "Records sealed then", Kind::Number),
    column("on_record", "On record", Kind::Label),
];

/// Sign-offs, whichever period they are about.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Signed {
    signed: Events,
    last_end: Option<OffsetDateTime>,
}

impl Signed {
    /// Takes every record: a period is reviewed when it is over.
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if let Some(review) = &seen.record.myelin.review {
            self.last_end = self.last_end.max(review.end());
            self.signed.take(|| row(review, true));
        }
    }

    /// The latest end of a reviewed period.
    pub(in crate::audit::report) fn last_end(&self) -> Option<OffsetDateTime> {
        self.last_end
    }

    pub(in crate::audit::report) fn part(&self, waiting: &[Review]) -> Part {
        let mut says = vec![match self.signed.count() {
            0 => "No review of this trail is on record.".into(),
            signed => format!(
                "{} on record, whichever period they are about. Each is a record like any other, in the chain and sealed, and names the trail's last checkpoint \
                 at that time.",
                Count(signed, "sign-off")
            ),
        }];
        says.extend(self.signed.left_out("sign-off"));
        if !waiting.is_empty() {
            let waiting = Count(waiting.len() as u64, "sign-off");
            says.push(format!("{waiting} handed in and not on record yet: the sidecar puts it there within seconds, or at its next start."));
        }
        says.push("`myelin audit sign-off` adds one.".into());
        let waiting = waiting.iter().map(|review| row(review, false));
        let rows = self.signed.rows.iter().cloned().chain(waiting).collect();
        Part {
            id: "reviews",
            title: "Reviews",
            supports: SUPPORTS,
            says,
            tables: vec![Table { name: "signed", title: "Sign-offs", columns: COLUMNS, rows }],
        }
    }
}

fn row(review: &Review, is_on_record: bool) -> Vec<Cell> {
    let report = review.report.as_ref();
    let note = review.note.as_deref().unwrap_or_default();
    vec![
        text(&kept(&review.at)),
        text(&kept(&review.reviewer)),
        text(&kept(&review.by.to_string())),
        text(&kept(&review.from)),
        text(&kept(&review.to)),
        text(&kept_at_length(note)),
        text(&kept(report.map_or("", |report| &report.file))),
        text(&kept(report.map_or("", |report| &report.sha256))),
        review.trail.as_ref().map_or(Value::Nothing, |trail| Value::Number(trail.size)),
        yes(is_on_record),
    ]
}
