//! The beginning of a multipart message: its first part, which has to be the root.

use super::Unreadable;
use super::action::{XML, named};
use super::media_type::MediaType;
use super::xml::find;

/// Longest head of a part.
const HEAD: usize = 8 * 1024;

/// How the parts of a message are told apart, and which one is the root.
pub(super) struct Related {
    /// What stands before each part: two hyphens and the boundary.
    delimiter: Box<[u8]>,
    /// Content id of the root part; the first part if nothing says so.
    start: Option<Box<str>>,
}

/// The root part.
pub(super) struct Root {
    /// Where its text begins.
    pub(super) begin: usize,
    /// The actions that its head names.
    pub(super) actions: Vec<Box<str>>,
}

impl Related {
    /// Of a message with this content type.
    pub(super) fn new(media: &MediaType<'_>) -> Result<Self, Unreadable> {
        let boundary = media.parameter("boundary")?.ok_or(Unreadable::Multipart)?;
        // Those of RFC 2046, 5.1.1, without the space and the parentheses, which not everybody keeps.
        let is_in = |b: u8| b.is_ascii_alphanumeric() || b"'+_,./:=?-".contains(&b);
        if !(1..=70).contains(&boundary.len()) || !boundary.bytes().all(is_in) {
            return Err(Unreadable::Multipart);
        }
        let start = media.parameter("start")?.map(|id| content_id(&id).into());
        Ok(Self { delimiter: format!("--{boundary}").into_bytes().into(), start })
    }

    /// Reads up to where the text of the first part begins; `None` when that has not come yet.
    pub(super) fn root(&self, text: &[u8]) -> Result<Option<Root>, Unreadable> {
        let expected = [&*self.delimiter, b"\r\n"].concat();
        let begin = text.strip_prefix(b"\r\n").unwrap_or(text);
        let Some(rest) = begin.strip_prefix(&*expected) else {
            let is_begun = expected.starts_with(begin) || b"\r\n".starts_with(text);
            return if is_begun { Ok(None) } else { Err(Unreadable::Multipart) };
        };
        let window = rest.get(..HEAD).unwrap_or(rest);
        let Some(end) = find(window, b"\r\n\r\n") else {
            return if rest.len() < HEAD { Ok(None) } else { Err(Unreadable::Multipart) };
        };
        let head = rest.get(..end).unwrap_or_default();
        let actions = self.check(head)?;
        Ok(Some(Root { begin: text.len() - rest.len() + end + 4, actions }))
    }

    /// Refuses a text that a parser of parts would take for several.
    pub(super) fn check_whole(&self, text: &[u8]) -> Result<(), Unreadable> {
        match find(text, &self.delimiter) {
            Some(_) => Err(Unreadable::Multipart),
            None => Ok(()),
        }
    }

    /// Whether a part with this head is the root, and what actions it names.
    fn check(&self, head: &[u8]) -> Result<Vec<Box<str>>, Unreadable> {
        let Ok(head) = std::str::from_utf8(head) else { return Err(Unreadable::Multipart) };
        // A line that begins with white space goes on with the one before it (RFC 5322, 2.2.3).
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let (mut media, mut id) = (None, None);
        for line in unfolded.split("\r\n") {
            let (name, value) = line.split_once(':').ok_or(Unreadable::Multipart)?;
            let value = value.trim_matches([' ', '\t']);
            let earlier = match name.to_ascii_lowercase().as_str() {
                "content-type" => media.replace(value),
                "content-id" => id.replace(value),
                "content-transfer-encoding" if !is_identity(value) => {
                    return Err(Unreadable::RootPart);
                }
                name if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) => {
                    return Err(Unreadable::Multipart);
                }
                _ => None,
            };
            if earlier.is_some() || value.contains(['\r', '\n']) {
                return Err(Unreadable::Multipart);
            }
        }
        let is_root = self.start.as_deref().is_none_or(|start| id.map(content_id) == Some(start));
        let media = MediaType::new(media.ok_or(Unreadable::RootPart)?);
        if !is_root || !XML.iter().any(|xml| media.is(xml)) {
            return Err(Unreadable::RootPart);
        }
        media.check_charset()?;
        Ok(named(&media)?.into_iter().flatten().map(|action| action.into()).collect())
    }
}

/// Some write the angle brackets on one side only.
fn content_id(text: &str) -> &str {
    text.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(text)
}

fn is_identity(encoding: &str) -> bool {
    ["binary", "8bit", "7bit"].iter().any(|known| known.eq_ignore_ascii_case(encoding))
}
