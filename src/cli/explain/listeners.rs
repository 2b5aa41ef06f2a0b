//! Which listeners a question is put to.

use super::Unanswered;
use crate::config::{self, Config, Listener, Protocol, Question, Unaskable};

/// Most names that a message lists.
const LISTED: usize = 10;

/// The listener with this name or, without one, all inbound ones that the question fits.
pub(super) fn asked<'c>(
    config: &'c Config,
    name: Option<&str>,
    question: &Question,
) -> Result<Vec<Listener<'c>>, Unanswered> {
    if let Some(name) = name {
        let listener = named(config, name)?;
        return match unaskable(listener, question) {
            Some(text) => Err(Unanswered::argument(text)),
            None => Ok(vec![listener]),
        };
    }
    if config.inbound.is_empty() {
        let text = "the configuration has no inbound listener: nobody may connect".to_owned();
        return Err(Unanswered::argument(text));
    }
    let protocol = question.protocol();
    let fits =
        |listener: &Listener<'_>| protocol.is_none_or(|wanted| listener.protocol() == wanted);
    let fitting: Vec<_> = config.inbound.iter().map(Listener::Inbound).filter(fits).collect();
    if let (Some(protocol), true) = (protocol, fitting.is_empty()) {
        let text = format!("no inbound listener has `protocol: {}`", protocol.label());
        return Err(Unanswered::argument(text));
    }
    match fitting.iter().find_map(|listener| unaskable(*listener, question)) {
        Some(text) => Err(Unanswered::argument(text)),
        None => Ok(fitting),
    }
}

fn named<'c>(config: &'c Config, name: &str) -> Result<Listener<'c>, Unanswered> {
    config.listeners().find(|listener| listener.name().as_str() == name).ok_or_else(|| {
        let names: Vec<_> = config.listeners().map(|listener| listener.name().as_str()).collect();
        let text = format!("no listener `{}`{}", name.escape_debug(), known(name, &names));
        Unanswered::argument(text)
    })
}

/// Why a question cannot be put to `listener`, and what to ask instead.
fn unaskable(listener: Listener<'_>, question: &Question) -> Option<String> {
    let name = listener.name();
    Some(match question.unaskable(listener)? {
        Unaskable::Outbound => format!(
            "`{name}` is outbound: its rules say whom the server must prove to be, and nothing of what is \
             asked of it; leave out {}",
            question.protocol().map_or("nothing", asking)
        ),
        Unaskable::NoSender => {
            format!("`{name}` has rules for `senders`; say who sends with --sender")
        }
        Unaskable::Protocol(Protocol::Tcp) => format!(
            "`{name}` has `protocol: tcp`; it has no rules beyond who may connect: ask with nothing else"
        ),
        Unaskable::Protocol(protocol) => {
            format!("`{name}` has `protocol: {}`; ask with {}", protocol.label(), asking(protocol))
        }
    })
}

/// The arguments that ask the rules of a protocol.
fn asking(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "nothing else",
        Protocol::Http => "--path (and --method, --host, --soap-action)",
        Protocol::Mllp => "--message (and --sender)",
        Protocol::Dicom => "--calling-ae and --called-ae (and --sop-class)",
    }
}

/// The name that was meant, or all that there are.
pub(in crate::cli) fn known(name: &str, names: &[&str]) -> String {
    match config::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if names.is_empty() => "; there is none".to_owned(),
        None => {
            let more = if names.len() > LISTED { ", …" } else { "" };
            let names: Vec<_> = names.iter().take(LISTED).copied().collect();
            format!("; there are: {}{more}", names.join(", "))
        }
    }
}
