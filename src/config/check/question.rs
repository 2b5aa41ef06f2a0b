//! What a case asks for. Each value is read as the data path or the configuration reads it, so that a case
//! is about something that can come.

use http::Method;

use super::associations::{sop_class, title};
use super::routes::{action, method};
use crate::config::problem::Fault;
use crate::config::read::{At, Fields, Reader, one};
use crate::config::{Listener, Protocol, Question, Unaskable};
use crate::protocol::dicom;
use crate::protocol::http::{Target, asked_host, asked_target};
use crate::protocol::mllp::{MessageKind, Sender};

/// The keys that ask for one kind of thing.
struct Words {
    protocol: Protocol,
    keys: &'static [&'static str],
    /// What none of these questions is without.
    needed: &'static str,
}

const WORDS: [Words; 3] = [
    Words {
        protocol: Protocol::Http,
        keys: &["path", "method", "host", "soap_action"],
        needed: "`path`",
    },
    Words { protocol: Protocol::Mllp, keys: &["message", "sender"], needed: "`message`" },
    Words {
        protocol: Protocol::Dicom,
        keys: &["calling_ae", "called_ae", "sop_classes"],
        needed: "`calling_ae` and `called_ae`",
    },
];

/// What is asked for. `listener`: the one that is asked; `None` when that is wrong.
pub(super) fn question(
    reader: &Reader<'_>,
    fields: &mut Fields<'_, '_>,
    listener: Option<Listener<'_>>,
) -> Option<Question> {
    let mut given = Vec::new();
    for words in &WORDS {
        let entry = words.keys.iter().find_map(|key| fields.entry(key));
        given.extend(entry.map(|entry| (words, entry)));
    }
    let (request, message, association) = (request(fields), message(fields), association(fields));
    let asked = request?.or(message?).or(association?);
    match (given.as_slice(), asked) {
        ([], _) => Some(Question::Connect),
        ([(words, entry)], None) => {
            let text = format!("{} is missing beside `{}`", words.needed, entry.name);
            reader.error(entry.at(), Fault::new(text).hint("add what is asked for"));
            None
        }
        ([(words, entry)], Some(question)) => {
            fits(reader, (words, entry.at()), &question, listener?)?;
            Some(question)
        }
        ([(_, first), (_, other), ..], _) => {
            let text =
                format!("`{}` beside `{}`: a case asks for one thing", other.name, first.name);
            reader.error(other.at(), Fault::new(text).hint("make it two cases"));
            None
        }
    }
}

/// Whether the listener has rules for what is asked.
fn fits(
    reader: &Reader<'_>,
    (words, at): (&Words, At<'_>),
    question: &Question,
    listener: Listener<'_>,
) -> Option<()> {
    let Some(unaskable) = question.unaskable(listener) else { return Some(()) };
    let keys = words.keys.join(", ");
    reader.error(
        at,
        match unaskable {
            Unaskable::Outbound => Fault::new(format!(
                "{keys} are for inbound listeners: outbound ones ask only whom the server must prove to be"
            ))
            .hint("remove them, or name another listener"),
            Unaskable::Protocol(_) => Fault::new(format!(
                "{keys} are for listeners with `protocol: {}`, which this is not",
                words.protocol.label()
            ))
            .hint("remove them, or name another listener"),
            Unaskable::NoSender => {
                Fault::new("the listener has rules for `senders`, and no sender is named")
                    .hint("add `sender: LIS|MAIN` (MSH-3 and MSH-4)")
            }
        },
    );
    None
}

fn request(fields: &mut Fields<'_, '_>) -> Option<Option<Question>> {
    let path = fields.optional("path", one(path));
    let method = fields.optional("method", one(method));
    let host = fields.optional("host", one(host));
    let soap_action = fields.optional("soap_action", one(action));
    let (path, method, host, soap_action) = (path?, method?, host?, soap_action?);
    Some(path.map(|target| Question::Request {
        method: method.unwrap_or(Method::GET),
        host,
        target,
        soap_action: soap_action.map(|action| action.to_string()),
    }))
}

fn message(fields: &mut Fields<'_, '_>) -> Option<Option<Question>> {
    let kind = fields.optional("message", one(message_kind));
    let sender = fields.optional("sender", one(sender));
    let (kind, sender) = (kind?, sender?);
    Some(kind.map(|kind| Question::Message { kind, sender }))
}

fn association(fields: &mut Fields<'_, '_>) -> Option<Option<Question>> {
    let calling = fields.optional("calling_ae", one(title));
    let called = fields.optional("called_ae", one(title));
    let classes = fields.or("sop_classes", Vec::new(), |reader, node| {
        let empty = ("an empty list of SOP classes", "remove the key");
        reader.one_or_some(node, one(sop_class), empty)
    });
    let (calling, called, classes) = (calling?, called?, classes?);
    let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
    Some(calling.zip(called).map(|(calling, called)| {
        Question::Association(dicom::Request::proposing(&calling, &called, &classes))
    }))
}

fn path(text: &str) -> Result<Target, Fault> {
    asked_target(text).map_err(|error| Fault::new("is not a path that rules see").quoting(error))
}

fn host(text: &str) -> Result<String, Fault> {
    let host = asked_host(text).map_err(|error| Fault::new("is not a host").quoting(error))?;
    Ok(host.into_owned())
}

fn message_kind(text: &str) -> Result<MessageKind, Fault> {
    MessageKind::parse(text)
        .map_err(|error| Fault::new("is not the type of a message").quoting(error))
}

fn sender(text: &str) -> Result<Sender, Fault> {
    Sender::parse(text).map_err(|error| Fault::new("is not a sender").hint(error.to_string()))
}
