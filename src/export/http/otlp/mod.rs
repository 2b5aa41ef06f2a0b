//! OpenTelemetry logs and traces by OTLP (specification 1.x): protobuf over HTTP, or gRPC.

mod message;
mod spans;

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use prost::Message as _;
use zeroize::Zeroizing;

use self::message::{
    ExportLogs, Exported, KeyValue, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, Value,
    value,
};
use super::{Answer, Client, Request, Verdict, refusal};
use crate::audit::Recorded;
use crate::audit::cursor::Mark;
use crate::clock;
use crate::config::OtlpProtocol;
use crate::export::dial::Dialer;
use crate::export::failure::Failure;
use crate::export::feed::Item;
use crate::outcome::Undelivered;
use crate::traces::Span;

/// Most records of one request.
pub(super) const MOST: usize = 500;
/// `SEVERITY_NUMBER_INFO`
const INFO: (i32, &str) = (9, "INFO");
/// `SEVERITY_NUMBER_WARN`
const WARN: (i32, &str) = (13, "WARN");
/// The longest file of headers, in bytes.
const HEADERS: u64 = 64 << 10;
/// Headers that are not the operator's to set: they say where a request ends, to whom it goes and what it is.
const OURS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::export) enum Signal {
    Logs,
    Traces,
}

/// How records and spans are put.
pub(in crate::export) struct Otlp {
    pub(in crate::export) endpoint: Uri,
    pub(in crate::export) protocol: OtlpProtocol,
    signal: Signal,
    resource: Resource,
}

impl Otlp {
    /// Of the service beside which this sidecar stands.
    pub(in crate::export) fn new(
        (endpoint, protocol): (Uri, OtlpProtocol),
        signal: Signal,
        service: &Arc<str>,
    ) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let attributes = vec![
            Value::Text(service.to_string()).of("service.name"),
            Value::Text(host).of("host.name"),
            Value::Whole(i64::from(std::process::id())).of("process.pid"),
        ];
        Self { endpoint, protocol, signal, resource: Resource { attributes } }
    }

    /// To put records.
    pub(super) fn request(&self, items: &[&Item]) -> Request {
        let scope = Scope::of("myelin.audit");
        let log_records = items.iter().map(|item| item.bytes.clone()).collect();
        let logs = ExportLogs {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs { scope: Some(scope), log_records }],
            }],
        };
        self.put(&logs)
    }

    /// To put spans.
    pub(in crate::export) fn spans(&self, spans: &[Span]) -> Request {
        self.put(&spans::message(spans, &self.resource))
    }

    fn put(&self, message: &impl prost::Message) -> Request {
        let (headers, body) = match self.protocol {
            OtlpProtocol::Http => {
                let kind = HeaderValue::from_static("application/x-protobuf");
                (vec![(CONTENT_TYPE, kind)], message.encode_to_vec().into())
            }
            OtlpProtocol::Grpc => {
                let kind = HeaderValue::from_static("application/grpc");
                let trailers = HeaderValue::from_static("trailers");
                (vec![(CONTENT_TYPE, kind), (TE, trailers)], framed(message))
            }
        };
        Request { url: self.endpoint.clone(), headers, body }
    }

    pub(in crate::export) fn judge(&self, answer: &Answer) -> Result<Verdict, Failure> {
        let message = match self.protocol {
            OtlpProtocol::Http if answer.status.is_success() => answer.body.clone(),
            OtlpProtocol::Http => return refusal(answer),
            OtlpProtocol::Grpc => match of_grpc(answer, self.signal)? {
                Ok(message) => message,
                Err(verdict) => return Ok(verdict),
            },
        };
        let Ok(Exported { partial_success }) = Exported::decode(message) else {
            let what = "the receiver answers with something else than OTLP has for that";
            return Err(Failure::new(Undelivered::BadAnswer, what));
        };
        Ok(match partial_success {
            // It says that they must not be sent again, and not which they are.
            Some(partial) if partial.rejected_log_records > 0 => {
                let count = partial.rejected_log_records.unsigned_abs();
                let message: String = partial.error_message.chars().take(200).collect();
                Verdict::LeftOut(count, format!("the receiver rejects them: {message:?}"))
            }
            Some(_) | None => Verdict::Taken,
        })
    }
}

