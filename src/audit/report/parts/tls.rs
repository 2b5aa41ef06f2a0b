//! How connections were protected.

use crate::audit::forms::Value;
use crate::audit::report::part::{Citation, Part, cite};
use crate::audit::report::seen::Seen;
use crate::audit::report::table::{Column, Kind, Table, below, column};
use crate::audit::report::told::{Span, Told};
use crate::report::Count;

const SUPPORTS: &[Citation] = &[
    cite(
        "45 CFR 164.312(e)(1), (e)(2)(ii)",
        "transmission security: which encryption each connection negotiated",
    ),
    cite(
        "45 CFR 164.312(e)(2)(i)",
        "integrity controls: the suites listed here authenticate what they encrypt",
    ),
    cite(
        "74 FR 19006 (guidance to 45 CFR 164.402)",
        "evidence, should a breach be suspected, of how ePHI was encrypted in motion, held against NIST SP 800-52 Rev. 2",
    ),
];
const SESSIONS: &[Column] = &[
    column("version", "TLS", Kind::Label),
    column("cipher", "Cipher suite", Kind::Label),
    column("group", "Key exchange", Kind::Label),
    column("sp_800_52r2", "SP 800-52r2", Kind::Label),
    column("connections", "Connections", Kind::Number),
    column("share_percent", "Share, %", Kind::Number),
    column("phi", "At PHI endpoints", Kind::Number),
    column("resumed", "Resumed", Kind::Number),
];
const OUTSIDE: &[Column] = &[
    column("who", "Peer", Kind::Text),
    column("listener", "Endpoint", Kind::Label),
    below("direction", "direction", Kind::Label),
    column("version", "TLS", Kind::Label),
    column("cipher", "Cipher suite", Kind::Label),
    column("group", "Key exchange", Kind::Label),
    column("connections", "Connections", Kind::Number),
    column("phi", "At PHI endpoints", Kind::Number),
    column("last", "Last", Kind::Moment),
];

/// The cipher suites of SP 800-52r2 3.3.1 that rustls has, and those that it has not but a later version may.
const SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
];
/// Curves of SP 800-56A, appendix D.
const GROUPS: &[&str] = &["secp256r1", "secp384r1", "secp521r1"];
/// With ML-KEM (FIPS 203), which is newer than SP 800-52r2.
const HYBRIDS: &[&str] = &["x25519mlkem768", "secp256r1mlkem768", "secp384r1mlkem1024"];

const LISTED: &str = "listed";
const HYBRID: &str = "hybrid";
const NOT_LISTED: &str = "not listed";
const NO_TLS: &str = "no TLS";

/// How SP 800-52r2 sees it.
fn judged(version: &str, cipher: &str, group: &str) -> &'static str {
    let group = group.to_ascii_lowercase();
    match version {
        "" => NO_TLS,
        "1.2" | "1.3" if SUITES.contains(&cipher) => match group.as_str() {
            "" => LISTED, // resumed without a new exchange
            group if GROUPS.contains(&group) => LISTED,
            group if HYBRIDS.contains(&group) => HYBRID,
            _ => NOT_LISTED,
        },
        _ => NOT_LISTED,
    }
}

/// Connections that were let in, by their protection.
#[derive(Debug, Default)]
pub(in crate::audit::report) struct Protection {
    sessions: Told<4, Tally>,
    outside: Told<6, Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    connections: u64,
    phi: u64,
    resumed: u64,
    span: Span,
}

impl Tally {
    fn take(&mut self, seen: &Seen<'_>) {
        self.connections += 1;
        self.phi += u64::from(seen.record.myelin.phi);
        self.resumed += u64::from(seen.record.tls.resumed);
        self.span.seen(seen.record.at);
    }
}

impl Protection {
    pub(in crate::audit::report) fn take(&mut self, seen: &Seen<'_>) {
        if !seen.opens() {
            return;
        }
        let tls = &seen.record.tls;
        let [version, cipher, group] =
            [&tls.version, &tls.cipher, &tls.curve].map(|name| name.as_deref().unwrap_or_default());
        let judged = judged(version, cipher, group);
        self.sessions.at([version, cipher, group, judged]).take(seen);
        if matches!(judged, NOT_LISTED | NO_TLS) {
            self.outside
                .at([seen.who(), seen.listener(), seen.direction, version, cipher, group])
                .take(seen);
        }
    }

    pub(in crate::audit::report) fn part(&self) -> Part {
        let all: u64 = self.sessions.iter().map(|(_, tally)| tally.connections).sum();
        let sessions = self.sessions.rows(
            |_, tally| u64::MAX - tally.connections,
            |tally| {
                let share = tally.connections.saturating_mul(1000) / all.max(1);
                let share = format!("{}.{}", share / 10, share % 10);
                let [connections, phi, resumed] =
                    [tally.connections, tally.phi, tally.resumed].map(Value::Number);
                vec![connections, Value::Text(share.into()), phi, resumed]
            },
        );
        let outside = self.outside.rows(
            |_, tally| u64::MAX - tally.connections,
            |tally| {
                let [_, last] = tally.span.cells();
                vec![Value::Number(tally.connections), Value::Number(tally.phi), last]
            },
        );
        let sessions = Table {
            name: "sessions",
            title: "By version, suite and key exchange",
            columns: SESSIONS,
            rows: sessions,
        };
        let outside = Table {
            name: "outside",
            title: "Outside of SP 800-52 Rev. 2",
            columns: OUTSIDE,
            rows: outside,
        };
        Part {
            id: "tls",
            title: "TLS evidence",
            supports: SUPPORTS,
            says: self.says(all),
            tables: vec![sessions, outside],
        }
    }

    /// How many connections are judged so.
    pub(in crate::audit::report) fn outside(&self) -> u64 {
        self.count(NOT_LISTED) + self.count(NO_TLS)
    }

    fn count(&self, judged: &str) -> u64 {
        self.sessions
            .iter()
            .filter(|([.., as_what], _)| as_what == judged)
            .map(|(_, tally)| tally.connections)
            .sum()
    }

    fn says(&self, all: u64) -> Vec<String> {
        if all == 0 {
            return vec!["No connection was let in in this period.".into()];
        }
        let [listed, hybrid, not, none] =
            [LISTED, HYBRID, NOT_LISTED, NO_TLS].map(|judged| self.count(judged));
        let mut says = vec![format!(
            "Of {} that {} let in, {listed} used a version, suite and key exchange that SP 800-52 Rev. 2 lists, {hybrid} a listed suite with a post-quantum hybrid key \
             exchange (ML-KEM, FIPS 203, newer than that list), {not} something that is not listed, and {none} no TLS.",
            Count(all, "connection"),
            if all == 1 { "was" } else { "were" }
        )];
        says.push("This is what was negotiated. Whether the cryptographic module is validated (FIPS 140) is not on record.".into());
        says
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_list_has_is_told_from_what_is_newer_and_what_is_not_in_it() {
        for (version, cipher, group, expected) in [
            ("1.3", "TLS_AES_256_GCM_SHA384", "secp384r1", LISTED),
            ("1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "secp256r1", LISTED),
            ("1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", HYBRID),
            ("1.3", "TLS_AES_128_GCM_SHA256", "X25519", NOT_LISTED),
            ("1.3", "TLS_CHACHA20_POLY1305_SHA256", "secp256r1", NOT_LISTED),
            ("1.1", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "secp256r1", NOT_LISTED),
            ("", "", "", NO_TLS),
        ] {
            assert_eq!(judged(version, cipher, group), expected, "{version} {cipher} {group}");
        }
    }
}
