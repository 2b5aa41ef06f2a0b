//! Keys that only listeners of one protocol have.

use crate::config::Protocol;
use crate::config::problem::Fault;
use crate::config::read::{Fields, Reader};

/// The keys, the protocol that has them, by name, and what they look at.
const KEYS: &[(&str, Protocol, &str, &str)] = &[
    ("routes", Protocol::Http, "http", "requests"),
    ("forward_protocol", Protocol::Http, "http", "requests"),
    ("observe_paths", Protocol::Http, "http", "requests"),
    ("messages", Protocol::Mllp, "mllp", "messages"),
    ("senders", Protocol::Mllp, "mllp", "messages"),
    ("on_denied", Protocol::Mllp, "mllp", "messages"),
    ("associations", Protocol::Dicom, "dicom", "associations"),
];

/// Refuses keys of other protocols than `protocol`, which is `None` when it is wrong itself.
pub(super) fn keys_fit(
    reader: &Reader<'_>,
    fields: &mut Fields<'_, '_>,
    protocol: Option<Protocol>,
) {
    let Some(protocol) = protocol else { return };
    for (key, _, name, things) in KEYS.iter().filter(|(_, wants, ..)| *wants != protocol) {
        let Some(entry) = fields.entry(key) else { continue };
        let fault = Fault::new(format!("`{key}` needs `protocol: {name}`"));
        let why = match protocol {
            Protocol::Tcp => format!("a byte stream has no {things} to look at"),
            Protocol::Http => "the rules of http are `routes`".into(),
            Protocol::Mllp => "the rules of mllp are `messages` and `senders`".into(),
            Protocol::Dicom => "the rules of dicom are `associations`".into(),
        };
        let hint = format!("{why}; change `protocol`, or remove the key");
        reader.error(entry.at(), fault.hint(hint));
    }
}
