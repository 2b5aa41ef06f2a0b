//! The closed set of reasons for which a request never reaches policy.

use http::StatusCode;

use crate::protocol::http::Ambiguous;

/// Why a request is ambiguous or breaks HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The request line is not `METHOD target HTTP/1.x`.
    RequestLine,
    /// A header line that is no header line: folded, without colon, with space before it.
    HeaderSyntax,
    /// A line that does not end in CRLF.
    LineEnding,
    /// A control character where none may be.
    ControlCharacter,
    /// The head is larger than `header_bytes`, or has more than 100 header lines.
    TooLarge,
    /// `content-length` is repeated, or anything but a decimal number without leading zeros.
    ContentLength,
    /// `transfer-encoding` is anything but one `chunked`, or stands in HTTP/1.0.
    TransferEncoding,
    /// Both `content-length` and `transfer-encoding`.
    TwoLengths,
    /// The chunks of a body are not well-formed.
    Chunk,
    /// More bytes behind a request for an upgrade that was not granted.
    BehindUpgrade,
    /// No `host` in HTTP/1.1 or later.
    HostMissing,
    /// More than one `host`.
    HostRepeated,
    /// `host` is not a host with an optional port.
    HostInvalid,
    /// The target names another host than `host`.
    HostMismatch,
    /// The target has a form that this method may not have.
    Target,
    /// A forward proxy is asked for something that names no host.
    NotForProxy,
    /// A method that a proxy of this kind does not carry: `CONNECT`, `TRACE`.
    Method,
    /// Servers read its path in different ways.
    Path(Ambiguous),
    /// `connection` names a header that policy, identity or framing rest on, or it or `upgrade` is not
    /// ASCII.
    ConnectionHeader,
    /// A header whose name CGI-like workloads cannot tell from one that matters.
    ConfusableHeader,
    /// HTTP/2 was broken: the stream was reset, or the connection ended.
    Http2,
}

impl Malformed {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::HeaderSyntax => "header_syntax",
            Self::LineEnding => "line_ending",
            Self::ControlCharacter => "control_character",
            Self::TooLarge => "head_too_large",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::TwoLengths => "two_lengths",
            Self::Chunk => "chunk",
            Self::BehindUpgrade => "behind_upgrade",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostMismatch => "host_mismatch",
            Self::Target => "target",
            Self::NotForProxy => "not_for_proxy",
            Self::Method => "method",
            Self::Path(ambiguous) => ambiguous.label(),
            Self::ConnectionHeader => "connection_header",
            Self::ConfusableHeader => "confusable_header",
            Self::Http2 => "http2",
        }
    }

    /// A sentence for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::RequestLine => "the request line is not `METHOD TARGET HTTP/1.x`",
            Self::HeaderSyntax => "a header line is folded, has no colon, or has space before it",
            Self::LineEnding => "a line does not end in CRLF",
            Self::ControlCharacter => "a control character stands where none may be",
            Self::TooLarge => "the head is larger than `header_bytes`",
            Self::ContentLength => "content-length is repeated or no number",
            Self::TransferEncoding => {
                "transfer-encoding is anything but one `chunked`, or stands in HTTP/1.0"
            }
            Self::TwoLengths => "content-length and transfer-encoding stand side by side",
            Self::Chunk => "a chunk of the body is not well-formed",
            Self::BehindUpgrade => "bytes follow a request for an upgrade that was not granted",
            Self::HostMissing => "there is no host",
            Self::HostRepeated => "host is repeated",
            Self::HostInvalid => "host is not a host with an optional port",
            Self::HostMismatch => "the target names another host than host does",
            Self::Target => "the target has a form that this method may not have",
            Self::NotForProxy => {
                "a forward proxy is asked as a server is; the workload has to have `http_proxy` set"
            }
            Self::Method => "CONNECT and TRACE are not carried",
            Self::Path(ambiguous) => ambiguous.text(),
            Self::Http2 => "the HTTP/2 stream or connection breaks the protocol",
            Self::ConnectionHeader => {
                "connection names a header that policy, identity or framing rest on"
            }
            Self::ConfusableHeader => {
                "a header's name differs from one that matters by `_` for `-` alone"
            }
        }
    }

    /// What the downstream is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotForProxy => StatusCode::MISDIRECTED_REQUEST,
            Self::RequestLine
            | Self::HeaderSyntax
            | Self::LineEnding
            | Self::ControlCharacter
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::TwoLengths
            | Self::Chunk
            | Self::BehindUpgrade
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::Target
            | Self::Path(_)
            | Self::ConnectionHeader
            | Self::ConfusableHeader
            | Self::Http2 => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Ambiguous> for Malformed {
    fn from(ambiguous: Ambiguous) -> Self {
        match ambiguous {
            Ambiguous::NotAbsolute => Self::Target,
            Ambiguous::Character
            | Ambiguous::Encoding
            | Ambiguous::DotSegment
            | Ambiguous::SegmentEnd
            | Ambiguous::EmptySegment
            | Ambiguous::Parameter => Self::Path(ambiguous),
        }
    }
}
