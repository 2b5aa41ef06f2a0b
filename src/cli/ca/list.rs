//! `myelin ca list`: what was issued, and how it stands.

use serde_json::{Value, json};

use super::{Bad, console};
use crate::certs::embedded::{Authority, Listed, Standing};
use crate::cli::Format;
use crate::clock::{self, rfc3339};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    /// Also what has expired, as long as it is on record
    #[arg(long)]
    all: bool,
    /// The join tokens instead
    #[arg(long)]
    tokens: bool,
    /// How to print the list
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let authority = arguments.place.open()?;
    let rows = match arguments.tokens {
        true => tokens(&authority, arguments.all)?,
        false => certificates(&authority, arguments.all)?,
    };
    match arguments.format {
        Format::Text => console::print(&table(&rows)),
        Format::Json => {
            let all: Vec<_> = rows.into_iter().map(|row| row.json).collect();
            let text = serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?;
            console::line(&text);
        }
    }
    Ok(())
}

/// An entry in both of its forms.
struct Row {
    heads: [&'static str; 5],
    cells: [String; 5],
    json: Value,
}

fn certificates(authority: &Authority, all: bool) -> Result<Vec<Row>, Bad> {
    let now = clock::now();
    let shown = |listed: &Listed| all || listed.record.not_after >= now;
    Ok(authority.issued()?.into_iter().filter(shown).map(|listed| certificate(&listed)).collect())
}

fn certificate(listed: &Listed) -> Row {
    let Listed { record, standing } = listed;
    let mut state = standing.label().to_owned();
    let mut more = json!({ "state": state });
    if let Standing::Revoked(revocation) = standing {
        let (at, reason) = (rfc3339(revocation.at), revocation.reason.name());
        state = format!("{state} ({reason})");
        more = json!({ "state": "revoked", "revoked": { "at": at, "reason": reason } });
    }
    let mut json = serde_json::to_value(record).unwrap_or_default();
    if let (Value::Object(all), Value::Object(more)) = (&mut json, more) {
        all.extend(more);
    }
    Row {
        heads: ["SERIAL", "NAME", "EXPIRES", "STATE", "HOW"],
        cells: [
            record.serial.to_string(),
            record.spiffe.to_string(),
            rfc3339(record.not_after),
            state,
            record.authorized.to_string(),
        ],
        json,
    }
}

fn tokens(authority: &Authority, all: bool) -> Result<Vec<Row>, Bad> {
    let now = clock::now();
    let rows = authority.tokens()?.into_iter().map(|(token, used)| {
        let state = match used {
            Some(_) => "used",
            None if token.expires <= now => "expired",
            None => "unused",
        };
        let json = json!({
            "id": token.id,
            "made": rfc3339(token.at),
            "spiffe": token.spiffe.as_str(),
            "dns": token.dns.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "ttl_seconds": token.ttl_seconds,
            "expires": rfc3339(token.expires),
            "used": used.map(rfc3339),
            "state": state,
        });
        let row = Row {
            heads: ["TOKEN", "NAME", "EXPIRES", "STATE", "USED"],
            cells: [
                token.id,
                token.spiffe.to_string(),
                rfc3339(token.expires),
                state.to_owned(),
                used.map_or_else(|| "-".to_owned(), rfc3339),
            ],
            json,
        };
        (all || token.expires > now).then_some(row)
    });
    Ok(rows.flatten().collect())
}

fn table(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return "nothing on record\n".to_owned() };
    let heads = first.heads.map(str::to_owned);
    let lines: Vec<&[String; 5]> =
        std::iter::once(&heads).chain(rows.iter().map(|row| &row.cells)).collect();
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(*line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
