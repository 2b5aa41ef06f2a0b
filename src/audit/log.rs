//! Denials in the log, a line each, for whoever looks there while he sets a peer up.

use super::record::Record;
use crate::audit::line::rule::Origin;
use crate::identity::PeerName;

/// Says who was kept out of what, and by which rule. The trail says more.
pub(super) fn denial(record: &Record, origin: &Origin) {
    if !record.action.is_denial() || !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let connection = record.connection.as_deref();
    let rule = record.rule.as_ref();
    // What a peer has written is quoted and escaped.
    tracing::debug!(
        action = record.action.label(),
        reason = record.reason,
        listener = connection.map(|connection| connection.listener.as_str()),
        peer = connection.and_then(|c| c.peer.as_ref()).map(PeerName::as_str),
        identity = connection.and_then(|c| c.identity.as_deref()).map(tracing::field::debug),
        rule = rule.map(|rule| &*rule.name),
        at = rule
            .filter(|rule| rule.line > 0)
            .map(|rule| format!("{}:{}", origin.config, rule.line)),
        nearest =
            rule.and_then(|rule| rule.nearest.as_ref()).map(|n| tracing::field::debug(&n.text)),
        "kept out"
    );
}
