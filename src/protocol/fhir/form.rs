//! The parameters of a search that is made with POST: a form in the body (R4, 3.1.0.8.1).

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Most bytes of a form.
const LIMIT: usize = 64 * 1024;

/// A form that is being read.
#[derive(Debug)]
pub struct Form(());

/// Why it cannot be said what a search asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.text())]
pub enum Unreadable {
    /// The content type is missing, repeated, or not that of a form in UTF-8.
    ContentType,
    /// The body is compressed.
    ContentEncoding,
    /// Larger than is read.
    TooLarge,
    /// A form has ASCII alone.
    Encoding,
    /// It did not come in time.
    Late,
    /// The connection was lost before its end.
    Lost,
    /// Nobody wanted to know until the request was on its way.
    Unread,
}

impl Form {
    /// Of a request with this head.
    ///
    /// # Errors
    ///
    /// The head says already that it cannot be read.
    pub fn new(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        if !encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Unreadable::ContentEncoding);
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (Some(value), None) if value.to_str().is_ok_and(is_form) => Ok(Self(())),
            _ => Err(Unreadable::ContentType),
        }
    }

    /// Looks at the body so far: all of it. `None`: more of it is to come.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read<'b>(&self, body: &'b [u8], is_over: bool) -> Result<Option<&'b str>, Unreadable> {
        if body.len() > LIMIT {
            return Err(Unreadable::TooLarge);
        }
        if !is_over {
            return Ok(None);
        }
        match std::str::from_utf8(body) {
            Ok(text) if text.is_ascii() => Ok(Some(text)),
            Ok(_) | Err(_) => Err(Unreadable::Encoding),
        }
    }
}

/// `application/x-www-form-urlencoded`, alone or in UTF-8.
fn is_form(text: &str) -> bool {
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let is = |part: Option<&str>, wanted: &[&str]| {
        part.is_none_or(|part| wanted.iter().any(|one| one.eq_ignore_ascii_case(part)))
    };
    const CHARSET: [&str; 3] = ["", "charset=utf-8", "charset=\"utf-8\""];
    let is_type = is(parts.next(), &["application/x-www-form-urlencoded"]);
    is_type && is(parts.next(), &CHARSET) && parts.next().is_none()
}

impl Unreadable {
    /// A sentence for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::ContentType => {
                "the content type is missing, repeated, or not \
                 application/x-www-form-urlencoded in UTF-8"
            }
            Self::ContentEncoding => {
                "the body is compressed, and cannot be read: have the client send it as it is"
            }
            Self::TooLarge => "the form is larger than 64 KiB",
            Self::Encoding => "the form has characters that are not encoded",
            Self::Late => "the form did not come within `header_timeout`",
            Self::Lost => "the connection was lost before the end of the form",
            Self::Unread => {
                "the rule took effect when the request was on its way already, and its body was not \
                 looked at: the next one's is"
            }
        }
    }
}
