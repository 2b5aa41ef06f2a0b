//! Paths with places for names in them.

use std::collections::BTreeSet;

use super::{PathTemplate, Segment};
use crate::protocol::http::{Ambiguous, check_segment};

/// Longest template in bytes.
const MAX_BYTES: usize = 1024;

/// Why a text is no path template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathTemplateError {
    /// It does not begin at the root.
    #[error("a path begins with '/'")]
    NoSlash,
    /// Longer than any path should be.
    #[error("a path has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Two slashes in a row, or one at the end.
    #[error("a path has no empty segment: no '//' and no '/' at the end")]
    EmptySegment,
    /// A segment `.` or `..`.
    #[error("a path has no '.' or '..' segment")]
    DotSegment,
    /// A percent escape.
    #[error("a path is written without percent escapes, as it reads once they are decoded")]
    Percent,
    /// The beginning of a query or a fragment.
    #[error("a path has no query and no fragment: rules look at the path alone")]
    Query,
    /// A character that no decoded path may have here.
    #[error("a path has no control character and no backslash")]
    Character,
    /// A segment that no path has which rules see.
    #[error("{0}; such a request is refused before any rule is asked")]
    Refused(Ambiguous),
    /// Braces that are not around a whole segment.
    #[error("braces stand around a whole segment and hold a name, like /Patient/{{id}}")]
    Braces,
    /// `{name...}` before the end.
    #[error("{{name...}} stands for all that is left, so it comes last")]
    RestNotLast,
    /// One name twice.
    #[error("each name in braces occurs once")]
    NameTwice,
}

impl PathTemplate {
    /// Checks and keeps `text`, like `/fhir/Patient/{id}` or `/static/{rest...}`.
    ///
    /// # Errors
    ///
    /// Names the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, PathTemplateError> {
        if text.len() > MAX_BYTES {
            return Err(PathTemplateError::TooLong);
        }
        let inner = text.strip_prefix('/').ok_or(PathTemplateError::NoSlash)?;
        let mut segments = Vec::new();
        let mut names = BTreeSet::new();
        // The root has no segment at all; `split` would give it an empty one.
        for part in inner.split('/').filter(|_| !inner.is_empty()) {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PathTemplateError::RestNotLast);
            }
            let (segment, name) = segment(part)?;
            if name.is_some_and(|name| !names.insert(name)) {
                return Err(PathTemplateError::NameTwice);
            }
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }

    /// Whether every path that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            match (mine.next(), theirs.next()) {
                (Some(Segment::Rest), _) | (None, None) => return true,
                (Some(Segment::Any), Some(Segment::Any | Segment::Literal(_))) => {}
                (Some(Segment::Literal(mine)), Some(Segment::Literal(theirs)))
                    if mine == theirs => {}
                _ => return false,
            }
        }
    }

    /// Whether there is a path that both match.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            match (mine.next(), theirs.next()) {
                (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) | (None, None) => return true,
                (Some(Segment::Literal(mine)), Some(Segment::Literal(theirs)))
                    if mine != theirs =>
                {
                    return false;
                }
                (Some(_), Some(_)) => {}
                (Some(_), None) | (None, Some(_)) => return false,
            }
        }
    }
}

/// A segment, and the name in it.
fn segment(part: &str) -> Result<(Segment, Option<&str>), PathTemplateError> {
    match part {
        "" => return Err(PathTemplateError::EmptySegment),
        "." | ".." => return Err(PathTemplateError::DotSegment),
        part if part.contains('%') => return Err(PathTemplateError::Percent),
        part if part.contains(['?', '#']) => return Err(PathTemplateError::Query),
        part if part.contains(|c: char| c.is_control() || c == '\\') => {
            return Err(PathTemplateError::Character);
        }
        part if !part.contains(['{', '}']) => {
            check_segment(part).map_err(PathTemplateError::Refused)?;
            return Ok((Segment::Literal(part.into()), None));
        }
        _ => {}
    }
    let name = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
        .ok_or(PathTemplateError::Braces)?;
    let (name, segment) = match name.strip_suffix("...") {
        Some(name) => (name, Segment::Rest),
        None => (name, Segment::Any),
    };
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if named { Ok((segment, Some(name))) } else { Err(PathTemplateError::Braces) }
}

#[cfg(test)]
mod tests {
    use super::PathTemplateError::*;
    use super::*;

    fn template(text: &str) -> PathTemplate {
        PathTemplate::parse(text).unwrap()
    }

    #[test]
    fn a_template_has_literals_and_places_for_names() {
        let segments = template("/fhir/Patient/{id}/$everything/{rest...}").segments;

        assert_eq!(
            segments,
            [
                Segment::Literal("fhir".into()),
                Segment::Literal("Patient".into()),
                Segment::Any,
                Segment::Literal("$everything".into()),
                Segment::Rest,
            ]
        );
        assert!(template("/").segments.is_empty());
    }

    #[test]
    fn every_broken_rule_has_a_name() {
        for (text, error) in [
            ("fhir", NoSlash),
            ("", NoSlash),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/", EmptySegment),
            ("/a/../b", DotSegment),
            ("/./b", DotSegment),
            ("/a%2fb", Percent),
            ("/a?b=c", Query),
            ("/a#b", Query),
            ("/a\\b", Character),
            ("/a\nb", Character),
            ("/a;b/c", Refused(Ambiguous::Parameter)),
            ("/a./b", Refused(Ambiguous::SegmentEnd)),
            ("/a /b", Refused(Ambiguous::SegmentEnd)),
            ("/ad\u{ad}min", Refused(Ambiguous::Encoding)),
            ("/a{id}", Braces),
            ("/{}", Braces),
            ("/{...}", Braces),
            ("/{a}{b}", Braces),
            ("/{a-b}", Braces),
            ("/{rest...}/a", RestNotLast),
            ("/{a}/{a}", NameTwice),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(error), "{text}");
        }
        assert_eq!(PathTemplate::parse(&format!("/{}", "a".repeat(1024))), Err(TooLong));
    }

    #[test]
    fn a_template_covers_what_it_matches_and_more() {
        let covers = |one, other| template(one).covers(&template(other));

        assert!(covers("/a/{x}", "/a/b"));
        assert!(covers("/a/{x}", "/a/{y}"));
        assert!(covers("/{rest...}", "/"));
        assert!(covers("/a/{rest...}", "/a"));
        assert!(covers("/a/{rest...}", "/a/b/{more...}"));
        assert!(!covers("/a/b", "/a/{x}"));
        assert!(!covers("/a/{x}", "/a/{rest...}"));
        assert!(!covers("/a", "/a/b"));
        assert!(!covers("/a/b", "/a"));
    }

    #[test]
    fn templates_overlap_where_a_path_matches_both() {
        for (one, other, overlap) in [
            ("/pdq", "/pdq", true),
            ("/pdq", "/{x}", true),
            ("/{x}/a", "/b/{y}", true),
            ("/pdq", "/{rest...}", true),
            ("/a/{rest...}", "/a", true),
            ("/{x}/a", "/b/c", false),
            ("/pdq", "/pdq/x", false),
            ("/", "/{x}", false),
        ] {
            let (one, other) = (template(one), template(other));
            assert_eq!(one.overlaps(&other), overlap, "{} {}", one.text, other.text);
            assert_eq!(other.overlaps(&one), overlap, "{} {}", other.text, one.text);
        }
    }
}
