//! Values as YAML text.

use serde_json::Value;

/// A key with its value as lines, `indent` spaces in.
pub(super) fn entry(key: &str, value: &Value, indent: usize) -> String {
    format!("{}{}:{}\n", " ".repeat(indent), word(key), behind(value, indent))
}

/// An item of a list as lines, its dash `indent` spaces in.
pub(super) fn item(value: &Value, indent: usize) -> String {
    format!("{}- {}\n", " ".repeat(indent), inside(value, indent + 2))
}

/// What stands behind a key's colon that is `indent` spaces in; without the last newline.
pub(super) fn behind(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => format!("\n{}", lines(value, indent + 2)),
        Value::Array(list) if !list.is_empty() => format!("\n{}", lines(value, indent + 2)),
        Value::String(text) => match literal(text, indent + 2) {
            Some(text) => format!(" {text}"),
            None => format!(" {}", word(text)),
        },
        _ => format!(" {}", flow(value)),
    }
}

/// What stands behind a dash, `indent` spaces in; without the last newline.
pub(super) fn inside(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => lines(value, indent).trim_start().to_owned(),
        _ => flow(value),
    }
}

/// A list or mapping that is not empty; without the last newline.
fn lines(value: &Value, indent: usize) -> String {
    let mut text: String = match value {
        Value::Object(map) => map.iter().map(|(key, value)| entry(key, value, indent)).collect(),
        Value::Array(list) => list.iter().map(|value| item(value, indent)).collect(),
        _ => flow(value),
    };
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// The value in one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", word(key), flow(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => word(text),
        _ => value.to_string(),
    }
}

/// A text of several lines, if it can be one that people read.
fn literal(text: &str, indent: usize) -> Option<String> {
    let readable = |c: char| c == '\n' || !c.is_control();
    let body = text.strip_suffix('\n')?;
    let first = text.chars().next()?;
    if first.is_whitespace() || body.ends_with('\n') || !text.chars().all(readable) {
        return None;
    }
    let margin = " ".repeat(indent);
    let lines = body.split('\n').map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("\n{margin}{line}"),
    });
    Some(format!("|{}", lines.collect::<String>()))
}

/// A text as a scalar: quoted, unless every reader takes it for this text.
fn word(text: &str) -> String {
    const OTHERS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c))
        && !text.ends_with(':')
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str());
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let quantity = digits.len() < text.len() && ["m", "Mi", "Gi", "Ti"].contains(&digits);
    if plain || quantity { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::read;
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_value() {
        let value = json!({"plain": "a/b:c", "quoted": ["0440", "yes", "", "a: b", "x #y", "é\"\u{7}"],
            "text": "version: 1\n\nlist:\n  - a\n", "odd": " leads\n", "open": "no end\nhere",
            "nothing": {}, "none": [], "deep": [{"a": {"b": [1, true, null]}}, [2]]});
        let text: String =
            value.as_object().unwrap().iter().map(|(key, value)| entry(key, value, 2)).collect();

        assert_eq!(read(&text).unwrap()[0].json(), value, "{text}");
        assert_eq!(read(&flow(&value)).unwrap()[0].json(), value);
        assert!(text.contains("  text: |\n    version: 1\n\n    list:\n"), "{text}");
    }
}
