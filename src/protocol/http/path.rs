//! Paths that mean the same to policy and to every workload, or nothing at all.
//!
//! A path is decoded exactly once, for policy; upstream gets it as it came. That is only safe if no
//! workload can read another path out of it, so whatever servers are known to read differently is
//! refused: dot segments, empty segments, encoded delimiters (`%3F` among them: rewriting servers have cut
//! the path there), what a second decoding would change (a `%` before two hexadecimal digits, however
//! each of the three came), `;` (servlet containers cut the segment there), backslashes, a dot or white
//! space at the end of a segment (Windows drops it, others trim), `:$` (streams of NTFS), octets that are not
//! UTF-8 (overlong encodings of `/` and `.` among them), and characters that normalization or a code page
//! makes a delimiter, or nothing, of.

use std::borrow::Cow;

use super::Ambiguous;
use crate::protocol::hex;

/// Why no request that reaches a rule has this path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPath {
    /// A query that no request has.
    #[error("a query is ASCII without blanks: write it percent-encoded, as the request has it")]
    Query,
    /// A fragment, which no request has.
    #[error("no request has a fragment: leave out what begins with '#'")]
    Fragment,
    /// It would pass with its characters encoded.
    #[error("a request has it encoded: write {0}")]
    Raw(String),
    /// Such a request is refused.
    #[error("{0}; such a request is refused before any rule is asked")]
    Refused(Ambiguous),
}

/// What is asked for, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The decoded path.
    pub path: String,
    /// What comes after `?`, as the request has it.
    pub query: Option<String>,
}

/// The target of a request that is asked for. `text`: as the request has it.
///
/// # Errors
///
/// Rules see no such path, or no such query.
pub fn asked_target(text: &str) -> Result<Target, NotAPath> {
    if text.contains('#') {
        return Err(NotAPath::Fragment);
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(NotAPath::Query);
    }
    Ok(Target { path: asked_path(path)?, query: query.map(ToOwned::to_owned) })
}

fn asked_path(text: &str) -> Result<String, NotAPath> {
    if !text.starts_with('/') {
        return Err(NotAPath::Refused(Ambiguous::NotAbsolute));
    }
    match decode(text) {
        Ok(path) => Ok(path.into_owned()),
        Err(Ambiguous::Character) => {
            let encoded = encoded(text);
            let is_mended = decode(&encoded).is_ok();
            Err(if is_mended {
                NotAPath::Raw(encoded)
            } else {
                NotAPath::Refused(Ambiguous::Character)
            })
        }
        Err(ambiguous) => Err(NotAPath::Refused(ambiguous)),
    }
}

/// `path` with everything encoded that may not stand in one.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            0x21..=0x7e => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// Decodes `path` once, if no two readings of it exist.
///
/// # Errors
///
/// Names the ambiguity.
pub fn decode(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Ambiguous::NotAbsolute);
    }
    let raw_fits = |byte: &u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'\\' | b'#' | b'?');
    if !bytes.iter().all(raw_fits) {
        return Err(Ambiguous::Character);
    }
    let decoded = if bytes.contains(&b'%') {
        Cow::Owned(percent_decode(bytes)?)
    } else {
        Cow::Borrowed(path)
    };
    if is_encoded(decoded.as_bytes()) {
        return Err(Ambiguous::Encoding);
    }
    check_segments(&decoded)?;
    Ok(decoded)
}

/// Whether something is left that a second decoding would change, the `%u002f` of IIS included.
fn is_encoded(decoded: &[u8]) -> bool {
    memchr::memchr_iter(b'%', decoded).any(|at| {
        let rest = decoded.get(at + 1..).unwrap_or_default();
        hex::octet(rest).is_some()
            || matches!(rest, [b'u' | b'U', digits @ ..] if hex::octet(digits).is_some())
    })
}

