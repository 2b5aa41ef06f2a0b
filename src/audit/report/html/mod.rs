//! A report as a page that needs nothing else: no script, nothing fetched, and good on paper.

mod chart;
mod flow;
mod words;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::words::{count, escaped, prose, shown};
use super::facts::Facts;
use super::part::Part;
use super::parts::integrity::Attestation;
use super::table::{Column, Kind, Table, when};
use crate::audit::forms::Value;

const STYLE: &str = include_str!("style.css");
/// Most rows of a table on the page; other forms have all.
const ROWS: usize = 100;
/// The same, where strangers add most of them.
const STRANGERS: usize = 25;
/// Rows from which a narrow table is set in columns beside each other.
const COLUMNS_FROM: usize = 12;

pub(super) fn page(facts: &Facts) -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let title = match facts.services.as_slice() {
        [] => "Audit report".to_owned(),
        services => format!("Audit report: {}", services.join(", ")),
    };
    let parts: String =
        facts.parts.iter().zip(1..).map(|(each, number)| part(facts, each, number)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         {}<main>\n{parts}</main>\n{}</body>\n</html>\n",
        head(facts, &escaped(&title)),
        foot(facts),
        title = escaped(&title),
    )
}

fn head(facts: &Facts, title: &str) -> String {
    let period = match (facts.period.from, facts.period.to) {
        (Some(from), Some(to)) => format!("{} to {}", when(from), when(to)),
        (Some(from), None) => format!("from {}", when(from)),
        (None, Some(to)) => format!("until {}", when(to)),
        (None, None) => "all that there is".to_owned(),
    };
    let is_over = facts.period.to.is_some_and(|to| to <= facts.about.made);
    let so_far =
        if is_over { String::new() } else { format!("; as of {}", when(facts.about.made)) };
    let figures = &facts.figures;
    let figures: String = [
        (figures.allowed, "accesses to PHI endpoints allowed"),
        (figures.denied, "attempts at PHI endpoints denied"),
        (figures.outside, "connections outside of NIST SP 800-52 Rev. 2"),
        (figures.records, "records of this period read"),
    ]
    .map(|(number, what)| format!("<li><b>{}</b><span>{what}</span></li>\n", count(number)))
    .concat();
    let contents: String = facts
        .parts
        .iter()
        .map(|part| format!("<li><a href=\"#{}\">{}</a></li>\n", part.id, part.title))
        .collect();
    let passed_over = facts
        .passed_over()
        .map(|told| format!("<p class=\"verdict bad\">{}</p>\n", escaped(&told)));
    format!(
        "<header class=\"top\">\n<h1>{title}</h1>\n<p class=\"period\">{period}, UTC{so_far}</p>\n{}\n{}\
         <ul class=\"figures\">\n{figures}</ul>\n<nav aria-label=\"Parts\"><ol>\n{contents}</ol></nav>\n</header>\n",
        verdict(&facts.about.attestation),
        passed_over.unwrap_or_default()
    )
}

fn verdict(attestation: &Attestation) -> String {
    match &attestation.verified {
        Ok(verified) => {
            let sealed = match verified.seals.checkpoints {
                0 => "not sealed".to_owned(),
                _ => format!("sealed up to record {}", count(verified.seals.up_to)),
            };
            format!(
                "<p class=\"verdict good\">The trail stands its checks: an unbroken chain to record {}, {sealed}</p>",
                count(verified.last_sequence)
            )
        }
        Err(_) => "<p class=\"verdict bad\">The trail does not stand its checks: see “Integrity of the trail”</p>".into(),
    }
}

fn foot(facts: &Facts) -> String {
    let made = when(facts.about.made);
    let trail = escaped(&facts.about.trail);
    let last =
        facts.span.last.map(|last| format!(" The last record of the period is of {}.", when(last)));
    format!(
        "<footer>\n<p>Made by Myelin {} at {made} UTC from the trail in <span class=\"id\">{trail}</span>.{} Times are UTC. “Supports” means that a part is evidence \
         towards a rule: this report does not show that anybody complies with it, and is no legal advice. The trail holds no PHI, so neither does this page; names of systems and \
         addresses are to be kept within the house.</p>\n\
         <p class=\"signature\"><span>Reviewed by</span><span>Date</span><span>Signature</span></p>\n</footer>\n",
        env!("CARGO_PKG_VERSION"),
        last.unwrap_or_default()
    )
}

