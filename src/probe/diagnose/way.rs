//! What went wrong on the way to the server, and in the handshake before certificates.

use super::{Diagnosis, alert};
use crate::probe::plain::{Spoken, usual};
use crate::probe::seen::{Outcome, Seen, Shaken, Stage, Unreached};

/// No address could be connected to.
pub(super) fn unreached(seen: &Seen) -> Diagnosis {
    let Seen { target, host, .. } = seen;
    if let Some(error) = &seen.resolved.error {
        return unresolved(host, error);
    }
    match worst(seen) {
        Unreached::Refused => Diagnosis::failure(
            "refused",
            format!(
                "{target} refuses connections: nothing listens on that port there, or a firewall says so"
            ),
            "is the server running, on this port, and bound to more than its loopback address \
             (`ss -tlnp` there)?",
        ),
        Unreached::TimedOut => Diagnosis::failure(
            "connect_timeout",
            format!(
                "{target} does not answer: most likely a firewall, a security group or a NetworkPolicy \
                 drops what we send, or the machine is down"
            ),
            "have the port opened from this machine to that one, and make sure that answers find back",
        ),
        Unreached::NoRoute => Diagnosis::failure(
            "no_route",
            format!("there is no way from here to {target}"),
            "look at this machine's routes and interfaces; an IPv6 address needs IPv6 on the whole way",
        ),
        Unreached::Reset => Diagnosis::failure(
            "reset",
            format!(
                "{target} broke the connection off while it was made: a load balancer without a server behind it, or a firewall"
            ),
            "ask whoever runs what stands before the server",
        ),
        Unreached::Forbidden => Diagnosis::failure(
            "forbidden",
            format!("this machine does not let us connect to {target}"),
            "look at its outgoing firewall rules and at seccomp or SELinux policies",
        ),
        Unreached::Other => {
            let errors: Vec<_> = seen.attempts.iter().filter_map(|a| a.error.as_deref()).collect();
            other(target, &errors.join("; "))
        }
    }
}

fn unresolved(host: &str, error: &str) -> Diagnosis {
    Diagnosis::failure(
        "name_not_resolved",
        format!("the name {host} stands for no address: {error}"),
        "look for a slip in the name; ask the resolver of this machine (`getent hosts NAME`), which in a \
         container is not the host's",
    )
}

fn other(target: &str, errors: &str) -> Diagnosis {
    Diagnosis::failure(
        "unreachable",
        format!("{target} cannot be connected to: {errors}"),
        "look at the error of the system, and at this machine's network",
    )
}

/// Of several addresses the failure that says most: one that answers is nearer than one that does not.
fn worst(seen: &Seen) -> Unreached {
    let failed = |kind: Unreached| seen.attempts.iter().any(|a| a.failed == Some(kind));
    let order = [
        Unreached::Refused,
        Unreached::Reset,
        Unreached::TimedOut,
        Unreached::Forbidden,
        Unreached::NoRoute,
    ];
    order.into_iter().find(|kind| failed(*kind)).unwrap_or(Unreached::Other)
}

/// What the end of the handshake means, if it did not succeed.
pub(super) fn outcome(shaken: &Shaken, seen: &Seen) -> Option<Diagnosis> {
    let target = &seen.target;
    Some(match &shaken.outcome {
        // The first is for the server's answer to say, the second has been said by its faults.
        Outcome::Established | Outcome::ServerRefused => return None,
        Outcome::Alert { alert, stage: Stage::Certificates } => alert::of_certificate(*alert, seen),
        Outcome::Alert { alert, .. } => alert::of_hello(*alert, seen),
        Outcome::Version => too_old(target),
        Outcome::Suite { message } => Diagnosis::failure(
            "no_shared_cipher",
            format!("the server chose what `tls.profile` does not have: {message}"),
            NO_CIPHER,
        ),
        Outcome::NoExtendedMasterSecret => Diagnosis::failure(
            "no_extended_master_secret",
            "the server speaks TLS 1.2 without extended master secret (RFC 7627), which ties the keys to \
             the handshake",
            "bring the server up to date, TLS 1.3 at best; `tls: { profile: compatible }` does without, \
             for all connections of this sidecar",
        ),
        Outcome::NotTls { spoken, words } => not_tls(*spoken, words, seen),
        Outcome::Closed { stage } => closed(*stage, seen),
        Outcome::Reset { stage } => reset(*stage, target),
        Outcome::Silent { stage } => silent(*stage, seen),
        Outcome::Protocol { message } => Diagnosis::failure(
            "protocol",
            format!("{target} breaks the rules of TLS: {message}"),
            "a device between may change what passes: probe from nearer to the server; otherwise bring \
             the server's TLS library up to date",
        ),
    })
}