/// What NFKC or a "best fit" code page turns into `/ \\ . % ; : ? #`, and what they drop.
fn is_confusable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{37e}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2024}'..='\u{2026}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2044}' | '\u{2060}'..='\u{206f}'
            | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fe13}'..='\u{fe16}' | '\u{fe19}' | '\u{fe30}'
            | '\u{fe52}'..='\u{fe56}' | '\u{fe5f}' | '\u{fe68}' | '\u{fe6a}'
            | '\u{feff}'
            | '\u{ff03}' | '\u{ff05}' | '\u{ff0e}' | '\u{ff0f}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}'
            | '\u{ff3c}' | '\u{ff61}'
            | '\u{fff9}'..='\u{fffd}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn percent_decode(bytes: &[u8]) -> Result<String, Ambiguous> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let Some((octet, tail)) = hex::octet(rest) else {
            return Err(Ambiguous::Encoding);
        };
        if matches!(octet, b'/' | b'\\' | b'?' | 0x00..=0x1f | 0x7f) {
            return Err(Ambiguous::Encoding);
        }
        decoded.push(octet);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|_not_utf8| Ambiguous::Encoding)
}

fn check_segments(path: &str) -> Result<(), Ambiguous> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err(Ambiguous::EmptySegment),
            _ => check_segment(segment)?,
        }
    }
    Ok(())
}

/// Checks one segment of a decoded path, or of what rules say of one.
///
/// # Errors
///
/// No path that passes has it.
pub fn check_segment(segment: &str) -> Result<(), Ambiguous> {
    match segment {
        "." | ".." => Err(Ambiguous::DotSegment),
        _ if segment.contains(is_confusable) => Err(Ambiguous::Encoding),
        _ if segment.contains(';') => Err(Ambiguous::Parameter),
        _ if segment.ends_with('.') || segment.contains(":$") || is_trimmable(segment) => {
            Err(Ambiguous::SegmentEnd)
        }
        _ => Ok(()),
    }
}

