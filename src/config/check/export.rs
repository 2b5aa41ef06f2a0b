//! Where the trail goes out to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;

use super::identity::url::{self, base, is_bare, is_https};
use super::only::only;
use crate::config::address::endpoint;
use crate::config::keys::{self, Section};
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Located, Reader, located, one};
use crate::config::scalar::{choice, count, duration, flag, name};
use crate::config::yaml::Node;
use crate::config::{
    Endpoint, ExportFeed, ExportSettings, ExportTo, FhirExport, OtlpExport, OtlpProtocol, Sample,
    Share, SyslogExport, SyslogFormat, TraceSettings,
};
use crate::network::is_local;

/// What was sent by syslog counts as delivered after so long when the file does not say.
const CONFIRM: Duration = Duration::from_secs(60);
/// Most events in one request when the file does not say.
const BATCH: u64 = 100;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const FEEDS: &[(&str, ExportFeed)] =
    &[("all", ExportFeed::All), ("failures", ExportFeed::Failures)];

/// `audit.export`
pub(super) fn all(reader: &Reader<'_>, node: &Node) -> Option<Vec<ExportSettings>> {
    let read = reader.list(node, item)?;
    let mut before: Vec<&Located<Arc<str>>> = Vec::new();
    let mut twice = false;
    for (name, _) in &read {
        if let Some(first) = before.iter().find(|other| other.value == name.value) {
            let text = format!("a second export is named {}", quoted(&name.value));
            let hint = format!("give each a `name`: the first is {}", first.parent());
            reader.error(name.at(), Fault::new(text).hint(hint));
            twice = true;
        }
        before.push(name);
    }
    (!twice).then(|| read.into_iter().map(|(_, settings)| settings).collect())
}

/// An item: one key, which says how.
fn item(reader: &Reader<'_>, node: &Node) -> Option<(Located<Arc<str>>, ExportSettings)> {
    let mut fields = Fields::open(reader, node, &keys::EXPORT)?;
    let kinds = keys::EXPORT.keys;
    let one_kind = ("an export has one receiver", "make it another item of the list");
    let read = only(reader, &mut fields, kinds, one_kind, |reader, kind, node| match kind {
        "syslog" => syslog(reader, kind, node),
        "fhir" => fhir(reader, kind, node),
        _ => otlp(reader, kind, node),
    });
    let at = fields.at();
    let unknown = fields.finish();
    read.or(|| {
        if unknown == 0 {
            let fault = Fault::new("this export names no receiver");
            reader.error(at, fault.hint(format!("add one of {}", kinds.join(", "))));
        }
    })
}

/// What all kinds share.
struct Shared {
    name: Option<Located<Arc<str>>>,
    feed: Option<ExportFeed>,
    trust_bundle: Option<Option<std::path::PathBuf>>,
    keep_undelivered: Option<bool>,
}

impl Shared {
    fn read<'f>(fields: &mut Fields<'f, '_>, kind: &str) -> Self {
        let given = fields.optional("name", located(|text| name(text).map(Into::into)));
        // Without a name it goes by its kind.
        let name = given.map(|given| {
            given.unwrap_or_else(|| fields.at().called(kind).holding(Arc::from(kind)))
        });
        Self {
            name,
            feed: fields.or("feed", ExportFeed::All, one(choice(FEEDS, &[]))),
            trust_bundle: fields.optional("trust_bundle", Reader::path),
            keep_undelivered: fields.or("keep_undelivered", true, one(flag)),
        }
    }

    fn with(self, to: ExportTo) -> Option<(Located<Arc<str>>, ExportSettings)> {
        let name = self.name?;
        let settings = ExportSettings {
            name: Arc::clone(&name.value),
            feed: self.feed?,
            trust_bundle: self.trust_bundle?,
            keep_undelivered: self.keep_undelivered?,
            to,
        };
        Some((name, settings))
    }
}

/// `syslog`
fn syslog(
    reader: &Reader<'_>,
    kind: &str,
    node: &Node,
) -> Option<(Located<Arc<str>>, ExportSettings)> {
    const FORMATS: &[(&str, SyslogFormat)] =
        &[("atna", SyslogFormat::Atna), ("json", SyslogFormat::Json)];
    static SECTION: &Section = &keys::SYSLOG;
    let mut fields = Fields::open(reader, node, SECTION)?;
    let shared = Shared::read(&mut fields, kind);
    let address = fields.required("address", located(endpoint));
    let format = fields.required("format", one(choice(FORMATS, &[])));
    let plaintext = fields.optional("plaintext", located(flag));
    let confirm = fields.or("confirm", CONFIRM, one(duration(SECOND..=HOUR)));
    fields.finish();
    let (address, plaintext) = (address?, plaintext?);
    let is_plain = plaintext.as_ref().is_some_and(|plaintext| plaintext.value);
    if let Some(plaintext) = plaintext.filter(|_| is_plain && !is_loopback(&address.value)) {
        let text = format!("{} would get the trail without TLS", quoted(&address.written));
        let hint = "remove `plaintext`, or send to an agent at 127.0.0.1, which sends it on by TLS";
        reader.error(plaintext.at(), Fault::new(text).hint(hint));
        return None;
    }
    shared.with(ExportTo::Syslog(SyslogExport {
        address: address.value,
        format: format?,
        plaintext: is_plain,
        confirm: confirm?,
    }))
}