fn part(facts: &Facts, part: &Part, number: u32) -> String {
    let supports: String = part
        .supports
        .iter()
        .map(|cite| {
            format!("<li>Supports <b>{}</b>: {}</li>\n", escaped(cite.rule), escaped(cite.how))
        })
        .collect();
    let says: String = part.says.iter().map(|says| format!("<p>{}</p>\n", prose(says))).collect();
    let tables: String = part.tables.iter().map(|each| table(part.id, each)).collect();
    format!(
        "<section id=\"{}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\"><span class=\"number\">{number}</span>{}</h2>\n\
         <ul class=\"supports\">\n{supports}</ul>\n{says}{}{tables}</section>\n",
        part.id,
        part.title,
        picture(facts, part)
    )
}

/// Where looking beats reading.
fn picture(facts: &Facts, part: &Part) -> String {
    let of = |name: &str| part.tables.iter().find(|table| table.name == name);
    match part.id {
        "access" => chart::over_time(&facts.bars),
        "denials" => of("reasons").map(chart::reasons).unwrap_or_default(),
        "flows" => of("flows").map(flow::diagram).unwrap_or_default(),
        _ => String::new(),
    }
}

fn table(part: &str, table: &Table) -> String {
    if table.rows.is_empty() {
        return format!("<p class=\"none\">{}: none.</p>\n", table.title);
    }
    let most = if (part, table.name) == ("denials", "who") { STRANGERS } else { ROWS };
    let rows: String =
        table.rows.iter().take(most).map(|cells| row(table.columns, cells)).collect();
    let more = match table.rows.len().saturating_sub(most) {
        0 => String::new(),
        more => format!(
            "<p class=\"more\">{} more rows are in the same report as CSV or JSON.</p>\n",
            count(more as u64)
        ),
    };
    let class = if is_narrow(table) { "narrow" } else { "wide" };
    let head: String = grouped(table.columns)
        .map(|columns| cell("th", columns, |column| column.head.into()))
        .collect();
    format!(
        "<h3 id=\"{part}-{}\">{}</h3>\n<div class=\"{class}\"><table aria-labelledby=\"{part}-{0}\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{more}",
        table.name, table.title
    )
}

/// Whether its rows have nothing but times and numbers, and are enough to stand in several columns.
fn is_narrow(table: &Table) -> bool {
    table.rows.len() >= COLUMNS_FROM
        && table.columns.iter().all(|column| matches!(column.kind, Kind::Moment | Kind::Number))
}

fn row(columns: &[Column], cells: &[Value<'static>]) -> String {
    let value = |column: &Column| {
        let place = columns.iter().position(|other| other.name == column.name);
        place
            .and_then(|place| cells.get(place))
            .map(|cell| shown(column.kind, cell))
            .unwrap_or_default()
    };
    let cells: String = grouped(columns).map(|columns| cell("td", columns, value)).collect();
    format!("<tr>{cells}</tr>\n")
}

/// Each column with those that are shown below it.
fn grouped(columns: &[Column]) -> impl Iterator<Item = &[Column]> {
    columns.chunk_by(|_, next| next.is_below)
}

fn cell(tag: &str, columns: &[Column], value: impl Fn(&Column) -> String) -> String {
    let Some((first, below)) = columns.split_first() else { return String::new() };
    let class = match class(first.kind) {
        "" => String::new(),
        "id" | "label" if tag == "th" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let scope = if tag == "th" { " scope=\"col\"" } else { "" };
    let below: String =
        below.chunk_by(is_one_line).map(|columns| small(tag, columns, &value)).collect();
    format!("<{tag}{class}{scope}>{}{below}</{tag}>", value(first))
}

/// Names that are short enough for one line.
fn is_one_line(one: &Column, other: &Column) -> bool {
    [one, other].iter().all(|column| column.kind == Kind::Label)
}

fn small(tag: &str, columns: &[Column], value: impl Fn(&Column) -> String) -> String {
    let values: Vec<_> = columns.iter().map(value).filter(|value| !value.is_empty()).collect();
    if values.is_empty() {
        return String::new();
    }
    let class = match columns {
        [column] if column.kind == Kind::Id && tag == "td" => " class=\"id\"",
        [_, _, ..] if tag == "td" => " class=\"line\"",
        _ => "",
    };
    format!("<small{class}>{}</small>", values.join(" · "))
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Number | Kind::Bytes => "number",
        Kind::Moment => "moment",
        Kind::Id => "id",
        Kind::Label => "label",
        Kind::Text => "",
    }
}