/// Whether a segment begins or ends with what servers trim.
fn is_trimmable(segment: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    segment.starts_with(is_blank) || segment.ends_with(is_blank)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in [
            "/",
            "/fhir/Patient/17",
            "/fhir/",
            "/a.b/..c/.d",
            "/.well-known/x",
            "/~x/a:b@c,d='(1)!$&*+",
        ] {
            assert!(matches!(decode(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn encoded_characters_are_decoded_once() {
        let fits = [
            ("/a%20b", "/a b"),
            ("/M%C3%BCller", "/Müller"),
            ("/a%2eb", "/a.b"),
            ("/100%25", "/100%"),
            ("/100%25xy", "/100%xy"),
            ("/%41%42", "/AB"),
            ("/a%23c", "/a#c"),
            ("/100%25u", "/100%u"),
            ("/fhir/Patient/1/$everything:x", "/fhir/Patient/1/$everything:x"),
        ];
        for (path, expected) in fits {
            assert_eq!(decode(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn every_ambiguity_has_a_name() {
        use Ambiguous::*;
        let refused = [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("a/b", NotAbsolute),
            ("/a\\b", Character),
            ("/a b", Character),
            ("/ä", Character),
            ("/a\u{7f}", Character),
            ("/a#b", Character),
            ("/a?b", Character),
            ("/%", Encoding),
            ("/%4", Encoding),
            ("/%zz", Encoding),
            ("/%+1", Encoding),
            ("/a%2fb", Encoding),
            ("/a%2Fb", Encoding),
            ("/a%5cb", Encoding),
            ("/a%00", Encoding),
            ("/a%0d%0ab", Encoding),
            ("/a%7f", Encoding),
            ("/a%252fb", Encoding),
            ("/a%252e%252e/b", Encoding),
            ("/a%25%32%66b", Encoding),
            ("/a%25%32fb", Encoding),
            ("/a%252%66b", Encoding),
            ("/a%25u002fb", Encoding),
            ("/a%25%5500%32fb", Encoding),
            ("/a%u002fb", Encoding),
            ("/a%3fb", Encoding),
            ("/a%ef%bc%8fb", Encoding),
            ("/a/%ef%bc%8e%ef%bc%8e/b", Encoding),
            ("/a/%e2%80%a5/b", Encoding),
            ("/a%cd%beb", Encoding),
            ("/ad%c2%admin", Encoding),
            ("/ad%e2%80%8bmin", Encoding),
            ("/%ef%bb%bfadmin", Encoding),
            ("/a%c0%af", Encoding),
            ("/a%e9", Encoding),
            ("/.", DotSegment),
            ("/a/..", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/./b", DotSegment),
            ("/%2e%2e/b", DotSegment),
            ("/a/.%2e/b", DotSegment),
            ("/a/%2e/b", DotSegment),
            ("//", EmptySegment),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/a;b=c/d", Parameter),
            ("/..;/a", Parameter),
            ("/a%3bb", Parameter),
        ];
        for (path, expected) in refused {
            assert_eq!(decode(path), Err(expected), "{path}");
        }
    }

    #[test]
    fn what_windows_or_a_trim_takes_off_a_segment_is_refused() {
        let refused = [
            "/a.",
            "/a./b",
            "/a..",
            "/...",
            "/a%2e/b",
            "/a%20",
            "/a%20/b",
            "/%20a/b",
            "/a.%20/b",
            "/admin:$i30:$INDEX_ALLOCATION/b",
            "/a.aspx::$DATA",
            "/%20",
            "/..%20/b",
            "/a%c2%a0/b",
            "/a%c2%85",
            "/a%e3%80%80",
            "/a%c2%9f",
        ];
        for path in refused {
            assert_eq!(decode(path), Err(Ambiguous::SegmentEnd), "{path}");
        }
    }

    #[test]
    fn a_path_is_asked_for_as_a_request_has_it() {
        assert_eq!(asked_path("/fhir/M%C3%BCller"), Ok("/fhir/Müller".to_owned()));
        assert_eq!(asked_path("/a b/ü"), Err(NotAPath::Raw("/a%20b/%C3%BC".to_owned())));
        assert_eq!(asked_path("/a\\b ü"), Err(NotAPath::Refused(Ambiguous::Character)));
        assert_eq!(asked_path("/a\n"), Err(NotAPath::Refused(Ambiguous::Character)));
        assert_eq!(asked_path("/a/../b"), Err(NotAPath::Refused(Ambiguous::DotSegment)));
        assert_eq!(asked_path("fhir"), Err(NotAPath::Refused(Ambiguous::NotAbsolute)));
        let target = asked_target("/a%20b?_has%3Ax=y%20z").unwrap();
        assert_eq!((&*target.path, target.query.as_deref()), ("/a b", Some("_has%3Ax=y%20z")));
        assert_eq!(asked_target("/a?").unwrap().query.as_deref(), Some(""));
        assert_eq!(asked_target("/a?b=c d"), Err(NotAPath::Query));
        assert_eq!(asked_target("/a?b=c#d"), Err(NotAPath::Fragment));
        assert_eq!(asked_target("a?b"), Err(NotAPath::Refused(Ambiguous::NotAbsolute)));
    }

    /// As most libraries do it: what is no escape stays as it is.
    fn lenient_decode(text: &str) -> String {
        let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, tail @ ..] = rest {
            match hex::octet(tail).filter(|_| *first == b'%') {
                Some((octet, tail)) => (decoded.push(octet), rest = tail),
                None => (decoded.push(*first), rest = tail),
            };
        }
        String::from_utf8_lossy(&decoded).into_owned()
    }

    proptest! {
        #[test]
        fn what_passes_reads_the_same_after_normalization(path in "/[a-zA-Z0-9./%;\\\\~_-]{0,40}") {
            if let Ok(decoded) = decode(&path) {
                let mut kept: Vec<&str> = Vec::new();
                for segment in decoded.split('/').skip(1) {
                    match segment {
                        "." => {}
                        ".." => drop(kept.pop()),
                        other => kept.push(other),
                    }
                }
                prop_assert_eq!(format!("/{}", kept.join("/")), decoded.into_owned());
            }
        }

        #[test]
        fn what_passes_reads_the_same_when_it_is_decoded_once_more(
            path in "/([a-zA-Z0-9./%;?#u-]|%25|%32|%2|%66|%75){0,20}",
        ) {
            if let Ok(decoded) = decode(&path) {
                let again = decoded.replace('%', "%25");
                prop_assert_eq!(percent_decode(again.as_bytes()).unwrap(), &*decoded);
                let lenient = lenient_decode(&decoded);
                prop_assert_eq!(lenient, decoded.into_owned());
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(path in ".{0,60}") {
            let _ = decode(&path);
        }
    }
}
