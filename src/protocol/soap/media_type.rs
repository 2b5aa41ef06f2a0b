//! Media types with their parameters (RFC 9110, 8.3.1; RFC 2045, 5.1), read strictly.

use std::borrow::Cow;

use super::Unreadable;

/// Parameters that hold a media type, which may have a quoted parameter of its own.
pub(super) const TYPED: [&str; 3] = ["start-info", "startinfo", "type"];

/// A media type.
#[derive(Debug, Clone, Copy)]
pub(super) struct MediaType<'a> {
    essence: &'a str,
    parameters: &'a str,
}

impl<'a> MediaType<'a> {
    /// Splits the parameters off.
    pub(super) fn new(text: &'a str) -> Self {
        let (essence, parameters) = match text.find(';') {
            Some(end) => text.split_at(end),
            None => (text, ""),
        };
        Self { essence: essence.trim_matches([' ', '\t']), parameters }
    }

    /// Whether it is this one, given in lower case.
    pub(super) fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// The value of a parameter, its quotes removed. All of them must be such that nobody can read them in
    /// another way, whichever one is wanted.
    pub(super) fn parameter(&self, wanted: &str) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let mut found = None;
        let mut rest = self.parameters.trim_end_matches([' ', '\t']);
        while let Some(parameter) = rest.strip_prefix(';') {
            let parameter = parameter.trim_start_matches([' ', '\t']);
            if parameter.is_empty() || parameter.starts_with(';') {
                rest = parameter;
                continue;
            }
            let (name, value) = parameter.split_once('=').ok_or(Unreadable::ContentType)?;
            let (value, is_escaped, after) = split_value(value)?;
            if is_escaped && !TYPED.iter().any(|typed| typed.eq_ignore_ascii_case(name)) {
                return Err(Unreadable::ContentType);
            }
            if is_escaped || value.contains(';') {
                check_nested(&value)?;
            }
            // A `*` would have its value in another parameter, or in another character set (RFC 2231).
            let stem = name.split('*').next().unwrap_or_default();
            if stem.eq_ignore_ascii_case(wanted) {
                if stem != name || found.is_some() {
                    return Err(Unreadable::ContentType);
                }
                found = Some(value);
            } else if !is_token(name) {
                return Err(Unreadable::ContentType);
            }
            rest = after.trim_start_matches([' ', '\t']);
        }
        if rest.is_empty() { Ok(found) } else { Err(Unreadable::ContentType) }
    }

    /// Refuses a character set in which the beginning of a message might not be what it looks like.
    pub(super) fn check_charset(&self) -> Result<(), Unreadable> {
        match self.parameter("charset")? {
            Some(charset) if !is_readable(&charset) => Err(Unreadable::Charset),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether ASCII is part of a character set. What is read must be UTF-8 in any case.
pub(super) fn is_readable(charset: &str) -> bool {
    const READABLE: [&str; 6] =
        ["utf-8", "utf8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"];
    READABLE.iter().any(|known| known.eq_ignore_ascii_case(charset))
}

/// A token or a quoted string, whether it has escapes, and what follows.
fn split_value(text: &str) -> Result<(Cow<'_, str>, bool, &str), Unreadable> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        // Boundaries and URIs come without quotes, although they have what no token has. Some take
        // parentheses for a comment.
        let is_in = |b: u8| b.is_ascii_graphic() && !b"\"\\()".contains(&b);
        let fits = !value.is_empty() && value.bytes().all(is_in);
        return if fits { Ok((value.into(), false, after)) } else { Err(Unreadable::ContentType) };
    };
    let mut from = 0;
    loop {
        let rest = quoted.get(from..).unwrap_or_default();
        let place = from + rest.find(['"', '\\']).ok_or(Unreadable::ContentType)?;
        let (value, after) = quoted.split_at(place);
        if let Some(after) = after.strip_prefix('"') {
            let is_escaped = from > 0;
            let value = if is_escaped { value.replace("\\\"", "\"").into() } else { value.into() };
            return Ok((value, is_escaped, after));
        }
        // What else could be escaped need not be, and some would keep the backslash.
        if !after.starts_with("\\\"") {
            return Err(Unreadable::ContentType);
        }
        from = place + 2;
    }
}

/// Refuses a value with parameters of its own that are not those of a SOAP message. Who ends it at an
/// escaped quote, or at a semicolon, would take what follows for a parameter of ours.
fn check_nested(value: &str) -> Result<(), Unreadable> {
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    let is_bare = |text: &str| !text.contains('"');
    let is_fit = parts.next().is_some_and(is_bare)
        && parts.all(|part| {
            let Some((name, value)) = part.split_once('=') else { return part.is_empty() };
            let inner = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
            let is_action = name.eq_ignore_ascii_case("action");
            (is_action || name.eq_ignore_ascii_case("charset")) && is_bare(inner.unwrap_or(value))
        });
    if is_fit { Ok(()) } else { Err(Unreadable::ContentType) }
}

fn is_token(text: &str) -> bool {
    let is_in = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_as_tokens_or_quoted_with_escapes() {
        let text =
            r#"Multipart/Related;boundary=uuid:1+2=; start-info="a/b; action=\"urn:x\"" ; x=y;"#;
        let media = MediaType::new(text);

        assert!(media.is("multipart/related"));
        assert_eq!(media.parameter("boundary").unwrap().unwrap(), "uuid:1+2=");
        assert_eq!(media.parameter("start-info").unwrap().unwrap(), "a/b; action=\"urn:x\"");
        assert_eq!(media.parameter("X").unwrap().unwrap(), "y");
        assert_eq!(media.parameter("action").unwrap(), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for text in [
            "a/b; action=x; action=y",
            "a/b; Action=x; action=x",
            "a/b; action*=utf-8''x",
            "a/b; action*0=x",
            "a/b; action",
            "a/b; action=\"x",
            "a/b; action=\"x\\",
            "a/b; action=\"x\"y",
            "a/b; b c=d; action=x",
            "a/b; action=",
            "a/b; action=x y",
            "a/b; action=x(y)",
            "a/b; action=x; c=d(e",
        ] {
            let value = MediaType::new(text).parameter("action");
            assert_eq!(value, Err(Unreadable::ContentType), "{text}");
        }
    }

    #[test]
    fn a_backslash_may_only_stand_before_a_quote_of_a_media_type() {
        for text in [
            r#"a/b; boundary="x\-y""#,
            r#"a/b; boundary="x\"y""#,
            r#"a/b; boundary=x\y"#,
            r#"a/b; start="<\r>""#,
            r#"a/b; action="urn:\x""#,
            r#"a/b; type="a\/b""#,
            r#"a/b; start-info="a/b; action=\"urn:\x\"""#,
            r#"a/b; other="\""#,
            r#"a/b; other="\"; boundary=y; more=\"""#,
        ] {
            for wanted in ["boundary", "charset"] {
                let value = MediaType::new(text).parameter(wanted);
                assert_eq!(value, Err(Unreadable::ContentType), "{text}");
            }
        }
        let kept = r#"a/b; type="text/xml; charset=utf-8; action=\"urn:x\""; boundary=b"#;
        assert_eq!(MediaType::new(kept).parameter("boundary").unwrap().unwrap(), "b");
    }

    #[test]
    fn a_parameter_within_a_value_is_none_that_somebody_could_take_for_an_outer_one() {
        for text in [
            r#"a/b; boundary=b; start-info="a/b; boundary=c""#,
            r#"a/b; boundary=b; start-info="a/b; x=\"; start=c; action=\"""#,
            r#"a/b; boundary=b; start-info="a/b; action=\"urn:x; start=c\"""#,
            r#"a/b; boundary=b; start-info="a/b; charset=\"; action=urn:y\"""#,
            r#"a/b; boundary=b; start-info="a\"; action=urn:y""#,
            r#"a/b; boundary=b; other="; boundary=c""#,
        ] {
            let value = MediaType::new(text).parameter("boundary");
            assert_eq!(value, Err(Unreadable::ContentType), "{text}");
        }
    }

    #[test]
    fn character_sets_are_those_of_which_ascii_is_part() {
        let check = |charset| MediaType::new(charset).check_charset();

        assert_eq!(check("text/xml"), Ok(()));
        assert_eq!(check("text/xml; charset=\"UTF-8\""), Ok(()));
        assert_eq!(check("text/xml; charset=ISO-8859-1"), Ok(()));
        for charset in ["utf-16", "utf-7", "ibm037", "shift_jis", "x"] {
            let text = format!("text/xml; charset={charset}");
            assert_eq!(MediaType::new(&text).check_charset(), Err(Unreadable::Charset), "{text}");
        }
    }
}
