//! What is said of messages: to their senders, and on record.

use crate::clock;
use crate::listener::record;
use crate::outcome::DenyReason;
use crate::protocol::mllp::{Header, nack};

/// Whether the same message would be denied tomorrow, too. An `AR` has many senders drop it and go on, so
/// nothing that may pass gets one.
pub(super) fn is_for_good(reason: DenyReason) -> bool {
    match reason {
        DenyReason::NoMessageRule
        | DenyReason::NotListedForMessage
        | DenyReason::UnknownSender
        | DenyReason::RuleExpired => true,
        DenyReason::UnknownPeer
        | DenyReason::NotListed
        | DenyReason::ListingExpired
        | DenyReason::CertificateExpired
        | DenyReason::PeerChanged
        | DenyReason::NoRoute
        | DenyReason::NotListedForRoute
        | DenyReason::SoapMismatch
        // Nothing that could be answered is left: a part of its frame has passed.
        | DenyReason::BatchTooLarge
        | DenyReason::NoAssociationRule
        | DenyReason::NotListedForAssociation
        | DenyReason::SopClass
        | DenyReason::SopClassMismatch
        // What Rego says may depend on the time, or be no more than an evaluation that took too long.
        | DenyReason::Rego
        | DenyReason::RateLimit
        | DenyReason::ConcurrencyLimit
        | DenyReason::MalformedRequest
        | DenyReason::NotAudited
        | DenyReason::UnknownDestination
        | DenyReason::PermitWithdrawn => false,
    }
}

/// The rejection of a message, with a time and an identifier of its own.
pub(super) fn rejection(header: &Header<'_>) -> Vec<u8> {
    let now = clock::now();
    let (date, time) = (now.date(), now.time());
    let stamp = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let id = hex::encode(record::random_id().0);
    nack(header, &stamp, id.get(..20).unwrap_or_default())
}
