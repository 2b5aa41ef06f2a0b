//! Open Cybersecurity Schema Framework 1.8.
//!
//! Connections, messages and associations are Network Activity (4001), requests HTTP Activity (4002), both with the
//! profile `security_control`; what the sidecar says of itself is Application Lifecycle (6002). What the classes have no
//! name for is in `unmapped`, as the trail has it.

use serde_json::{Map, Value as Json};
use time::OffsetDateTime;

use super::fields::{protocol, status};
use super::happened::{Happened, How, Of, is_failure};
use super::object::{Object, write};
use crate::audit::line::encode::hash;
use crate::audit::read::{Recorded, RecordedCertificate, RecordedSide};

/// Which version the classes are of.
const VERSION: &str = "1.8.0";
/// What of `myelin` the classes have names for.
const MAPPED: [&str; 3] = ["connection", "identity", "peer"];
/// `algorithm_id` of SHA-256.
const SHA256: u64 = 3;
/// `activity_id` of what the class has no name for.
const OTHER: u64 = 99;

/// A class of events with its category.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class {
    category: u64,
    uid: u64,
}

const NETWORK: Class = Class { category: 4, uid: 4001 };
const HTTP: Class = Class { category: 4, uid: 4002 };
const LIFECYCLE: Class = Class { category: 6, uid: 6002 };

/// Appends the record.
pub(super) fn tell(line: &[u8], recorded: &Recorded, out: &mut Vec<u8>) {
    let happened = Happened::of(recorded);
    let class = class(happened.of);
    let activity = activity(happened, recorded);
    let digest = hex::encode(hash(line));
    let event = Object::new()
        .with("category_uid", class.category)
        .with("class_uid", class.uid)
        .with("activity_id", activity)
        .maybe("activity_name", (activity == OTHER).then_some(recorded.event.action.as_str()))
        .with("type_uid", class.uid * 100 + activity)
        .with("severity_id", severity(happened, recorded))
        .with("time", ms(recorded.at))
        .maybe("count", recorded.myelin.flood.as_ref().map(|flood| flood.count))
        .with("status_id", if is_failure(recorded) { 2 } else { 1 })
        .maybe("status_detail", recorded.event.reason.as_deref())
        .maybe("message", recorded.message.as_deref())
        .with("metadata", metadata(class, &digest, recorded));
    let event = period(event, recorded);
    let event = match class {
        LIFECYCLE => event.with("app", product(recorded)),
        class => network(control(event, happened, recorded), class, recorded),
    };
    let event = event
        .with("raw_data_hash", fingerprint(&digest))
        .maybe("unmapped", unmapped(line).unless_empty());
    write(event, out);
}

fn class(of: Of) -> Class {
    match of {
        Of::Connection | Of::Message | Of::Association => NETWORK,
        Of::Request => HTTP,
        Of::Trail | Of::Configuration | Of::Certificate | Of::Sidecar | Of::Other => LIFECYCLE,
    }
}

fn activity(Happened { of, how }: Happened, recorded: &Recorded) -> u64 {
    match (of, how) {
        (Of::Connection, How::Allowed) => 1,                     // Open
        (Of::Connection, How::Ended) => 2,                       // Close
        (Of::Connection | Of::Association, How::Withdrawn) => 3, // Reset
        (Of::Connection, How::Refused) => 4,                     // Fail
        (Of::Connection, How::Denied) => 5,                      // Refuse
        (Of::Message | Of::Association, _) => 6,                 // Traffic
        (Of::Request, _) => method(recorded),
        (Of::Configuration | Of::Certificate, _) => 8, // Update
        (Of::Sidecar, _) if recorded.event.action == "sidecar-started" => 3, // Start
        (Of::Sidecar, _) if recorded.event.action == "sidecar-stopped" => 4, // Stop
        (Of::Connection | Of::Trail | Of::Sidecar | Of::Other, _) => OTHER,
    }
}

