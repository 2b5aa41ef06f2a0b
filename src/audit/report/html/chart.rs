//! Charts, as SVG. Each has a table beside it that says the same.

use super::words::{count, escaped, short};
use crate::audit::forms::Value;
use crate::audit::report::series::{Bar, Bars};
use crate::audit::report::table::{Table, when};

/// Width of a picture, in its own units.
pub(super) const WIDTH: f64 = 960.0;
/// Room for numbers at the left.
const LEFT: f64 = 64.0;
/// Most reasons that are drawn.
const REASONS: usize = 12;

/// A picture with what it shows in words, for those who cannot see it.
pub(super) fn figure(id: &str, height: f64, title: &str, says: &str, inside: &str) -> String {
    let (title, says) = (escaped(title), escaped(says));
    format!(
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-name {id}-says\">\n<title id=\"{id}-name\">{title}</title>\n\
         <desc id=\"{id}-says\">{says}</desc>\n{inside}</svg>\n<figcaption>{title}. {says}</figcaption>\n</figure>\n"
    )
}

/// Accesses over time: allowed ones above, denied ones below, each by a scale of its own.
pub(super) fn over_time(bars: &Bars) -> String {
    let total: u64 = bars.bars.iter().map(|bar| bar.allowed.saturating_add(bar.denied)).sum();
    if total == 0 || bars.bars.len() < 2 {
        return String::new();
    }
    let allowed = Panel { top: 22.0, height: 120.0, class: "allowed", of: |bar| bar.allowed };
    let denied = Panel { top: 178.0, height: 60.0, class: "denied", of: |bar| bar.denied };
    let inside = allowed.drawn(bars) + &denied.drawn(bars) + &times(bars, 258.0);
    let title = format!("Accesses to PHI endpoints, each {}", bars.each);
    figure(
        "over-time",
        268.0,
        &title,
        "Allowed ones above, denied attempts below, each with a scale of its own; times are UTC.",
        &inside,
    )
}

/// One row of bars.
struct Panel {
    top: f64,
    height: f64,
    class: &'static str,
    of: fn(&Bar) -> u64,
}

impl Panel {
    fn drawn(&self, bars: &Bars) -> String {
        let Self { top, height, class, of } = self;
        let most = bars.bars.iter().map(of).max().unwrap_or_default();
        let (width, bottom) = (step(bars), top + height);
        let (numbers, top_text) = (LEFT - 8.0, top - 8.0);
        let mut out = format!(
            "<text class=\"quiet\" x=\"{LEFT}\" y=\"{top_text}\">{class}</text>\n\
             <line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{WIDTH}\" y2=\"{bottom}\"/>\n\
             <text class=\"quiet end\" x=\"{numbers}\" y=\"{}\">{}</text>\n\
             <text class=\"quiet end\" x=\"{numbers}\" y=\"{bottom}\">0</text>\n",
            top + 10.0,
            count(most),
        );
        for (bar, x) in bars.bars.iter().zip(lefts(bars)) {
            let number = of(bar);
            if number == 0 {
                continue;
            }
            // What happened at all is seen.
            let tall = (height * ratio(number, most)).max(1.5);
            out.push_str(&format!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{}: {} {class}</title></rect>\n",
                bottom - tall,
                (width * 0.84).clamp(1.0, 64.0),
                when(bar.from),
                count(number)
            ));
        }
        out
    }
}

/// Width of a bar and the gap beside it.
fn step(bars: &Bars) -> f64 {
    (WIDTH - LEFT) / f64::from(u32::try_from(bars.bars.len()).unwrap_or(u32::MAX).max(1))
}

fn lefts(bars: &Bars) -> impl Iterator<Item = f64> {
    let step = step(bars);
    (0_u32..).map(move |n| LEFT + f64::from(n) * step)
}

/// A few times below the bars.
fn times(bars: &Bars, y: f64) -> String {
    let every = bars.bars.len().div_ceil(7).max(1);
    let shown = |bar: &Bar| match bars.each {
        "hour" => when(bar.from).get(5..).unwrap_or_default().to_owned(),
        _ => bar.from.date().to_string(),
    };
    bars.bars
        .iter()
        .zip(lefts(bars))
        .step_by(every)
        .filter(|(_, x)| *x < WIDTH - 60.0)
        .map(|(bar, x)| {
            format!("<text class=\"quiet\" x=\"{x:.1}\" y=\"{y}\">{}</text>\n", shown(bar))
        })
        .collect()
}

/// Denials by reason, the most frequent first.
pub(super) fn reasons(table: &Table) -> String {
    let number = |row: &[Value<'static>]| match table.cell(row, "count") {
        Some(Value::Number(number)) => *number,
        _ => 0,
    };
    let most = table.rows.iter().map(|row| number(row)).max().unwrap_or_default();
    if most == 0 {
        return String::new();
    }
    let (row_height, left) = (26.0, 250.0);
    let drawn = table.rows.iter().take(REASONS);
    let mut out = String::new();
    for (row, n) in drawn.zip(0_u32..) {
        let (y, number) = (f64::from(n) * row_height, number(row));
        let name = table.cell(row, "reason").map(ToString::to_string).unwrap_or_default();
        let long = ((WIDTH - left - 90.0) * ratio(number, most)).max(2.0);
        out.push_str(&format!(
            "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text><rect class=\"denied\" x=\"{left}\" y=\"{}\" width=\"{long:.1}\" height=\"16\"/>\
             <text x=\"{:.1}\" y=\"{1}\">{}</text>\n",
            left - 10.0,
            y + 17.0,
            short(&name, 34),
            y + 5.0,
            left + long + 8.0,
            count(number)
        ));
    }
    let rows = u32::try_from(table.rows.len().min(REASONS)).unwrap_or_default();
    let says = match table.rows.len() > REASONS {
        true => format!("The {REASONS} most frequent of {} reasons.", table.rows.len()),
        false => "All reasons, the most frequent first.".to_owned(),
    };
    figure("by-reason", f64::from(rows) * row_height + 4.0, "Denials by reason", &says, &out)
}

/// Of two numbers, for a picture.
#[expect(clippy::cast_precision_loss, reason = "a picture has no more than a thousand steps")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
