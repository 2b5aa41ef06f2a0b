//! Comma-separated values (RFC 4180), for spreadsheets.
//!
//! A spreadsheet takes what begins with `=`, `+`, `-` or `@` for a formula and runs it, and strangers choose the names in
//! their certificates: such a value begins with an apostrophe, which spreadsheets take for "this is text".

use super::fields::{Field, Value};
use crate::audit::read::Recorded;

/// What ends a line.
const END: &[u8] = b"\r\n";

/// The names of the columns.
pub(super) fn head() -> Vec<u8> {
    let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
    [names.join(",").as_bytes(), END].concat()
}

/// Appends the row of a record.
pub(super) fn tell(recorded: &Recorded, out: &mut Vec<u8>) {
    row(Field::ALL.iter().map(|field| field.of(recorded)), out);
}

/// Appends a row of values.
pub fn row<'a>(values: impl IntoIterator<Item = Value<'a>>, out: &mut Vec<u8>) {
    for (column, value) in values.into_iter().enumerate() {
        if column > 0 {
            out.push(b',');
        }
        match value {
            Value::Text(text) => cell(&text, out),
            value => out.extend_from_slice(value.to_string().as_bytes()),
        }
    }
    out.extend_from_slice(END);
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let guard = if text.starts_with(runs) { "'" } else { "" };
    let is_plain = !text.contains([',', '"', '\r', '\n']) && text.trim() == text;
    if is_plain {
        out.extend_from_slice(guard.as_bytes());
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.extend_from_slice(format!("\"{guard}{}\"", text.replace('"', "\"\"")).as_bytes());
}

/// Whether a spreadsheet would run what begins with it: in full width as well, behind blanks as well.
fn runs(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
        || c.is_whitespace()
        || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        row([Value::Text(text.into())], &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_commas_and_lines_stay_in_their_cell() {
        assert_eq!(written("CN=lis"), "CN=lis\r\n");
        assert_eq!(written("CN=lis,O=\"Lab\"\n"), "\"CN=lis,O=\"\"Lab\"\"\n\"\r\n");
        assert_eq!(written(""), "\r\n");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for text in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "＝1", "\t=1", " =1"] {
            let cell = written(text);
            assert!(cell.trim_start_matches('"').starts_with('\''), "{cell:?}");
        }
        assert_eq!(written("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"\r\n");
    }

    #[test]
    fn numbers_and_what_is_not_known_are_bare() {
        let mut out = Vec::new();
        row([Value::Number(7), Value::Nothing, Value::Text("a".into())], &mut out);
        assert_eq!(out, b"7,,a\r\n");
    }
}