/// How to mend a lack of common suites.
pub(super) const NO_CIPHER: &str = "let the server offer AES-GCM with ECDHE on P-256, and a certificate with an EC or RSA key; or choose \
     another `tls.profile` here, and look at `tls.cipher_suites`";

pub(super) fn too_old(target: &str) -> Diagnosis {
    Diagnosis::failure(
        "tls_too_old",
        format!(
            "{target} speaks no version of TLS that `tls.profile` has: most likely only TLS 1.0 or 1.1, \
             or only 1.2 where the profile is `modern`"
        ),
        "turn on TLS 1.2 or 1.3 at the server, or put a sidecar in front of it; no profile brings TLS 1.0 \
         back",
    )
}

fn not_tls(spoken: Spoken, words: &str, seen: &Seen) -> Diagnosis {
    let cause = format!(
        "{} speaks no TLS but {}: it answered our hello with \"{words}\"",
        seen.target,
        spoken.name()
    );
    let mend = if spoken.upgrades() {
        "such servers begin in plaintext and change to TLS when asked, which no sidecar does: use the port \
         on which they speak TLS from the first byte, or put a Myelin in front of it"
    } else {
        "is this the plaintext port? use the one for TLS, or put a Myelin with an inbound listener in \
         front of the server and connect to that"
    };
    Diagnosis::failure("plaintext", cause, mend)
}

fn closed(stage: Stage, seen: &Seen) -> Diagnosis {
    let target = &seen.target;
    match stage {
        Stage::Hello => Diagnosis::failure(
            "closed",
            format!(
                "{target} took our hello and ended the connection without a word: {}",
                guess(seen)
            ),
            "make sure that the port is the one for TLS; a load balancer ends connections so when it has \
             no healthy server behind it, and a server that does not know the name (SNI) may, too",
        ),
        Stage::Negotiation => Diagnosis::failure(
            "closed",
            format!("{target} ended the connection in the middle of the handshake"),
            "look at its log; a device between may cut what it cannot read",
        ),
        Stage::Certificates => Diagnosis::failure(
            "closed_on_certificate",
            format!(
                "{target} ended the connection when it had our certificate, and did not say why"
            ),
            "look at its log; most likely it does not trust our authority, or we are not on its list",
        ),
    }
}

fn reset(stage: Stage, target: &str) -> Diagnosis {
    match stage {
        Stage::Hello => Diagnosis::failure(
            "reset",
            format!(
                "the connection to {target} was broken off at our hello: a firewall that inspects TLS, a \
                 full server, or a program that expects something else"
            ),
            "probe from nearer to the server; what answers there and not here is between",
        ),
        Stage::Negotiation => Diagnosis::failure(
            "reset",
            format!("the connection to {target} was broken off in the middle of the handshake"),
            "probe from nearer to the server, and look at its log: it may have crashed",
        ),
        Stage::Certificates => Diagnosis::failure(
            "closed_on_certificate",
            format!("{target} broke the connection off when it had our certificate"),
            "look at its log; most likely it does not trust our authority, or we are not on its list",
        ),
    }
}

fn silent(stage: Stage, seen: &Seen) -> Diagnosis {
    let target = &seen.target;
    match stage {
        Stage::Hello => Diagnosis::failure(
            "silent",
            format!("{target} accepts connections and says nothing to our hello: {}", guess(seen)),
            "is this the port for TLS? if it is, the server may be hanging, or a device between may \
             accept in its place",
        ),
        Stage::Negotiation | Stage::Certificates => Diagnosis::failure(
            "silent",
            format!("{target} fell silent in the middle of the handshake"),
            "large packets may get lost on the way (MTU, VPN): try with a smaller one; or the server \
             waits for something itself, such as a revocation check",
        ),
    }
}

/// What a server may be that says nothing.
fn guess(seen: &Seen) -> String {
    match usual(seen.port) {
        Some(usual) => format!("on port {} that is usually {usual}", seen.port),
        None => "most likely it waits for another protocol, in plaintext".to_owned(),
    }
}
