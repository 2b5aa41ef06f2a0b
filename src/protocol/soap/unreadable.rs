//! The closed set of reasons for which the beginning of a SOAP message is not read.

/// Why it cannot be said what a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.text())]
pub enum Unreadable {
    /// More than one `SOAPAction`.
    ActionRepeated,
    /// `SOAPAction` and the content type name different actions.
    ActionsDiffer,
    /// An action that is no URI.
    ActionSyntax,
    /// The content type is missing, repeated, broken, or that of something else than SOAP.
    ContentType,
    /// The body is compressed.
    ContentEncoding,
    /// A character set of which ASCII is no part, or not for certain.
    Charset,
    /// Bytes that are no UTF-8, or characters that XML does not have.
    Encoding,
    /// A document type.
    Doctype,
    /// A processing instruction, or an XML declaration that is none of XML 1.0.
    Instruction,
    /// An entity that XML does not have by itself.
    Entity,
    /// Not well-formed.
    Syntax,
    /// A prefix that is not declared, or one that may not be.
    Namespace,
    /// Deeper, or with more attributes or namespaces, than messages are.
    TooComplex,
    /// The body does not begin within the first [`LIMIT`](super::LIMIT) bytes.
    TooLarge,
    /// The root element is no SOAP envelope.
    NoEnvelope,
    /// Something stands in the envelope where it may not.
    Envelope,
    /// More than one `wsa:Action`, or one that is no text.
    Addressing,
    /// The parts of a multipart message are not well-formed.
    Multipart,
    /// The first part is not the root part, or is encoded.
    RootPart,
    /// It ends before its body begins.
    Truncated,
    /// It did not come in time.
    Late,
    /// The connection was lost before its body began.
    Lost,
    /// Nobody wanted to know until the request was on its way.
    Unread,
}

impl Unreadable {
    /// Whether it is the claim that cannot be read, rather than the body.
    pub fn is_about_the_action(self) -> bool {
        matches!(
            self,
            Self::ActionRepeated | Self::ActionsDiffer | Self::ActionSyntax | Self::Addressing
        )
    }

    /// A sentence for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::ActionRepeated => "SOAPAction is repeated",
            Self::ActionsDiffer => "SOAPAction and the content type name different actions",
            Self::ActionSyntax => "the action is no URI",
            Self::ContentType => "the content type is missing, repeated or broken, or not SOAP's",
            Self::ContentEncoding => {
                "the body is compressed, and cannot be held against the action: have the client \
                 send it as it is"
            }
            Self::Charset => "the character set is not UTF-8, and none that begins like it",
            Self::Encoding => "the beginning of the message is not UTF-8",
            Self::Doctype => "the message has a document type, which SOAP does not allow",
            Self::Instruction => {
                "the message has a processing instruction, or is not XML 1.0: SOAP allows neither"
            }
            Self::Entity => "the message has an entity that XML does not have by itself",
            Self::Syntax => "the message is not well-formed XML",
            Self::Namespace => "the message has a prefix that is not declared, or may not be",
            Self::TooComplex => "the message is deeper, or has more attributes, than is read",
            Self::TooLarge => "the body does not begin within the first 64 KiB of the message",
            Self::NoEnvelope => "the message is no SOAP envelope",
            Self::Envelope => "something stands in the envelope where it may not",
            Self::Addressing => "wsa:Action is repeated, or is no text",
            Self::Multipart => "the parts of the multipart message are not well-formed",
            Self::RootPart => "the first part of the multipart message is not its root, or encoded",
            Self::Truncated => "the message ends before its body begins",
            Self::Late => "the body did not begin within `header_timeout`",
            Self::Lost => "the connection was lost before the body began",
            Self::Unread => {
                "the rule took effect when the request was on its way already, and its body was not \
                 looked at: the next one's is"
            }
        }
    }
}
