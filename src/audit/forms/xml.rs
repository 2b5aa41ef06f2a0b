//! As much of XML as a message needs: start tags, attributes and text, whatever their characters.

/// An attribute.
pub(super) type Attribute<'a> = (&'static str, &'a str);

/// A document in the making.
#[derive(Default)]
pub(super) struct Document(String);

impl Document {
    /// A document with its declaration.
    pub(super) fn new() -> Self {
        Self(r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned())
    }

    /// `<name …>`; attributes without a value are left out.
    pub(super) fn open<'a>(
        &mut self,
        name: &str,
        attributes: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
    ) {
        self.tag(name, attributes, ">");
    }

    /// `</name>`
    pub(super) fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// `<name …/>`
    pub(super) fn empty<'a>(
        &mut self,
        name: &str,
        attributes: impl IntoIterator<Item = Attribute<'a>>,
    ) {
        self.tag(name, attributes.into_iter().map(|(name, value)| (name, Some(value))), "/>");
    }

    /// `<name>text</name>`
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.open(name, []);
        self.escape(text);
        self.close(name);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    fn tag<'a>(
        &mut self,
        name: &str,
        attributes: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
        end: &str,
    ) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.escape(value);
            self.0.push('"');
        }
        self.0.push_str(end);
    }

    fn escape(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // Not in XML 1.0 (2.2), however it is written; a line break would end the record's line.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    self.0.push(char::REPLACEMENT_CHARACTER);
                }
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_has_it_stays_a_text() {
        let text = "</a><b c=\"d\">&amp;\u{0}\u{1b}\n\u{ffff}é]]>";
        let mut document = Document::new();
        document.open("x", [("y", Some(text)), ("z", None)]);
        document.text("t", text);
        document.empty("e", [("f", "g")]);
        document.close("x");

        let document = String::from_utf8(document.into_bytes()).unwrap();

        let read = roxmltree::Document::parse(&document).unwrap();
        let shown = "</a><b c=\"d\">&amp;\u{fffd}\u{fffd}\u{fffd}\u{fffd}é]]>";
        let root = read.root_element();
        assert_eq!(root.attribute("y"), Some(shown));
        assert_eq!(root.attribute("z"), None);
        assert_eq!(root.first_element_child().unwrap().text(), Some(shown));
        assert_eq!(root.children().count(), 2);
    }
}
