//! Values as people read them on a page.

use crate::audit::forms::Value;
use crate::audit::report::table::Kind;
use crate::report::steers;

/// A text as it may stand in a page, between tags and in quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_foreign(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// What does not belong in a page, or changes the direction of writing: a trail may have been written by others.
fn is_foreign(c: char) -> bool {
    c != '\n' && (steers(c) || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// With a narrow blank between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A sentence of ours: what stands in backticks is code.
pub(super) fn prose(text: &str) -> String {
    let escaped = escaped(text);
    let parts = escaped.split('`').enumerate();
    parts
        .map(|(n, part)| match n % 2 {
            0 => part.to_owned(),
            _ => format!("<code>{part}</code>"),
        })
        .collect()
}

/// A cell.
pub(super) fn shown(kind: Kind, value: &Value<'static>) -> String {
    match (kind, value) {
        (Kind::Bytes, Value::Number(number)) => bytes(*number),
        (_, Value::Number(number)) => count(*number),
        (Kind::Moment, Value::Text(text)) => {
            let to_the_second = text.get(..19).filter(|_| text.is_ascii()).unwrap_or(text);
            escaped(&to_the_second.replacen('T', " ", 1))
        }
        // Where an identifier has to be broken, there.
        (Kind::Id, value) => escaped(&value.to_string()).replace('/', "/<wbr>"),
        (_, value) => escaped(&value.to_string()),
    }
}

fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut tenths, mut unit) = (u128::from(number) * 10, "");
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    match unit {
        "" => format!("{} B", count(number)),
        unit => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// As much of a name as a picture has room for, escaped.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => escaped(text),
        Some(_) => {
            // The end of an identity tells more than its beginning.
            let length = text.chars().count();
            let end: String = text.chars().skip(length - most + 1).collect();
            format!("…{}", escaped(&end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_text_is_text() {
        assert_eq!(
            escaped("<script>'\"&\u{202e}\u{1b}"),
            "&lt;script&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            [0, 1023, 1024, 1_572_864].map(bytes),
            ["0 B", "1\u{202f}023 B", "1.0 KiB", "1.5 MiB"]
        );
        assert_eq!(
            shown(Kind::Moment, &Value::Text("2026-11-22T06:12:01.123Z".into())),
            "2026-11-22 06:12:01"
        );
    }

    #[test]
    fn of_a_long_name_the_end_is_shown() {
        assert_eq!(short("spiffe://hospital.example/billing", 10), "…e/billing");
        assert_eq!(short("lab", 10), "lab");
    }
}