/// `activity_id` of HTTP Activity.
fn method(recorded: &Recorded) -> u64 {
    const METHODS: [&str; 9] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"];
    let method = recorded.http.as_ref().map_or("", |http| &http.request.method);
    (1..).zip(METHODS).find(|(_, name)| *name == method).map_or(OTHER, |(id, _)| id)
}

/// 1 informational, 2 low, 3 medium, 4 high.
fn severity(happened: Happened, recorded: &Recorded) -> u64 {
    match happened {
        happened if happened.is_denial() => 3,
        Happened { of: Of::Trail, .. } if is_failure(recorded) => 4,
        _ if is_failure(recorded) => 2,
        _ => 1,
    }
}

fn metadata(class: Class, digest: &str, recorded: &Recorded) -> Object {
    let profiles = (class != LIFECYCLE).then(|| vec!["security_control"]);
    Object::new()
        .with("version", VERSION)
        .with("uid", digest)
        .with("sequence", recorded.event.sequence)
        .with("event_code", recorded.event.action.as_str())
        .maybe("correlation_uid", recorded.myelin.connection.as_deref())
        .maybe("profiles", profiles)
        .with("product", product(recorded))
        .with("log_name", "audit")
        .maybe("log_provider", Some(recorded.service.name.as_str()))
}

fn product(recorded: &Recorded) -> Object {
    Object::new()
        .with("name", "Myelin")
        .with("vendor_name", "Myelin")
        .maybe("version", Some(recorded.observer.version.as_str()))
}

/// From when to when, and how long: for endings, and for what stands for many.
fn period(event: Object, recorded: &Recorded) -> Object {
    if let Some(flood) = &recorded.myelin.flood {
        return event.with("start_time", ms(flood.first)).with("end_time", ms(flood.last));
    }
    let Some(duration) = recorded.event.duration.map(|ns| ns / 1_000_000) else { return event };
    let end = ms(recorded.at);
    let start = end.saturating_sub_unsigned(duration);
    event.with("start_time", start).with("end_time", end).with("duration", duration)
}

/// What was decided: the profile `security_control`.
fn control(event: Object, Happened { how, .. }: Happened, recorded: &Recorded) -> Object {
    let decided = match how {
        How::Allowed if recorded.myelin.would_deny.is_some() => Some((3, 15)), // Observed, Detected
        How::Allowed => Some((1, 1)),                                          // Allowed
        How::Denied => Some((2, 2)),                                           // Denied, Blocked
        How::Refused => Some((2, 25)),                                         // Rejected
        How::Withdrawn => Some((2, 24)),                                       // Access Revoked
        How::Ended | How::Done => None,
    };
    let policy = recorded.rule.as_ref().map(|rule| {
        Object::new()
            .with("uid", rule.name.as_str())
            .with("name", rule.name.as_str())
            .maybe("version", Some(rule.version.as_str()))
    });
    event
        .maybe("action_id", decided.map(|(action, _)| action))
        .maybe("disposition_id", decided.map(|(_, disposition)| disposition))
        .maybe("policy", policy)
}

fn network(event: Object, class: Class, recorded: &Recorded) -> Object {
    let outbound = recorded.is_outbound();
    let connection = Object::new()
        .maybe("uid", recorded.myelin.connection.as_deref())
        .with("direction_id", if outbound { 2 } else { 1 })
        .with("protocol_name", "tcp");
    let event = event
        .maybe(
            "src_endpoint",
            endpoint(recorded.source.as_ref(), !outbound, recorded).unless_empty(),
        )
        .maybe(
            "dst_endpoint",
            endpoint(recorded.destination.as_ref(), outbound, recorded).unless_empty(),
        )
        .with("connection_info", connection)
        .maybe("app_protocol_name", protocol(recorded).filter(|protocol| *protocol != "tcp"))
        .maybe("tls", tls(recorded))
        .maybe("traffic", traffic(recorded));
    if class == HTTP { http(event, recorded) } else { event }
}

