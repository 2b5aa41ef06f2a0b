//! ArcSight Common Event Format, version 0 (implementation standard, revision 25): what most SIEMs take by syslog.
//!
//! A value ends where ` key=` begins, so every `=` in one is escaped; and each has the length that its key allows.

use std::net::IpAddr;

use super::fields::{Field, Value};
use super::happened::{Happened, How, Of, is_failure};
use crate::audit::read::{Recorded, RecordedSide};

/// Most characters of a custom string.
const CUSTOM: usize = 4000;
/// Most characters of a text in a field that has room.
const LONG: usize = 1023;
/// Most characters of a word.
const SHORT: usize = 63;

/// Appends the record.
pub(super) fn tell(recorded: &Recorded, out: &mut Vec<u8>) {
    let mut text = format!(
        "CEF:0|Myelin|Myelin|{}|{}|{}|{}|",
        header(&recorded.observer.version),
        header(&recorded.event.action),
        header(&name(&recorded.event.action)),
        severity(recorded)
    );
    let mut fields = Extension { text: &mut text, is_first: true };
    fields.time(recorded);
    fields.peers(recorded);
    fields.what(recorded);
    fields.customs(recorded);
    out.extend_from_slice(text.as_bytes());
}

/// A field of the header, which must not be empty.
fn header(text: &str) -> String {
    let text = text.replace(char::is_control, " ").replace('\\', "\\\\").replace('|', "\\|");
    if text.trim().is_empty() { "unknown".to_owned() } else { text }
}

/// `connection-denied` as `Connection denied`.
fn name(action: &str) -> String {
    let mut name = action.replace('-', " ");
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// 0 to 3 is low, 4 to 6 medium, 7 and 8 high.
fn severity(recorded: &Recorded) -> u8 {
    let Happened { of, how } = Happened::of(recorded);
    match (of, how) {
        (_, How::Denied | How::Withdrawn) => 6,
        (_, How::Refused) => 5,
        (Of::Trail, _) if is_failure(recorded) => 8,
        _ if is_failure(recorded) => 4,
        (_, How::Allowed) if recorded.myelin.would_deny.is_some() => 4,
        _ => 2,
    }
}

struct Extension<'t> {
    text: &'t mut String,
    is_first: bool,
}

