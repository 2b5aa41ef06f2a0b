//! What MSH claims, in the form that rules, questions and records have of it: MSH-9, MSH-3 and MSH-4.

use std::fmt;

use super::Header;

/// Longest code of a message type or an event, in bytes.
const LONGEST_CODE: usize = 20;
/// Longest name of an application or a facility, in bytes.
const LONGEST_NAME: usize = 199;

/// Whether a part of MSH-9 is a code of the standard's form, like `ADT` or `A01`.
pub fn is_code(part: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    (1..=LONGEST_CODE).contains(&part.len()) && part.iter().all(plain)
}

/// Why a text is no name of an application or a facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// More than MSH-3.1 or MSH-4.1.
    #[error("write what stands before the first ^: rules look at that alone")]
    Components,
    /// Too long, or nothing.
    #[error("it has 1 to {LONGEST_NAME} bytes")]
    Length,
    /// A character that separates or escapes, or a control character.
    #[error("leave out | ~ \\ & and control characters, with which HL7 v2 separates or escapes")]
    Separator,
    /// Blanks around it, which are no part of it.
    #[error("leave out the spaces around it, they do not count")]
    Padded,
}

/// Checks the name of an application (MSH-3.1) or a facility (MSH-4.1).
///
/// # Errors
///
/// No message that rules see claims it.
pub fn check_name(text: &str) -> Result<(), NotAName> {
    match text {
        _ if text.contains('^') => Err(NotAName::Components),
        _ if !(1..=LONGEST_NAME).contains(&text.len()) => Err(NotAName::Length),
        _ if text.contains(|c: char| c.is_control() || "|~\\&".contains(c)) => {
            Err(NotAName::Separator)
        }
        _ if text.trim_ascii() != text || !Header::default().is_clear_name(text.as_bytes()) => {
            Err(NotAName::Padded)
        }
        _ => Ok(()),
    }
}

/// The type of one message (MSH-9): `ADT^A01`, or `ACK` without a trigger event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKind {
    /// MSH-9.1
    pub code: String,
    /// MSH-9.2; empty in acknowledgements of old.
    pub trigger: String,
}

/// Why a text is not the type of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAKind {
    /// Not of the form of MSH-9.
    #[error("write it like MSH-9: \"ADT^A01\"")]
    Form,
    /// Types are told by upper-case codes.
    #[error("types of messages are upper-case; did you mean {0}?")]
    LowerCase(String),
    /// A rule's pattern.
    #[error("a message has one type, not `*`: write it like MSH-9, \"ADT^A01\"")]
    Pattern,
}

impl MessageKind {
    /// Reads MSH-9. The structure (MSH-9.3) only repeats the others, and is left out.
    ///
    /// # Errors
    ///
    /// It is not the type of one message.
    pub fn parse(text: &str) -> Result<Self, NotAKind> {
        let mut parts = text.split('^');
        let [code, trigger, structure] = std::array::from_fn(|_| parts.next());
        let fits = |part: Option<&str>| part.is_none_or(|part| is_code(part.as_bytes()));
        if is_code(code.unwrap_or_default().as_bytes())
            && fits(trigger)
            && fits(structure)
            && parts.next().is_none()
        {
            let owned = |part: Option<&str>| part.unwrap_or_default().to_owned();
            return Ok(Self { code: owned(code), trigger: owned(trigger) });
        }
        let upper = text.to_ascii_uppercase();
        Err(match text {
            _ if text.contains('*') => NotAKind::Pattern,
            _ if upper != text && Self::parse(&upper).is_ok() => NotAKind::LowerCase(upper),
            _ => NotAKind::Form,
        })
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trigger.as_str() {
            "" => f.write_str(&self.code),
            trigger => write!(f, "{}^{trigger}", self.code),
        }
    }
}

/// Who a message claims that it comes from. Either name may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// MSH-3.1
    pub application: String,
    /// MSH-4.1
    pub facility: String,
}

/// Why a text is no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASender {
    /// Not two names.
    #[error("write MSH-3 and MSH-4 with a | between: \"LIS|MAIN\"")]
    Form,
    /// The first is none.
    #[error("the application before the | is no name: {0}")]
    Application(NotAName),
    /// The second is none.
    #[error("the facility behind the | is no name: {0}")]
    Facility(NotAName),
}

impl Sender {
    /// Reads `APPLICATION|FACILITY`.
    ///
    /// # Errors
    ///
    /// No message that rules see claims it.
    pub fn parse(text: &str) -> Result<Self, NotASender> {
        let (application, facility) = text.split_once('|').ok_or(NotASender::Form)?;
        if facility.contains('|') {
            return Err(NotASender::Form);
        }
        let check = |name: &str| if name.is_empty() { Ok(()) } else { check_name(name) };
        check(application).map_err(NotASender::Application)?;
        check(facility).map_err(NotASender::Facility)?;
        Ok(Self { application: application.to_owned(), facility: facility.to_owned() })
    }
}

impl<'a> Header<'a> {
    /// One that claims this type and this sender (MSH-3, MSH-4), and says nothing else.
    pub fn claiming(
        (code, trigger): (&'a str, &'a str),
        (application, facility): (&'a str, &'a str),
    ) -> Self {
        Self {
            code: code.as_bytes(),
            trigger: trigger.as_bytes(),
            sending_application: application.as_bytes(),
            sending_facility: facility.as_bytes(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_message_is_a_code_and_a_trigger_event() {
        for (text, shown) in
            [("ADT^A01", "ADT^A01"), ("ADT^A01^ADT_A01", "ADT^A01"), ("ACK", "ACK")]
        {
            assert_eq!(MessageKind::parse(text).unwrap().to_string(), shown);
        }
        for wrong in
            ["", "^A01", "ADT^", "A|B", "ADT^A01^", "ADT^A01^X^Y", "A T^A01", &"A".repeat(21)]
        {
            assert_eq!(MessageKind::parse(wrong), Err(NotAKind::Form), "{wrong}");
        }
        assert_eq!(MessageKind::parse("ADT^*"), Err(NotAKind::Pattern));
        let mended = NotAKind::LowerCase("ADT^A01".to_owned());
        assert_eq!(MessageKind::parse("adt^a01"), Err(mended));
    }

    #[test]
    fn a_sender_has_two_names_without_what_separates() {
        let sender = Sender::parse("LIS|").unwrap();
        assert_eq!((&*sender.application, &*sender.facility), ("LIS", ""));
        for wrong in ["LIS", "", "A|B|C"] {
            assert_eq!(Sender::parse(wrong), Err(NotASender::Form), "{wrong}");
        }
        use NotAName::*;
        for (wrong, why) in [
            ("LIS^1.2^ISO|", Components),
            ("L~S|", Separator),
            ("L\\T\\S|", Separator),
            ("L&S|", Separator),
            ("L\rS|", Separator),
            (" LIS|", Padded),
            ("LIS\u{a0}|", Padded),
            (&format!("{}|", "L".repeat(200)), Length),
        ] {
            assert_eq!(Sender::parse(wrong), Err(NotASender::Application(why)), "{wrong}");
        }
        assert_eq!(Sender::parse("LIS|A^B"), Err(NotASender::Facility(Components)));
        assert_eq!(check_name(""), Err(Length));
    }
}
