//! What is wrong with a server's certificate, in words.

use time::{Duration, OffsetDateTime};

use super::{Diagnosis, Fault, NoChain, Whose};
use crate::clock::rfc3339;
use crate::probe::seen::Seen;

/// Clocks that are off by more than this are rare.
const SKEW: Duration = Duration::days(1);

pub(super) fn fault(fault: &Fault, seen: &Seen) -> Diagnosis {
    match fault {
        Fault::Names(what) => Diagnosis::failure(
            "bad_names",
            format!("a name in the server's certificate cannot be taken for anybody's: {what}"),
            "have the certificate issued anew: one SPIFFE ID as its only URI, and DNS names that are \
             DNS names",
        ),
        Fault::Version { of, number } => version(of, *number),
        Fault::Key { of, key } => Diagnosis::failure(
            "weak_key",
            format!("the key of {of} is too short: {key}, and 2048 bits are the least"),
            "have a new key made and certified, RSA with 2048 bits or more, or EC on P-256",
        ),
        Fault::Signature { of, algorithm } => Diagnosis::failure(
            "weak_signature",
            format!("the certificate of {of} is signed by {algorithm}, which can be forged"),
            "have it issued anew, signed with SHA-256 or better; the authority may need a setting for it",
        ),
        Fault::Expired { whose, at, ago } => expired(*whose, *at, *ago, seen),
        Fault::ExpiredAnchor { authority, what } => Diagnosis::failure(
            "expired_anchor",
            format!(
                "all that the server sent is valid, and the authority in our trust bundle that it leads \
                 to, {authority}, is not: {what}"
            ),
            "put the authority's current certificate into our trust bundle; the server's need not change \
             if the key is the same",
        ),
        Fault::NotYet { whose, at, ahead } => not_yet(*whose, *at, *ahead, seen),
        Fault::NoChain(why) => no_chain(why),
        Fault::Foreign(what) => Diagnosis::failure(
            "foreign_trust_domain",
            format!("no authority that may vouch for the server's SPIFFE ID has signed it: {what}"),
            "an authority vouches for names of its own trust domain alone: federate the two domains, or \
             have the server's certificate issued by its own domain's authority",
        ),
        Fault::Purpose { clients } => wrong_purpose(*clients),
        Fault::Unfit(what) => unfit(what),
        Fault::Revoked => Diagnosis::failure(
            "revoked",
            "the server's certificate, or one of its chain, is on a revocation list of its authority",
            "have a new one issued for it; if the revocation was a mistake, the authority has to publish \
             a list without it",
        ),
        Fault::RevocationUnknown => Diagnosis::failure(
            "revocation_unknown",
            "we check revocation, and none of our lists is from the issuer of the server's certificate",
            "add the list of that issuer to `crls`: with any list, each issuer needs one",
        ),
        Fault::CrlExpired(due) => crl_expired(*due),
        Fault::Unexpected { who, nearest } => unexpected(who, nearest),
        Fault::Other(what) => Diagnosis::failure(
            "bad_certificate",
            format!("the server's certificate cannot be used: {what}"),
            "look at it with `openssl x509 -noout -text`, and have it issued anew",
        ),
    }
}

fn version(of: &str, number: u32) -> Diagnosis {
    Diagnosis::failure(
        "version_1",
        format!(
            "the certificate of {of} is of version {number}, which has no place for names or \
                 purposes (RFC 5280, 4.1.2.1); appliances make such ones by themselves"
        ),
        "have it issued by an authority that makes version 3; most appliances can import one",
    )
}

fn wrong_purpose(clients: bool) -> Diagnosis {
    Diagnosis::failure(
        "wrong_purpose",
        match clients {
            true => {
                "the server presents a certificate that is for clients alone (extended key \
                         usage clientAuth without serverAuth)"
            }
            false => {
                "the server's certificate is for something else than TLS servers (extended \
                          key usage without serverAuth)"
            }
        },
        "have it issued anew with serverAuth; for a service that is both, with clientAuth, too",
    )
}

fn unfit(what: &str) -> Diagnosis {
    Diagnosis::failure(
        "unfit",
        format!("`tls.profile` refuses the server's certificate: {what}"),
        "have it issued anew for servers (extended key usage serverAuth) and without keyCertSign; \
             `tls: { profile: compatible }` accepts it, for all connections of this sidecar",
    )
}

fn unexpected(who: &str, nearest: &str) -> Diagnosis {
    Diagnosis::failure(
        "unexpected_server",
        format!("the server proves to be {who}, which is none of the expected: {nearest}"),
        "if that is the right server, name what it proves to be in `peers` and `expect`; if not, the \
             address leads elsewhere: look at DNS, at load balancers, and at what a server shows to \
             names that it does not know",
    )
}

fn subject(whose: Whose) -> &'static str {
    match whose {
        Whose::Leaf => "the server's certificate",
        Whose::Intermediate => "an intermediate that the server sends along",
    }
}