impl Extension<'_> {
    /// `key=value`, unless there is nothing to say.
    fn add(&mut self, key: &str, value: &str, most: usize) {
        if value.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.is_first, false) {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        for c in value.chars().take(most) {
            match c {
                '\\' | '=' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                c if c.is_control() => self.text.push(' '),
                c => self.text.push(c),
            }
        }
    }

    fn field(&mut self, key: &str, name: &str, recorded: &Recorded, most: usize) {
        let value = Field::named(name).map_or(Value::Nothing, |field| field.of(recorded));
        self.add(key, &value.to_string(), most);
    }

    fn number(&mut self, key: &str, number: Option<impl Into<u64>>) {
        let Some(number) = number else { return };
        self.add(key, &number.into().to_string(), usize::MAX);
    }

    /// A field that needs a label, for its key says nothing.
    fn custom(&mut self, key: &str, label: &str, name: &str, recorded: &Recorded) {
        let before = self.text.len();
        let most = if key.starts_with("cs") { CUSTOM } else { LONG };
        self.field(key, name, recorded, most);
        if self.text.len() > before {
            self.add(&format!("{key}Label"), label, LONG);
        }
    }

    fn time(&mut self, recorded: &Recorded) {
        let ms =
            |at: time::OffsetDateTime| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok();
        self.number("rt", ms(recorded.at));
        if let Some(flood) = &recorded.myelin.flood {
            self.number("start", ms(flood.first));
            self.number("end", ms(flood.last));
            self.number("cnt", Some(flood.count.min(u64::from(u32::MAX >> 1)))); // an integer of 32 bits
        }
        self.number("externalId", Some(recorded.event.sequence));
    }

    fn peers(&mut self, recorded: &Recorded) {
        self.side(["src", "c6a2", "spt"], "Source IPv6 Address", recorded.source.as_ref());
        self.side(
            ["dst", "c6a3", "dpt"],
            "Destination IPv6 Address",
            recorded.destination.as_ref(),
        );
        // The user is who proved to be somebody; the other side is the service.
        let (id, user, service) = match recorded.is_outbound() {
            true => ("duid", "duser", "sourceServiceName"),
            false => ("suid", "suser", "destinationServiceName"),
        };
        self.field(id, "identity", recorded, LONG);
        self.field(user, "peer", recorded, LONG);
        self.field(service, "service", recorded, LONG);
        if recorded.network.direction.is_some() {
            self.number("deviceDirection", Some(u8::from(recorded.is_outbound())));
            self.add("proto", "TCP", SHORT);
        }
        self.field("app", "protocol", recorded, 31);
    }

    fn side(&mut self, [v4, v6, port]: [&str; 3], label: &str, side: Option<&RecordedSide>) {
        let Some(side) = side else { return };
        match side.ip {
            Some(IpAddr::V4(ip)) => self.add(v4, &ip.to_string(), SHORT),
            Some(IpAddr::V6(ip)) => {
                self.add(v6, &ip.to_string(), SHORT);
                self.add(&format!("{v6}Label"), label, LONG);
            }
            None => {}
        }
        self.number(port, side.port);
    }

    fn what(&mut self, recorded: &Recorded) {
        let act = match Happened::of(recorded).how {
            How::Allowed => "allowed",
            How::Denied | How::Refused | How::Withdrawn => "denied",
            How::Ended | How::Done => "",
        };
        self.add("act", act, SHORT);
        self.field("outcome", "outcome", recorded, SHORT);
        self.field("reason", "reason", recorded, LONG);
        self.field("requestMethod", "method", recorded, LONG);
        self.field("request", "path", recorded, LONG);
        // Bytes from source to destination, and back.
        self.number("in", recorded.source.as_ref().and_then(|side| side.bytes));
        self.number("out", recorded.destination.as_ref().and_then(|side| side.bytes));
        let words = recorded.message.as_ref().or(recorded.myelin.nearest.as_ref());
        self.add("msg", words.map_or("", String::as_str), LONG);
    }

    fn customs(&mut self, recorded: &Recorded) {
        self.custom("cs1", "rule", "rule", recorded);
        self.custom("cs2", "policy", "policy", recorded);
        self.custom("cs3", "operation", "operation", recorded);
        self.custom("cs4", "certificateSha256", "certificate_sha256", recorded);
        self.custom("cs5", "connection", "connection", recorded);
        self.custom("cs6", "tlsVersion", "tls_version", recorded);
        self.custom("cn1", "status", "status", recorded);
        self.custom("cn2", "durationMs", "duration_ms", recorded);
        self.custom("flexString1", "certificateSubject", "certificate_subject", recorded);
        self.custom("flexString2", "listener", "listener", recorded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::forms::fixture::recorded;

    fn told(event: &str, beside: &str, myelin: &str) -> String {
        let mut out = Vec::new();
        tell(&recorded(event, beside, myelin).1, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_denial_says_who_and_why() {
        let told = told(
            r#"{"action":"connection-denied","outcome":"failure","reason":"not_listed"}"#,
            r#""observer":{"version":"0.1.0"},"source":{"ip":"10.0.0.1","port":5},"destination":{"ip":"::1","port":8443},
               "network":{"direction":"ingress"},"#,
            r#""listener":"db","peer":"lab","identity":"spiffe://h.example/lab""#,
        );

        assert_eq!(
            told,
            "CEF:0|Myelin|Myelin|0.1.0|connection-denied|Connection denied|6|rt=1795327921123 externalId=7 src=10.0.0.1 \
             spt=5 c6a3=::1 c6a3Label=Destination IPv6 Address dpt=8443 suid=spiffe://h.example/lab suser=lab \
             destinationServiceName=ehr deviceDirection=0 proto=TCP app=tcp act=denied outcome=failure reason=not_listed \
             flexString2=db flexString2Label=listener"
        );
    }

    #[test]
    fn no_text_ends_its_field_early_or_begins_another() {
        let told = told(
            r#"{"action":"a|b\\c"}"#,
            r#""message":"x\n outcome=success act=allowed \\ |","#,
            r#""peer":"a=b""#,
        );

        assert!(told.starts_with(r"CEF:0|Myelin|Myelin|unknown|a\|b\\c|A\|b\\c|2|"), "{told}");
        assert!(told.contains(r" suser=a\=b "), "{told}");
        assert!(told.ends_with(r" msg=x\n outcome\=success act\=allowed \\ |"), "{told}");
    }

    #[test]
    fn a_text_is_no_longer_than_its_key_allows() {
        let long = "é".repeat(5000);

        let told = told(r#"{"action":"a"}"#, &format!(r#""message":"{long}","#), "");

        assert_eq!(told.matches('é').count(), LONG);
    }
}
