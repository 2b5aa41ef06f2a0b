//! A report as one JSON object: each part by its id, each table as a list of objects.

use serde_json::{Map, Value as Json, json};

use super::facts::Facts;
use super::part::Part;
use super::table::{Table, moment};

/// Counts up when something is told otherwise than before; what is added counts for nothing.
const VERSION: u32 = 1;

pub(super) fn told(facts: &Facts) -> Result<String, serde_json::Error> {
    let Facts { about, period, span, services, figures, parts, .. } = facts;
    let [first, last] = span.cells();
    let told: Map<String, Json> =
        parts.iter().map(|each| (each.id.to_owned(), part(each))).collect();
    let all = json!({
        "report": VERSION,
        "made": moment(Some(about.made)),
        "made_by": format!("Myelin {}", env!("CARGO_PKG_VERSION")),
        "trail": about.trail,
        "services": services,
        "period": { "from": moment(period.from), "to": moment(period.to) },
        "records": { "count": figures.records, "first": first, "last": last },
        "phi": { "allowed": figures.allowed, "denied": figures.denied },
        "read": about.reading,
        "parts": told,
    });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

fn part(part: &Part) -> Json {
    let supports: Vec<_> =
        part.supports.iter().map(|cite| json!({ "rule": cite.rule, "how": cite.how })).collect();
    let tables: Map<String, Json> =
        part.tables.iter().map(|each| (each.name.to_owned(), table(each))).collect();
    json!({ "title": part.title, "supports": supports, "says": part.says, "tables": tables })
}

fn table(table: &Table) -> Json {
    let object = |row: &Vec<_>| {
        let cells = table.columns.iter().zip(row);
        cells.map(|(column, cell)| (column.name.to_owned(), json!(cell))).collect::<Map<_, _>>()
    };
    table.rows.iter().map(object).collect()
}