fn expired(whose: Whose, at: OffsetDateTime, ago: Duration, seen: &Seen) -> Diagnosis {
    let what = format!("{} expired at {}, {} ago", subject(whose), rfc3339(at), span(ago));
    match &seen.clock {
        Some(doubt) => Diagnosis::failure(
            "expired",
            format!("{what}, by this machine's clock; but that clock may be wrong: {doubt}"),
            "set this machine's clock first (`timedatectl`, chrony), then probe again",
        ),
        None => Diagnosis::failure(
            "expired",
            what,
            match whose {
                Whose::Leaf => {
                    "have it renewed there, and make sure that the server has loaded the new one: many \
                     do so at a restart only"
                }
                Whose::Intermediate => {
                    "put the authority's current intermediate into the server's chain file"
                }
            },
        ),
    }
}

fn not_yet(whose: Whose, at: OffsetDateTime, ahead: Duration, seen: &Seen) -> Diagnosis {
    let what =
        format!("{} is valid only from {}, {} from now", subject(whose), rfc3339(at), span(ahead));
    if let Some(doubt) = &seen.clock {
        return Diagnosis::failure(
            "not_yet_valid",
            format!("{what}; this machine's clock is most likely behind: {doubt}"),
            "set this machine's clock (`timedatectl`, chrony), then probe again",
        );
    }
    if ahead < SKEW {
        return Diagnosis::failure(
            "not_yet_valid",
            format!("{what}: either this machine's clock is behind, or the authority's is ahead"),
            "compare both clocks with a third one, and let them follow the same NTP servers",
        );
    }
    Diagnosis::failure(
        "not_yet_valid",
        format!("{what}: it was issued for later, or too early put in place"),
        "put the certificate that is valid today back in place",
    )
}

fn no_chain(why: &NoChain) -> Diagnosis {
    match why {
        NoChain::SelfSigned => Diagnosis::failure(
            "self_signed",
            "the server's certificate has signed itself: no authority vouches for it",
            "have one issued by an authority in our trust bundle; or, for an appliance that cannot, pin \
             it in `peers` with `pin: \"sha256:…\"`, the digest that is shown above",
        ),
        NoChain::OtherRoot { root } => Diagnosis::failure(
            "unknown_authority",
            format!("the server's chain ends in {root}, an authority that we do not trust"),
            "if it is to be trusted, add its certificate to our trust bundle, after comparing its \
             fingerprint on another way; otherwise have the server's certificate issued by one of ours",
        ),
        NoChain::OtherKey { authority } => other_key(authority),
        NoChain::LeftOut { intermediate } => Diagnosis::failure(
            "missing_intermediate",
            format!(
                "the server does not send its intermediate, {intermediate}, which we have ourselves"
            ),
            "put the intermediate behind the leaf in the server's certificate file (the full chain, \
             without the root)",
        ),
        NoChain::Unknown { issuer, alone: true } => Diagnosis::failure(
            "unknown_issuer",
            format!(
                "the server sends its own certificate alone, and its issuer, {issuer}, is not in our \
                 trust bundle: either the server leaves out its intermediate, or we do not have its \
                 authority"
            ),
            "let the server send its full chain; if the issuer is a root, add that to our trust bundle",
        ),
        NoChain::Unknown { issuer, alone: false } => Diagnosis::failure(
            "unknown_authority",
            format!("the server's chain leads to {issuer}, which is not in our trust bundle"),
            "add that authority's certificate to our trust bundle, if it is to be trusted; or let the \
             server send the rest of its chain",
        ),
        NoChain::Unusable(what) => Diagnosis::failure(
            "bad_chain",
            format!("the server's chain breaks a rule: {what}"),
            "look at each certificate of it with `openssl x509 -noout -text`: basic constraints, path \
             length, name constraints, critical extensions",
        ),
    }
}

fn other_key(authority: &str) -> Diagnosis {
    Diagnosis::failure(
        "other_key",
        format!(
            "the server's chain leads to {authority}, and the authority of that name in our trust \
                 bundle has another key: it was made anew, or this is an impostor"
        ),
        "if the authority was made anew, add its new certificate beside the old one to our trust \
             bundle; remove the old one when nobody uses it any more",
    )
}

fn crl_expired(due: Option<OffsetDateTime>) -> Diagnosis {
    let since = due.map(|due| format!(" since {}", rfc3339(due))).unwrap_or_default();
    Diagnosis::failure(
        "crl_expired",
        format!("our revocation list of the server's issuer is past its next update{since}"),
        "fetch the current list: is whatever brings it to us still running, and does the authority \
         still publish? `tls: { crl_expired: warn }` goes on with the old one meanwhile",
    )
}

/// A span of time in its largest unit.
fn span(time: Duration) -> String {
    let (number, unit) = match time {
        _ if time.whole_days() > 0 => (time.whole_days(), "day"),
        _ if time.whole_hours() > 0 => (time.whole_hours(), "hour"),
        _ if time.whole_minutes() > 0 => (time.whole_minutes(), "minute"),
        _ => (time.whole_seconds(), "second"),
    };
    crate::report::Count(u64::try_from(number).unwrap_or(0), unit).to_string()
}
