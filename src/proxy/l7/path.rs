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

use super::malformed::Malformed;

/// Decodes `path` once, if no two readings of it exist.
///
/// # Errors
///
/// Names the ambiguity.
pub(super) fn decode(path: &str) -> Result<Cow<'_, str>, Malformed> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Malformed::Target);
    }
    let raw_fits = |byte: &u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'\\' | b'#' | b'?');
    if !bytes.iter().all(raw_fits) {
        return Err(Malformed::PathCharacter);
    }
    let decoded = if bytes.contains(&b'%') {
        Cow::Owned(percent_decode(bytes)?)
    } else {
        Cow::Borrowed(path)
    };
    if is_encoded(decoded.as_bytes()) || decoded.contains(is_confusable) {
        return Err(Malformed::PathEncoding);
    }
    check_segments(&decoded)?;
    Ok(decoded)
}

/// Whether something is left that a second decoding would change, the `%u002f` of IIS included.
fn is_encoded(decoded: &[u8]) -> bool {
    memchr::memchr_iter(b'%', decoded).any(|at| {
        let rest = decoded.get(at + 1..).unwrap_or_default();
        hex_pair(rest).is_some()
            || matches!(rest, [b'u' | b'U', digits @ ..] if hex_pair(digits).is_some())
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

fn percent_decode(bytes: &[u8]) -> Result<String, Malformed> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let Some((octet, tail)) = hex_pair(rest) else {
            return Err(Malformed::PathEncoding);
        };
        if matches!(octet, b'/' | b'\\' | b'?' | 0x00..=0x1f | 0x7f) {
            return Err(Malformed::PathEncoding);
        }
        decoded.push(octet);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|_not_utf8| Malformed::PathEncoding)
}

fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, tail @ ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let octet = digit(*high)? * 16 + digit(*low)?;
    Some((u8::try_from(octet).ok()?, tail))
}

fn check_segments(path: &str) -> Result<(), Malformed> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err(Malformed::EmptySegment),
            "." | ".." => return Err(Malformed::DotSegment),
            _ if segment.contains(';') => return Err(Malformed::PathParameter),
            _ if segment.ends_with('.') || segment.contains(":$") || is_trimmable(segment) => {
                return Err(Malformed::SegmentEnd);
            }
            _ => {}
        }
    }
    Ok(())
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
        use Malformed::*;
        let refused = [
            ("", Target),
            ("*", Target),
            ("a/b", Target),
            ("/a\\b", PathCharacter),
            ("/a b", PathCharacter),
            ("/ä", PathCharacter),
            ("/a\u{7f}", PathCharacter),
            ("/a#b", PathCharacter),
            ("/a?b", PathCharacter),
            ("/%", PathEncoding),
            ("/%4", PathEncoding),
            ("/%zz", PathEncoding),
            ("/%+1", PathEncoding),
            ("/a%2fb", PathEncoding),
            ("/a%2Fb", PathEncoding),
            ("/a%5cb", PathEncoding),
            ("/a%00", PathEncoding),
            ("/a%0d%0ab", PathEncoding),
            ("/a%7f", PathEncoding),
            ("/a%252fb", PathEncoding),
            ("/a%252e%252e/b", PathEncoding),
            ("/a%25%32%66b", PathEncoding),
            ("/a%25%32fb", PathEncoding),
            ("/a%252%66b", PathEncoding),
            ("/a%25u002fb", PathEncoding),
            ("/a%25%5500%32fb", PathEncoding),
            ("/a%u002fb", PathEncoding),
            ("/a%3fb", PathEncoding),
            ("/a%ef%bc%8fb", PathEncoding),
            ("/a/%ef%bc%8e%ef%bc%8e/b", PathEncoding),
            ("/a/%e2%80%a5/b", PathEncoding),
            ("/a%cd%beb", PathEncoding),
            ("/ad%c2%admin", PathEncoding),
            ("/ad%e2%80%8bmin", PathEncoding),
            ("/%ef%bb%bfadmin", PathEncoding),
            ("/a%c0%af", PathEncoding),
            ("/a%e9", PathEncoding),
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
            ("/a;b=c/d", PathParameter),
            ("/..;/a", PathParameter),
            ("/a%3bb", PathParameter),
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
            assert_eq!(decode(path), Err(Malformed::SegmentEnd), "{path}");
        }
    }

    /// As most libraries do it: what is no escape stays as it is.
    fn lenient_decode(text: &str) -> String {
        let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, tail @ ..] = rest {
            match hex_pair(tail).filter(|_| *first == b'%') {
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