/// `fhir`
fn fhir(
    reader: &Reader<'_>,
    kind: &str,
    node: &Node,
) -> Option<(Located<Arc<str>>, ExportSettings)> {
    let mut fields = Fields::open(reader, node, &keys::FHIR_EXPORT)?;
    let shared = Shared::read(&mut fields, kind);
    let url = fields.required("url", one(repository));
    let batch = fields.or("batch", BATCH, one(count(1..=500)));
    fields.finish();
    let batch = usize::try_from(batch?).unwrap_or(1);
    shared.with(ExportTo::Fhir(FhirExport { url: url?, batch }))
}

/// Where AuditEvents are created (ITI-20, RESTful).
fn repository(text: &str) -> Result<Uri, Fault> {
    const LIKE: &str = "https://arr.hospital.example/fhir/AuditEvent";
    let uri = guarded(text, LIKE, "the trail")?;
    if !uri.path().ends_with("/AuditEvent") {
        let text = text.trim_end_matches('/');
        return Err(Fault::new("does not end with /AuditEvent, where events are created")
            .quoting(format!("write {text}/AuditEvent")));
    }
    Ok(uri)
}

const PROTOCOLS: &[(&str, OtlpProtocol)] =
    &[("grpc", OtlpProtocol::Grpc), ("http", OtlpProtocol::Http)];

/// One of OTLP's signals, and where a receiver takes it.
struct Signal {
    what: &'static str,
    http: &'static str,
    grpc: &'static str,
}

const LOGS: Signal = Signal {
    what: "the trail",
    http: "/v1/logs",
    grpc: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
};
const TRACES: Signal = Signal {
    what: "whom we talk to",
    http: "/v1/traces",
    grpc: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

/// Where a receiver of OTLP is, and what it speaks.
fn receiver(fields: &mut Fields<'_, '_>, signal: &Signal) -> (Option<Uri>, Option<OtlpProtocol>) {
    let protocol = fields.or("protocol", OtlpProtocol::Grpc, one(choice(PROTOCOLS, &[])));
    let endpoint = fields.required("endpoint", one(|text| collector(text, protocol, signal)));
    (endpoint, protocol)
}

/// `otlp`
fn otlp(
    reader: &Reader<'_>,
    kind: &str,
    node: &Node,
) -> Option<(Located<Arc<str>>, ExportSettings)> {
    let mut fields = Fields::open(reader, node, &keys::OTLP)?;
    let shared = Shared::read(&mut fields, kind);
    let (endpoint, protocol) = receiver(&mut fields, &LOGS);
    let headers_file = fields.optional("headers_file", Reader::path);
    fields.finish();
    let (endpoint, protocol, headers_file) = (endpoint?, protocol?, headers_file?);
    shared.with(ExportTo::Otlp(OtlpExport { endpoint, protocol, headers_file }))
}

/// `telemetry`
pub(super) fn telemetry(reader: &Reader<'_>, node: &Node) -> Option<Option<TraceSettings>> {
    let mut fields = Fields::open(reader, node, &keys::TELEMETRY)?;
    let traces = fields.optional("traces", traces);
    fields.finish();
    traces
}

/// `telemetry.traces`
fn traces(reader: &Reader<'_>, node: &Node) -> Option<TraceSettings> {
    let mut fields = Fields::open(reader, node, &keys::TRACES)?;
    let (endpoint, protocol) = receiver(&mut fields, &TRACES);
    let sample = fields.required("sample", one(sample));
    let trust_bundle = fields.optional("trust_bundle", Reader::path);
    let headers_file = fields.optional("headers_file", Reader::path);
    fields.finish();
    Some(TraceSettings {
        endpoint: endpoint?,
        protocol: protocol?,
        sample: sample?,
        trust_bundle: trust_bundle?,
        headers_file: headers_file?,
    })
}

fn sample(text: &str) -> Result<Sample, Fault> {
    if text == "parent" {
        return Ok(Sample::Parent);
    }
    text.parse().ok().and_then(Share::new).map(Sample::Share).ok_or_else(|| {
        Fault::new("is no share from 0 to 1, nor `parent`")
            .hint("0.01 traces one in a hundred; `parent` what its caller traces")
    })
}

/// Where a signal goes to: by HTTP the path is the one of the signal unless there is one; by gRPC the service says it.
fn collector(text: &str, protocol: Option<OtlpProtocol>, signal: &Signal) -> Result<Uri, Fault> {
    const LIKE: &str = "https://otel.hospital.example:4317";
    let uri = guarded(text, LIKE, signal.what)?;
    let path = match (protocol, is_bare(&uri)) {
        (Some(OtlpProtocol::Http), false) | (None, _) => return Ok(uri),
        (Some(OtlpProtocol::Http), true) => signal.http,
        (Some(OtlpProtocol::Grpc), true) => signal.grpc,
        (Some(OtlpProtocol::Grpc), false) => {
            return Err(Fault::new("has a path, which gRPC sets by itself")
                .hint("leave it out, or write `protocol: http`"));
        }
    };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(path));
    Uri::from_parts(parts).map_err(|_impossible| Fault::new("is not a URL"))
}

/// What goes out leaves this machine by TLS alone.
fn guarded(text: &str, like: &str, what: &str) -> Result<Uri, Fault> {
    let uri = base(text, like)?;
    if !is_https(&uri) && !url::is_loopback(&uri) {
        return Err(Fault::new(format!("is http, and {what} would go in the clear"))
            .hint("use https; http is for 127.0.0.1 and [::1] alone, not for names"));
    }
    Ok(uri)
}

/// Names are not: who answers for them is not decided here.
fn is_loopback(endpoint: &Endpoint) -> bool {
    endpoint.host.parse::<IpAddr>().is_ok_and(is_local)
}