impl Signal {
    fn label(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

/// One message as gRPC frames it: not compressed, its length, itself.
fn framed(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(length + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    body.put_slice(&message.encode_to_vec());
    body.freeze()
}

/// The message of a gRPC answer, or what its status means (OTLP specification, "Failures").
fn of_grpc(answer: &Answer, signal: Signal) -> Result<Result<Bytes, Verdict>, Failure> {
    if !answer.status.is_success() {
        return refusal(answer).map(Err);
    }
    let status = |headers: &HeaderMap| {
        headers.get("grpc-status").and_then(|status| status.to_str().ok()?.parse::<u32>().ok())
    };
    let Some(code) = status(&answer.trailers).or_else(|| status(&answer.headers)) else {
        let what = "the receiver does not answer in gRPC: is the port right?";
        return Err(Failure::new(Undelivered::BadAnswer, what));
    };
    let told = format!("the receiver answers with the gRPC status {code}");
    match code {
        0 => Ok(Ok(answer.body.get(5..).map(|_| answer.body.slice(5..)).unwrap_or_default())),
        // RESOURCE_EXHAUSTED, UNAVAILABLE, ABORTED, CANCELLED, DEADLINE_EXCEEDED, OUT_OF_RANGE, DATA_LOSS
        8 | 14 | 10 | 1 | 4 | 11 | 15 => Err(Failure {
            wait: answer.retry_after(),
            ..Failure::new(Undelivered::Busy, format!("{told}: it takes no {} now", signal.label()))
        }),
        // PERMISSION_DENIED, UNAUTHENTICATED
        7 | 16 => Err(Failure::new(
            Undelivered::Refused,
            format!("{told}: it has to allow this sidecar to send {}", signal.label()),
        )),
        // UNIMPLEMENTED, NOT_FOUND
        12 | 5 => Err(Failure::new(
            Undelivered::Refused,
            format!("{told}: it has no service for {} there, is the port right?", signal.label()),
        )),
        // INVALID_ARGUMENT
        3 => Ok(Err(Verdict::Refused(told))),
        _ => Err(Failure::new(Undelivered::ServerError, told)),
    }
}

/// A record as an OTLP log record: the record as its body, in a form that is searched, and as the line that it is.
pub(in crate::export) fn encode(line: &[u8], recorded: &Recorded) -> Vec<u8> {
    let (severity_number, severity_text) =
        if recorded.event.outcome == "failure" { WARN } else { INFO };
    let body = serde_json::from_slice(line).ok().and_then(|json| value(&json));
    let trace = recorded.trace.as_ref().and_then(|trace| hex::decode(&trace.id).ok());
    LogRecord {
        time_unix_nano: nanoseconds(recorded.at),
        observed_time_unix_nano: nanoseconds(clock::now()),
        severity_number,
        severity_text: severity_text.to_owned(),
        body: body.map(Value::any),
        attributes: attributes(line, recorded),
        trace_id: trace.filter(|id| id.len() == 16).unwrap_or_default(),
        event_name: recorded.event.action.clone(),
    }
    .encode_to_vec()
}

fn attributes(line: &[u8], recorded: &Recorded) -> Vec<KeyValue> {
    let sequence = i64::try_from(recorded.event.sequence).unwrap_or(i64::MAX);
    let digest = Mark::of(recorded.event.sequence, line).digest.to_string();
    vec![
        Value::Whole(sequence).of("event.sequence"),
        Value::Text(digest).of("log.record.uid"),
        // What the chain is over, byte for byte.
        Value::Text(String::from_utf8_lossy(line).into_owned()).of("log.record.original"),
    ]
}

fn nanoseconds(at: time::OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos()).unwrap_or(0)
}

/// The way to a receiver, with the headers in a file.
pub(in crate::export) fn client(
    dialer: Dialer,
    protocol: OtlpProtocol,
    headers_file: Option<PathBuf>,
) -> Client {
    let is_http2 = protocol == OtlpProtocol::Grpc;
    let secrets = headers_file.map(|path| Arc::new(move || headers(&path)) as _);
    Client { dialer, is_http2, secrets, line: None }
}

/// The headers in a file, one a line: `name: value`. Values are never told.
///
/// # Errors
///
/// The file cannot be read or is too long, others may read it, or a line is no header or one that is set here.
pub(in crate::export) fn headers(path: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let failed =
        |why: String| Failure::new(Undelivered::Unprepared, format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(failed("others may read these headers; chmod 0600 mends it".to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(HEADERS + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > HEADERS {
        return Err(failed(format!("it is longer than {HEADERS} bytes")));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let header = line.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::try_from(name.trim()).ok()?;
                let mut value = HeaderValue::try_from(value.trim()).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            });
            let number = index + 1;
            match header {
                Some((name, _)) if OURS.contains(&name.as_str()) => Err(failed(format!(
                    "line {number} sets `{name}`, which is set here; remove it"
                ))),
                Some(header) => Ok(header),
                None => Err(failed(format!("line {number} is not `name: value`"))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use http::StatusCode;

    use super::*;

    fn grpc() -> Otlp {
        let endpoint = Uri::from_static("https://otel.example/");
        Otlp::new((endpoint, OtlpProtocol::Grpc), Signal::Logs, &"ehr".into())
    }

    fn answer(status: u16, grpc: Option<&'static str>, body: Vec<u8>) -> Answer {
        let mut trailers = HeaderMap::new();
        trailers.extend(
            grpc.map(|code| {
                (HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))
            }),
        );
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.into(), trailers }
    }

    #[test]
    fn a_grpc_status_says_whether_to_try_again() {
        let judge = |code| grpc().judge(&answer(200, code, vec![0; 5]));

        assert_eq!(judge(Some("0")), Ok(Verdict::Taken));
        assert!(matches!(judge(Some("3")), Ok(Verdict::Refused(_))));
        for (code, reason) in [
            (Some("14"), Undelivered::Busy),
            (Some("16"), Undelivered::Refused),
            (Some("12"), Undelivered::Refused),
            (Some("13"), Undelivered::ServerError),
            (None, Undelivered::BadAnswer),
        ] {
            assert_eq!(judge(code).unwrap_err().reason, reason, "{code:?}");
        }
    }

    #[test]
    fn what_is_rejected_in_part_is_counted_and_not_sent_again() {
        let partial = message::PartialSuccess {
            rejected_log_records: 2,
            error_message: "too old".to_owned(),
        };
        let exported = Exported { partial_success: Some(partial) }.encode_to_vec();
        let http = Otlp { protocol: OtlpProtocol::Http, ..grpc() };

        let verdict = http.judge(&answer(200, None, exported)).unwrap();

        assert_eq!(verdict, Verdict::LeftOut(2, "the receiver rejects them: \"too old\"".into()));
    }

    #[test]
    fn headers_are_read_line_by_line_and_never_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };

        write("authorization: Bearer hunter2\n\nx-tenant: a\n", 0o600);
        assert_eq!(headers(&path).unwrap().len(), 2);
        assert!(!format!("{:?}", headers(&path)).contains("hunter2"));
        write("x-tenant: a\nhunter2\n", 0o600);
        let said = headers(&path).unwrap_err().what;
        assert!(said.ends_with("line 2 is not `name: value`"), "{said}");
        write("Content-Length: 1\n", 0o600);
        let said = headers(&path).unwrap_err().what;
        assert!(
            said.ends_with("line 1 sets `content-length`, which is set here; remove it"),
            "{said}"
        );
        write(&format!("x-tenant: {}\n", "a".repeat(64 << 10)), 0o600);
        assert!(headers(&path).unwrap_err().what.ends_with("it is longer than 65536 bytes"));
        write("x-tenant: a\n", 0o640);
        assert!(headers(&path).unwrap_err().what.contains("chmod 0600"));
    }
}
