//! The map of flows: who, through which listener, to whom.

use super::chart::{figure, ratio};
use super::words::{count, escaped, short};
use crate::audit::forms::Value;
use crate::audit::report::table::{Table, text};

/// Most names in a column; others are one.
const NAMES: usize = 14;
const OTHERS: &str = "(others)";
/// Left edges of the three columns, and how wide a name's box is.
const COLUMNS: [f64; 3] = [0.0, 355.0, 710.0];
const BOX: f64 = 250.0;
const HEIGHT: f64 = 30.0;
const STEP: f64 = 42.0;
const TOP: f64 = 26.0;

/// A flow, by its three names.
struct Flow {
    names: [String; 3],
    weight: u64,
    class: &'static str,
}

/// The map; empty if nothing flows.
pub(super) fn diagram(table: &Table) -> String {
    let flows: Vec<_> = table.rows.iter().map(|row| Flow::of(table, row)).collect();
    if flows.is_empty() {
        return String::new();
    }
    let columns = [0, 1, 2].map(|column| names(&flows, column));
    let tallest = columns.iter().map(Vec::len).max().unwrap_or_default();
    let height = TOP + STEP * f64::from(u32::try_from(tallest).unwrap_or_default());
    let most = flows.iter().map(|flow| flow.weight).max().unwrap_or_default();
    // Most frequent ones below, so that rare ones are seen.
    let links: String = flows.iter().map(|flow| flow.drawn(&columns, height, most)).collect();
    let boxes: String =
        columns.iter().zip(COLUMNS).map(|(names, x)| boxes(names, x, height)).collect();
    let heads: String = [("From", 0), ("Through", 1), ("To", 2)]
        .map(|(head, column)| {
            let x = COLUMNS.get(column).copied().unwrap_or_default();
            format!("<text class=\"quiet\" x=\"{x}\" y=\"12\">{head}</text>\n")
        })
        .concat();
    let says = "Green: through a PHI endpoint. Grey: others. Dashed: without TLS. The wider, the more accesses.";
    figure("map", height, "Flows that were let through", says, &(links + &boxes + &heads))
}

impl Flow {
    fn of(table: &Table, row: &[Value<'static>]) -> Self {
        let name =
            |column: &str| table.cell(row, column).map(ToString::to_string).unwrap_or_default();
        let number = |column: &str| match table.cell(row, column) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        };
        let class = match table.cell(row, "protection") == Some(&text("none")) {
            true => "bare",
            false if table.cell(row, "phi") == Some(&text("yes")) => "phi",
            false => "other",
        };
        let names = ["from", "listener", "to"].map(name);
        Self { names, weight: number("accesses").max(number("connections")), class }
    }

    fn drawn(&self, columns: &[Vec<String>; 3], height: f64, most: u64) -> String {
        let middles: Vec<f64> = self
            .names
            .iter()
            .zip(columns)
            .map(|(name, names)| {
                let place = names.iter().position(|other| other == name);
                middle(place.unwrap_or_else(|| names.len().saturating_sub(1)), names.len(), height)
            })
            .collect();
        let wide = 1.5 + 10.0 * ratio(self.weight, most).sqrt();
        let [from, through, to] = &self.names;
        let told = format!("{from} → {through} → {to}: {}", count(self.weight));
        let curve = |(ends, x): (&[f64], f64)| match ends {
            [one, other] => {
                let (x1, x2) = (x + BOX, x + 355.0);
                let half = f64::midpoint(x1, x2);
                format!(
                    "<path class=\"flow {}\" stroke-width=\"{wide:.1}\" d=\"M{x1} {one:.1}C{half} {one:.1} {half} {other:.1} {x2} {other:.1}\"><title>{}</title></path>\n",
                    self.class,
                    escaped(&told)
                )
            }
            _ => String::new(),
        };
        middles.windows(2).zip(COLUMNS).map(curve).collect()
    }
}

/// The names of a column, those with most accesses first.
fn names(flows: &[Flow], column: usize) -> Vec<String> {
    let mut names: Vec<(u64, &str)> = Vec::new();
    for flow in flows {
        let Some(name) = flow.names.get(column) else { continue };
        match names.iter_mut().find(|(_, known)| known == name) {
            Some((weight, _)) => *weight = weight.saturating_add(flow.weight),
            None => names.push((flow.weight, name)),
        }
    }
    names.sort_by_key(|(weight, name)| (u64::MAX - weight, *name));
    let is_more = names.len() > NAMES;
    let mut names: Vec<_> =
        names.into_iter().take(NAMES).map(|(_, name)| name.to_owned()).collect();
    if is_more {
        names.push(OTHERS.to_owned());
    }
    names
}

fn boxes(names: &[String], x: f64, height: f64) -> String {
    names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let middle = middle(place, names.len(), height);
            format!(
                "<g><title>{}</title><rect class=\"node\" x=\"{x}\" y=\"{:.1}\" width=\"{BOX}\" height=\"{HEIGHT}\" rx=\"5\"/><text x=\"{}\" y=\"{:.1}\">{}</text></g>\n",
                escaped(name),
                middle - HEIGHT / 2.0,
                x + 10.0,
                middle + 4.0,
                short(name, 34)
            )
        })
        .collect()
}

/// The middle of a box, in a column that stands in the middle of the picture.
fn middle(place: usize, of: usize, height: f64) -> f64 {
    let [place, of] = [place, of].map(|n| f64::from(u32::try_from(n).unwrap_or_default()));
    let above = (height - TOP - STEP * of) / 2.0;
    TOP + above + STEP * (place + 0.5)
}
