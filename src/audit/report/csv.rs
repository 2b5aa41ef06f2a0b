//! A report as comma-separated values. Each row begins with its part and its table; the first of a table has the names
//! of its columns. The rows of one table alone are a table for a spreadsheet.

use super::facts::Facts;
use super::table::{Cell, moment, text};
use crate::audit::forms::{Value, row};

pub(super) fn told(facts: &Facts) -> Vec<u8> {
    let mut out = Vec::new();
    let Facts { about, period, figures, parts, .. } = facts;
    let [made, from, to] = [Some(about.made), period.from, period.to].map(moment);
    let head: [(&str, Cell); 7] = [
        ("made", made),
        ("trail", text(&about.trail)),
        ("services", text(&facts.services.join(" "))),
        ("from", from),
        ("to", to),
        ("records", Value::Number(figures.records)),
        ("lines_passed_over", Value::Number(about.reading.broken)),
    ];
    row(["report", "about", "what", "value"].map(text), &mut out);
    for (what, value) in head {
        row([text("report"), text("about"), text(what), value], &mut out);
    }
    for part in parts {
        for table in &part.tables {
            let place = || [text(part.id), text(table.name)].into_iter();
            row(place().chain(table.columns.iter().map(|column| text(column.name))), &mut out);
            for cells in &table.rows {
                row(place().chain(cells.iter().cloned()), &mut out);
            }
        }
    }
    out
}
