//! What a server's alert means (RFC 8446, 6.2), before and after it has our certificate.

use rustls::AlertDescription as Alert;

use super::{Diagnosis, way};
use crate::probe::seen::{Named, Seen};

/// The alert's name in the standard.
pub fn name(alert: Alert) -> String {
    let name = match alert {
        Alert::CloseNotify => "close_notify",
        Alert::UnexpectedMessage => "unexpected_message",
        Alert::BadRecordMac => "bad_record_mac",
        Alert::RecordOverflow => "record_overflow",
        Alert::HandshakeFailure => "handshake_failure",
        Alert::NoCertificate => "no_certificate",
        Alert::BadCertificate => "bad_certificate",
        Alert::UnsupportedCertificate => "unsupported_certificate",
        Alert::CertificateRevoked => "certificate_revoked",
        Alert::CertificateExpired => "certificate_expired",
        Alert::CertificateUnknown => "certificate_unknown",
        Alert::IllegalParameter => "illegal_parameter",
        Alert::UnknownCA => "unknown_ca",
        Alert::AccessDenied => "access_denied",
        Alert::DecodeError => "decode_error",
        Alert::DecryptError => "decrypt_error",
        Alert::ProtocolVersion => "protocol_version",
        Alert::InsufficientSecurity => "insufficient_security",
        Alert::InternalError => "internal_error",
        Alert::InappropriateFallback => "inappropriate_fallback",
        Alert::UserCanceled => "user_canceled",
        Alert::NoRenegotiation => "no_renegotiation",
        Alert::MissingExtension => "missing_extension",
        Alert::UnsupportedExtension => "unsupported_extension",
        Alert::UnrecognisedName => "unrecognized_name",
        Alert::BadCertificateStatusResponse => "bad_certificate_status_response",
        Alert::UnknownPSKIdentity => "unknown_psk_identity",
        Alert::CertificateRequired => "certificate_required",
        Alert::NoApplicationProtocol => "no_application_protocol",
        other => return format!("alert {}", u8::from(other)),
    };
    name.to_owned()
}

/// The alert came before the server had our certificate.
pub(super) fn of_hello(alert: Alert, seen: &Seen) -> Diagnosis {
    let target = &seen.target;
    let alerted = name(alert);
    match alert {
        Alert::ProtocolVersion => way::too_old(target),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Diagnosis::failure(
            "no_shared_cipher",
            format!(
                "{target} answered our hello with {alerted}: it has no cipher suite, group or signature \
                 in common with `tls.profile`"
            ),
            way::NO_CIPHER,
        ),
        Alert::UnrecognisedName => Diagnosis::failure(
            "unknown_name",
            format!("{target} serves nothing under the name {} (SNI)", seen.host),
            "connect by the name for which the server has a certificate, or let it have a default one",
        ),
        Alert::NoApplicationProtocol => Diagnosis::failure(
            "no_shared_protocol",
            format!(
                "{target} speaks none of the application protocols that the listener offers (ALPN)"
            ),
            "is `protocol` right? `http` offers h2 and http/1.1, `tcp` offers none",
        ),
        Alert::InternalError => Diagnosis::failure(
            "server_error",
            format!(
                "{target} answered our hello with {alerted}: it has most likely no certificate for the \
                 name {} (SNI), or could not load one",
                seen.host
            ),
            "look at its log, and connect by the name for which it has a certificate",
        ),
        _ => Diagnosis::failure(
            "refused_hello",
            format!("{target} refused our hello with {alerted}"),
            "look at its log; a device between may also answer in its place",
        ),
    }
}

/// The alert came when the server had our certificate: with it, or after it.
pub(super) fn of_certificate(alert: Alert, seen: &Seen) -> Diagnosis {
    let Some((code, cause, mend)) = refusal(alert, seen) else {
        return Diagnosis::failure(
            "refused_by_server",
            format!("{} refused us with {}", seen.target, name(alert)),
            "look at the server's log for this connection: only there is the reason",
        );
    };
    let cause = format!("{} refused our certificate ({}): {cause}", seen.target, name(alert));
    Diagnosis::failure(code, cause, mend)
}

/// A code, a cause and a mend.
type Words = (&'static str, String, &'static str);

