//! The closed set of reasons for which servers read a path in different ways.

use std::fmt;

/// Why servers read a path in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ambiguous {
    /// It does not begin at the root.
    NotAbsolute,
    /// A raw character that may not be in a path.
    Character,
    /// Percent-encoding that is broken, or that hides a delimiter or another encoding.
    Encoding,
    /// A `.` or `..` segment, encoded or not.
    DotSegment,
    /// A segment that ends in a dot, or begins or ends with white space, encoded or not: Windows and
    /// others take it for the one without.
    SegmentEnd,
    /// Two slashes in a row.
    EmptySegment,
    /// A `;`, at which some workloads cut the segment off.
    Parameter,
}

impl Ambiguous {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAbsolute => "target",
            Self::Character => "path_character",
            Self::Encoding => "path_encoding",
            Self::DotSegment => "dot_segment",
            Self::SegmentEnd => "segment_end",
            Self::EmptySegment => "empty_segment",
            Self::Parameter => "path_parameter",
        }
    }

    /// A sentence for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotAbsolute => "a path begins with '/'",
            Self::Character => {
                "the path has a raw character that no path may have: encode it, like %20 for a space"
            }
            Self::Encoding => {
                "the path has a percent-encoding that is broken, or hides a delimiter or another \
                 encoding"
            }
            Self::DotSegment => "the path has a `.` or `..` segment",
            Self::SegmentEnd => "a path segment begins or ends with white space, or ends in a dot",
            Self::EmptySegment => "the path has two slashes in a row",
            Self::Parameter => "the path has a `;`, at which some workloads cut the segment off",
        }
    }
}

impl std::error::Error for Ambiguous {}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
