//! A configuration that a command writes: YAML, with its comments in one column.

/// Texts up to this length move the comments to the right, longer ones stand out.
const WIDE: usize = 44;

/// Lines, some of which have a comment.
#[derive(Default)]
pub(super) struct Sheet {
    lines: Vec<(String, String)>,
}

impl Sheet {
    /// A line as it is.
    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.lines.push((text.into(), String::new()));
    }

    /// A line and its comment.
    pub(super) fn line(&mut self, text: impl Into<String>, comment: impl Into<String>) {
        self.lines.push((text.into(), comment.into()));
    }

    /// The file, with its comments in one column.
    pub(super) fn finish(self) -> String {
        let width = |text: &str| text.chars().count();
        let commented = self.lines.iter().filter(|(_, comment)| !comment.is_empty());
        let column = commented.map(|(text, _)| width(text)).filter(|w| *w <= WIDE).max();
        let column = column.unwrap_or(0);
        let mut page = String::new();
        for (text, comment) in &self.lines {
            page.push_str(text);
            if !comment.is_empty() {
                page.extend(std::iter::repeat_n(' ', column.saturating_sub(width(text)) + 2));
                page.push_str("# ");
                page.push_str(comment);
            }
            page.push('\n');
        }
        page
    }
}

/// A scalar that no reader of YAML takes for anything but this text.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