/// A side; the peer's has who it proved to be, ours the listener.
fn endpoint(side: Option<&RecordedSide>, is_peer: bool, recorded: &Recorded) -> Object {
    let seen = &recorded.myelin;
    let named = |name: &Option<String>, yes: bool| name.clone().filter(|_| yes);
    Object::new()
        .maybe("ip", side.and_then(|side| side.ip).map(|ip| ip.to_string()))
        .maybe("port", side.and_then(|side| side.port))
        .maybe("uid", named(&seen.identity, is_peer))
        .maybe("name", named(&seen.peer, is_peer))
        .maybe("svc_name", named(&seen.listener, !is_peer))
        .maybe("hostname", named(&seen.endpoint, is_peer).map(|name| host(&name).to_owned()))
}

/// The host of `host:port`.
fn host(endpoint: &str) -> &str {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn tls(recorded: &Recorded) -> Option<Object> {
    let certificate = recorded.presented().and_then(certificate);
    if recorded.tls.version.is_none() && certificate.is_none() {
        return None;
    }
    let version = recorded.tls.version.as_deref().unwrap_or("Unknown"); // of a refused handshake
    Some(
        Object::new()
            .with("version", version)
            .maybe("cipher", recorded.tls.cipher.as_deref())
            .maybe("sni", recorded.server_name())
            .maybe("certificate", certificate),
    )
}

fn certificate(presented: &RecordedCertificate) -> Option<Object> {
    let RecordedCertificate { issuer, x509, .. } = presented;
    if issuer.is_empty() || x509.serial_number.is_empty() {
        return None; // the schema demands both
    }
    let sans: Vec<Json> = x509
        .alternative_names
        .iter()
        .filter_map(|name| name.split_once(':'))
        .map(|(kind, name)| Object::new().with("name", name).with("type", kind).into())
        .collect();
    let digest = fingerprint(&presented.hash.sha256.to_lowercase());
    Some(
        Object::new()
            .maybe("subject", Some(presented.subject.as_str()))
            .with("issuer", issuer.as_str())
            .with("serial_number", x509.serial_number.as_str())
            .maybe("created_time", presented.not_before.map(ms))
            .maybe("expiration_time", presented.not_after.map(ms))
            .with("fingerprints", vec![Json::from(digest)])
            .maybe("sans", (!sans.is_empty()).then_some(sans)),
    )
}

fn fingerprint(digest: &str) -> Object {
    Object::new().with("algorithm_id", SHA256).with("value", digest)
}

/// Out is from source to destination, in is back.
fn traffic(recorded: &Recorded) -> Option<Object> {
    let bytes = |side: &Option<RecordedSide>| side.as_ref().and_then(|side| side.bytes);
    let (out, back) = (bytes(&recorded.source)?, bytes(&recorded.destination)?);
    let all = out.saturating_add(back);
    Some(Object::new().with("bytes_out", out).with("bytes_in", back).with("bytes", all))
}

fn http(event: Object, recorded: &Recorded) -> Object {
    let request = recorded.http.as_ref().map(|http| {
        let url = recorded.url.as_ref().map(|url| Object::new().with("path", url.path.as_str()));
        Object::new()
            .with("http_method", http.request.method.as_str())
            .maybe("version", Some(http.version.as_str()))
            .maybe("uid", http.request.id.as_deref())
            .maybe("url", url)
    });
    let response = status(recorded).map(|code| Object::new().with("code", code));
    event.maybe("http_request", request).maybe("http_response", response)
}

/// What is left of `myelin`, with the trace's id.
fn unmapped(line: &[u8]) -> Object {
    let mut fields: Map<String, Json> = serde_json::from_slice(line).unwrap_or_default();
    let mut take = |name| match fields.shift_remove(name) {
        Some(Json::Object(object)) => object,
        _ => Map::new(),
    };
    let (mut ours, mut trace, mut observer) = (take("myelin"), take("trace"), take("observer"));
    ours.retain(|name, _| !MAPPED.contains(&name.as_str()));
    Object::from(ours)
        .maybe("trace", trace.shift_remove("id"))
        .maybe("hostname", observer.shift_remove("hostname"))
}

fn ms(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::forms::fixture::recorded;

    fn told(event: &str, beside: &str, myelin: &str) -> Json {
        let (line, recorded) = recorded(event, beside, myelin);
        let mut out = Vec::new();
        tell(&line, &recorded, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    const INGRESS: &str = r#""network":{"direction":"ingress"},"#;

    #[test]
    fn what_was_decided_is_told_apart_from_what_was_only_observed() {
        let ids = |action: &str, myelin: &str| {
            let told = told(&format!(r#"{{"action":"{action}"}}"#), INGRESS, myelin);
            (told["type_uid"].clone(), told["action_id"].clone(), told["disposition_id"].clone())
        };

        assert_eq!(ids("connection-allowed", ""), (400_101.into(), 1.into(), 1.into()));
        assert_eq!(
            ids("connection-allowed", r#""would_deny":"not_listed""#),
            (400_101.into(), 3.into(), 15.into())
        );
        assert_eq!(ids("connection-refused", ""), (400_104.into(), 2.into(), 25.into()));
        assert_eq!(ids("connection-denied", ""), (400_105.into(), 2.into(), 2.into()));
        assert_eq!(ids("connection-withdrawn", ""), (400_103.into(), 2.into(), 24.into()));
        assert_eq!(ids("connection-closed", ""), (400_102.into(), Json::Null, Json::Null));
        assert_eq!(ids("message-denied", ""), (400_106.into(), 2.into(), 2.into()));
        assert_eq!(ids("sidecar-started", ""), (600_203.into(), Json::Null, Json::Null));
        assert_eq!(ids("sidecar-stopped", ""), (600_204.into(), Json::Null, Json::Null));
        assert_eq!(ids("recording-started", ""), (600_299.into(), Json::Null, Json::Null));
    }

    #[test]
    fn an_ending_has_its_times_in_milliseconds_and_its_bytes_by_direction() {
        let told = told(
            r#"{"action":"connection-closed","outcome":"success","duration":5000000}"#,
            r#""network":{"direction":"egress"},"source":{"bytes":10},"destination":{"ip":"10.0.0.9","port":8443,"bytes":20},"#,
            r#""listener":"to-lab","peer":"lab","endpoint":"lis.example:8443""#,
        );

        assert_eq!(
            (&told["duration"], &told["end_time"]),
            (&5.into(), &1_795_327_921_123_i64.into())
        );
        assert_eq!(told["start_time"], 1_795_327_921_118_i64);
        assert_eq!(
            (&told["traffic"]["bytes_out"], &told["traffic"]["bytes_in"]),
            (&10.into(), &20.into())
        );
        assert_eq!(told["dst_endpoint"]["hostname"], "lis.example");
        assert_eq!(told["dst_endpoint"]["name"], "lab");
        assert_eq!(told["src_endpoint"]["svc_name"], "to-lab");
        assert_eq!(told["connection_info"]["direction_id"], 2);
    }

    #[test]
    fn what_has_no_name_in_the_class_is_kept_as_the_trail_has_it() {
        let told = told(
            r#"{"action":"message-allowed"}"#,
            r#""network":{"direction":"ingress","protocol":"mllp"},"trace":{"id":"4b"},"#,
            r#""listener":"adt","identity":"x","hl7":{"type":"ADT^A01","sending":{"application":"LIS","facility":""}}"#,
        );

        assert_eq!(told["unmapped"]["hl7"]["type"], "ADT^A01");
        assert_eq!(told["unmapped"]["trace"], "4b");
        assert_eq!(told["unmapped"].get("identity"), None);
        assert_eq!(told["app_protocol_name"], "mllp");
    }
}