/// The likely cause of each alert about a certificate.
fn refusal(alert: Alert, seen: &Seen) -> Option<Words> {
    let issuer = issuer(seen);
    let (code, cause, mend) = match alert {
        Alert::UnknownCA => (
            "refused_unknown_authority",
            format!("it does not trust {issuer}"),
            "have our authority's certificate added to what the server verifies clients with, and make \
             sure that we send our intermediates",
        ),
        Alert::CertificateExpired => (
            "refused_expired",
            "to it, our certificate or one of its chain has expired or is not valid yet".to_owned(),
            "compare its clock with ours; if ours was renewed a moment ago, a clock that is behind refuses \
             it until then",
        ),
        Alert::CertificateRevoked => (
            "refused_revoked",
            format!("it, or one of its chain, is on a revocation list of {issuer}"),
            "have a new certificate issued for this service",
        ),
        Alert::CertificateRequired | Alert::NoCertificate => required(seen),
        Alert::UnsupportedCertificate => kind(seen),
        Alert::CertificateUnknown => (
            "refused_for_another_reason",
            "for a reason that has no alert of its own: most likely it does not know us by our names, or \
             it could not check revocation"
                .to_owned(),
            "look at the server's log, and at its list of those who may connect",
        ),
        Alert::AccessDenied => (
            "refused_access",
            "it is good, and we may not connect: we are not on its list".to_owned(),
            "ask for this service to be let in there, by the names that our certificate has",
        ),
        Alert::BadCertificate => bad_certificate(seen),
        Alert::DecryptError => (
            "refused_signature",
            "our signature does not hold for it: certificate and key do not fit together, or the server \
             takes our authority for another one of the same name"
                .to_owned(),
            "compare the authority's fingerprints on both sides",
        ),
        Alert::HandshakeFailure => handshake_failure(seen),
        _ => return None,
    };
    Some((code, cause, mend))
}

/// Our certificate is of no use to it.
fn kind(seen: &Seen) -> Words {
    let cause = match seen.ours.as_ref().is_some_and(|ours| !ours.for_clients) {
        true => "it is not for clients (extended key usage without clientAuth)",
        false => {
            "its kind does not suit it: most likely its key is of a kind that the server does not know, \
             or its purposes (extended key usage) are not those that the server asks for"
        }
    };
    let mend = "have it issued anew with clientAuth, or with another kind of key";
    ("refused_kind", cause.to_owned(), mend)
}

/// The server got none.
fn required(seen: &Seen) -> Words {
    let cause = match seen.ours.as_ref().and_then(|ours| ours.certificate.as_ref()) {
        Some(certificate) => {
            format!("it needs one, and verifies no signature by our key ({})", certificate.key)
        }
        None => "it needs one, and we have none to show".to_owned(),
    };
    let mend = "give this service a certificate that the server can verify: `identity` in the \
                configuration, and `key_types` for another kind of key";
    ("certificate_required", cause, mend)
}

/// Used for much: what cannot be read, what does not verify, and what a server's own check dislikes.
fn bad_certificate(seen: &Seen) -> Words {
    let cause = match foreign(seen) {
        true => format!(
            "the authorities that it accepts do not include ours, {}: most likely that is why",
            issuer(seen)
        ),
        false => "it could not verify it, or a check of its own dislikes it".to_owned(),
    };
    let mend = "look at the server's log; compare what it verifies clients with and the chain that we send";
    ("refused_bad", cause, mend)
}

/// TLS 1.2 has no other word for a certificate that was not shown (RFC 5246, 7.4.6).
fn handshake_failure(seen: &Seen) -> Words {
    match seen.ours.as_ref().is_some_and(|ours| ours.shown) {
        true => bad_certificate(seen),
        false => required(seen),
    }
}

/// The server named authorities, and ours was not among them.
fn foreign(seen: &Seen) -> bool {
    seen.ours.as_ref().is_some_and(|ours| ours.named == Named::Others)
}

fn issuer(seen: &Seen) -> String {
    let certificate = seen.ours.as_ref().and_then(|ours| ours.certificate.as_ref());
    certificate.map_or_else(|| "our authority".to_owned(), |certificate| certificate.issuer.clone())
}
