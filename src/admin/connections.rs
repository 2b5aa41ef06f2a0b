//! `/connections`: the connections that hold a permit, the newest of them one by one.

use serde_json::{Value, json};

use super::View;
use crate::clock::rfc3339;
use crate::identity::PeerName;
use crate::inventory::Open;

/// Connections that are told of one by one.
const SHOWN: usize = 200;

/// How many there are on each listener, and the newest of all.
pub(super) fn json(view: &View) -> Value {
    let mut counts = Vec::new();
    let mut newest: Vec<(&str, &str, Open)> = Vec::new();
    for listener in &view.listeners {
        let (count, open) = listener.open.newest(SHOWN);
        let name = &*listener.name;
        counts.push(json!({ "name": name, "direction": listener.direction, "open": count }));
        newest.extend(open.into_iter().map(|open| (name, listener.direction, open)));
    }
    newest.sort_by_key(|(_, _, open)| std::cmp::Reverse(open.since));
    newest.truncate(SHOWN);
    let shown = newest.iter().map(|(listener, direction, open)| {
        json!({
            "id": open.id,
            "listener": listener,
            "direction": direction,
            "peer": open.peer.as_ref().map(PeerName::as_str),
            "source": open.source.map(|source| source.to_string()),
            "since": rfc3339(open.since),
            "plaintext": open.plaintext,
        })
    });
    json!({ "connections": shown.collect::<Vec<_>>(), "listeners": counts })
}
