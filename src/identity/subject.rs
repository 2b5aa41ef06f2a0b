//! Distinguished names and other people's text, made fit for records.

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::Subject;

/// Longest text of one name in a record: the longest SPIFFE ID and its prefix fit. Longer is cut.
const MAX_CHARS: usize = 2100;

impl Subject {
    /// What `name` says. Parts that are no text stay out of what rules compare.
    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        let mut subject = Self { text: distinguished(name), ..Self::default() };
        for attribute in name.iter_attributes() {
            let kept = match short_name(attribute.attr_type()) {
                Some("CN") => &mut subject.common_names,
                Some("O") => &mut subject.organizations,
                Some("OU") => &mut subject.organizational_units,
                _ => continue,
            };
            kept.extend(text(attribute.attr_value()));
        }
        subject
    }
}

/// `name` in the form of RFC 4514, in the certificate's order.
fn distinguished(name: &X509Name<'_>) -> String {
    let relative = |parts: Vec<String>| parts.join("+");
    let names: Vec<String> =
        name.iter().map(|rdn| relative(rdn.iter().map(part).collect())).collect();
    bounded(names.join(", "))
}

fn part(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let key = short_name(oid).map_or_else(|| oid.to_id_string(), str::to_owned);
    match text(attribute.attr_value()) {
        Some(value) => format!("{key}={}", escaped(&value, r#",+"<>;="#)),
        None => format!("{key}=#{}", hex::encode(attribute.attr_value().data)),
    }
}

/// The short names of RFC 4514 and those that OpenSSL prints.
fn short_name(oid: &Oid<'_>) -> Option<&'static str> {
    let name = match oid.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    };
    Some(name)
}

/// The value as text; `None` when it is no string or breaks its own encoding.
fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::T61String => std::str::from_utf8(value.data).ok().map(str::to_owned),
        Tag::BmpString => {
            let (units, rest) = value.data.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// `text` with `\`, the characters of `special`, and whatever could break or disguise a line written
/// as RFC 4514 escapes them.
pub(super) fn escaped(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || special.contains(c) {
            out.push('\\');
            out.push(c);
        } else if is_deceptive(c) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line separators, and those that change the direction of what follows.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text`, cut when a stranger made it too long for a record.
pub(super) fn bounded(text: String) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => text.get(..end).map(|kept| format!("{kept}…")).unwrap_or_default(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_break_a_line_or_turn_it_round_is_escaped() {
        assert_eq!(escaped("a\nb\u{202e}c\\", ""), "a\\0Ab\\E2\\80\\AEc\\\\");
        assert_eq!(escaped("x, O=Hospital", ",="), "x\\, O\\=Hospital");
        assert_eq!(escaped("Krankenhaus Süd", ","), "Krankenhaus Süd");
    }

    #[test]
    fn text_that_is_too_long_is_cut() {
        let cut = bounded("ä".repeat(MAX_CHARS + 1));

        assert_eq!(cut.chars().count(), MAX_CHARS + 1);
        assert!(cut.ends_with("ä…"));
        assert_eq!(bounded("ä".repeat(MAX_CHARS)).chars().count(), MAX_CHARS);
    }
}
