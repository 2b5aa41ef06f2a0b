//! The header segments: MSH of a message, FHS and BHS of a file and a batch.

use super::is_code;
use super::segment_end;

/// A header is not read beyond this: what matters of it stands in its first fields.
const HEADER_MAX: usize = 4 * 1024;
/// Tokens between separators up to MSH-16, its last that is read.
const TOKENS: usize = 16;

/// What the header of a message says (HL7 v2.x, 2.14.9): bytes of the sender, believed as far as a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// MSH-1, the field separator.
    pub separator: u8,
    /// MSH-2: the component separator, and the other encoding characters.
    pub encoding: &'a [u8],
    /// MSH-3, whole: namespace and the rest.
    pub sending_application: &'a [u8],
    /// MSH-4
    pub sending_facility: &'a [u8],
    /// MSH-5
    pub receiving_application: &'a [u8],
    /// MSH-6
    pub receiving_facility: &'a [u8],
    /// MSH-9.1, like `ADT`.
    pub code: &'a [u8],
    /// MSH-9.2, like `A01`; empty in acknowledgements of old.
    pub trigger: &'a [u8],
    /// MSH-10
    pub control_id: &'a [u8],
    /// MSH-11.1: `P`, `T` or `D`.
    pub processing_id: &'a [u8],
    /// MSH-12.1, like `2.5.1`.
    pub version: &'a [u8],
    /// MSH-15: when an accept acknowledgement is wanted (`AL`, `NE`, `ER`, `SU`).
    pub accept_acknowledgement: &'a [u8],
    /// MSH-16: the same for an application acknowledgement.
    pub application_acknowledgement: &'a [u8],
    /// It is the header of a file or batch (FHS, BHS), or of the first message in one: how many messages
    /// follow is not known.
    pub is_batch: bool,
}

/// A header that says nothing, with the separators of the standard (HL7 v2.x, 2.5.4).
impl Default for Header<'_> {
    fn default() -> Self {
        Self {
            separator: b'|',
            encoding: b"^~\\&",
            sending_application: b"",
            sending_facility: b"",
            receiving_application: b"",
            receiving_facility: b"",
            code: b"",
            trigger: b"",
            control_id: b"",
            processing_id: b"",
            version: b"",
            accept_acknowledgement: b"",
            application_acknowledgement: b"",
            is_batch: false,
        }
    }
}

/// What a segment's beginning turned out to be.
pub(super) enum Found<T> {
    /// Too little is there to tell.
    More,
    /// Not what was looked for.
    Not,
    /// It.
    It(T),
}

impl<'a> Header<'a> {
    /// Reads MSH at the beginning of `text`, which is all of the content unless `more` may come.
    pub(super) fn message(text: &'a [u8], more: bool) -> Found<Self> {
        let (separator, fields) = match Fields::open(text, b"MSH", more) {
            Found::It(opened) => opened,
            Found::More => return Found::More,
            Found::Not => return Found::Not,
        };
        let Some(header) = fields.common(separator) else { return Found::Not };
        let mut kind = header.components(fields.at(9));
        Found::It(Self {
            code: kind.next().unwrap_or_default(),
            trigger: kind.next().unwrap_or_default(),
            control_id: fields.at(10),
            processing_id: header.components(fields.at(11)).next().unwrap_or_default(),
            version: header.components(fields.at(12)).next().unwrap_or_default(),
            accept_acknowledgement: fields.at(15),
            application_acknowledgement: fields.at(16),
            ..header
        })
    }

    /// The same for FHS and BHS. They have no type, and their identifier is field 11.
    pub(super) fn batch(text: &'a [u8], more: bool) -> Found<Self> {
        let name = if text.starts_with(b"F") { b"FHS" } else { b"BHS" };
        match Fields::open(text, name, more) {
            Found::It((separator, fields)) => match fields.common(separator) {
                Some(header) => {
                    Found::It(Self { control_id: fields.at(11), is_batch: true, ..header })
                }
                None => Found::Not,
            },
            Found::More => Found::More,
            Found::Not => Found::Not,
        }
    }

