//! Who has reviewed the trail.

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::table::{Cell, Column, Kind, Table, below, column, text};
use crate::audit::reviews::{Reviews, Signed};
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
    column("records", "Records sealed then", Kind::Number),
];

pub(in crate::audit::report) fn part(reviews: &Reviews) -> Part {
    let mut says = vec![match reviews.signed.len() as u64 {
        0 => "No review of this trail was signed off.".into(),
        signed => format!(
            "{} so far; all of them are listed, whichever period they are about.",
            Count(signed, "sign-off")
        ),
    }];
    match &reviews.broken {
        Some(broken) => says.push(format!("The file of sign-offs does not fit from here on: {broken}.")),
        None if reviews.signed.is_empty() => {}
        None => says.push(
            "Each names the digest of the one before and the trail's last checkpoint at that time. No key signs them: whoever can write in the trail's directory could \
             write all of them anew."
                .into(),
        ),
    }
    says.push("`myelin audit sign-off` adds one.".into());
    let rows = reviews.signed.iter().map(row).collect();
    Part {
        id: "reviews",
        title: "Reviews",
        supports: SUPPORTS,
        says,
        tables: vec![Table { name: "signed", title: "Sign-offs", columns: COLUMNS, rows }],
    }
}

fn row(signed: &Signed) -> Vec<Cell> {
    let review = &signed.myelin.review;
    let report = review.report.as_ref();
    vec![
        text(&signed.at),
        text(&review.reviewer),
        text(&review.account.to_string()),
        text(&review.from),
        text(&review.to),
        text(review.note.as_deref().unwrap_or_default()),
        text(report.map_or("", |report| &report.file)),
        text(report.map_or("", |report| &report.sha256)),
        review.checkpoint.as_ref().map_or(Value::Nothing, |trail| Value::Number(trail.size)),
    ]
}