    /// MSH-9 for people, like `ADT^A01`: a part that is no code of three characters is `other`, for in a
    /// message whose fields are out of place it may be anybody's name or number.
    pub fn kind(&self) -> String {
        match (word(self.code), word(self.trigger)) {
            (code, "") => code.to_owned(),
            (code, trigger) => format!("{code}^{trigger}"),
        }
    }

    /// Whether an application acknowledgement may follow an accept acknowledgement (HL7 v2.x, 2.9.3). Senders
    /// that ask for neither may get both.
    pub fn awaits_application(&self) -> bool {
        match self.application_acknowledgement {
            b"" => self.accept_acknowledgement.is_empty(),
            b"NE" => false,
            _ => true,
        }
    }

    /// MSH-3.1 and MSH-4.1: the names by which sites know applications and facilities.
    pub fn sender(&self) -> [&'a [u8]; 2] {
        [self.sending_application, self.sending_facility]
            .map(|field| self.components(field).next().unwrap_or_default())
    }

    /// The components of a field.
    fn components(&self, field: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let separator = self.encoding.first().copied().unwrap_or(b'^');
        field.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii)
    }
}

/// A code as the standard's tables have them (HL7 v2.x, 2.A.46: three characters), or `other`: what rules may name
/// beside them is long enough for a patient's number.
fn word(part: &[u8]) -> &str {
    let is_short = part.is_empty()
        || (part.len() == 3 && is_code(part) && part.iter().any(u8::is_ascii_uppercase));
    std::str::from_utf8(part).ok().filter(|_| is_short).unwrap_or("other")
}

/// The fields of a header segment that are read.
struct Fields<'a>([&'a [u8]; TOKENS]);

impl<'a> Fields<'a> {
    /// Splits the segment at the beginning of `text` by its own separator.
    fn open(text: &'a [u8], name: &[u8; 3], more: bool) -> Found<(u8, Self)> {
        let Some(rest) = text.strip_prefix(name.as_slice()) else {
            let is_short = more && text.len() < name.len() && name.starts_with(text);
            return if is_short { Found::More } else { Found::Not };
        };
        let Some((&separator, rest)) = rest.split_first() else {
            return if more { Found::More } else { Found::Not };
        };
        if !separates(separator) {
            return Found::Not;
        }
        let bounded = rest.get(..HEADER_MAX).unwrap_or(rest);
        let end = segment_end(bounded);
        let segment = bounded.get(..end.unwrap_or(bounded.len())).unwrap_or_default();
        let mut fields: [&[u8]; TOKENS] = [b""; TOKENS];
        let mut tokens = segment.split(|byte| *byte == separator);
        for (field, token) in fields.iter_mut().skip(1).zip(tokens.by_ref()) {
            *field = token.trim_ascii();
        }
        // Another token after the last of ours: that one is whole.
        let is_whole = end.is_some() || !more || tokens.next().is_some();
        match is_whole {
            true => Found::It((separator, Self(fields))),
            false if bounded.len() < rest.len() => Found::Not,
            false => Found::More,
        }
    }

    /// Field `number`, as MSH counts: its separator is the first.
    fn at(&self, number: usize) -> &'a [u8] {
        self.0.get(number - 1).copied().unwrap_or_default()
    }

    /// What all three headers have. `None`: the encoding characters are none.
    fn common(&self, separator: u8) -> Option<Header<'a>> {
        let encoding = self.at(2);
        let fits =
            (1..=5).contains(&encoding.len()) && encoding.iter().all(|byte| separates(*byte));
        fits.then(|| Header {
            separator,
            encoding,
            sending_application: self.at(3),
            sending_facility: self.at(4),
            receiving_application: self.at(5),
            receiving_facility: self.at(6),
            ..Header::default()
        })
    }
}

/// Whether a byte can separate: nothing that names and numbers are made of.
fn separates(byte: u8) -> bool {
    byte.is_ascii_punctuation()
}
