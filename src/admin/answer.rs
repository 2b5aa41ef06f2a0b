//! One administrative request and its answer.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use super::{Admin, Scope, connections, page};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The Prometheus text exposition format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const FULL_INDEX: &str =
    "/live\n/ready\n/metrics\n/status\n/denials\n/observed\n/connections\n/history\n";
const PROBE_INDEX: &str = "/live\n/ready\n/metrics\n";

pub(super) async fn answer<B>(
    admin: &Admin,
    scope: Scope,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if scope == Scope::Full && !is_local(request) {
        // A page in an operator's browser could reach loopback under a name of its own (DNS rebinding).
        return reply(StatusCode::FORBIDDEN, TEXT, "ask for localhost or an IP address\n");
    }
    if let Some(probe) = admin.probes.on(request.uri().path()) {
        return workload(probe.is_up().await);
    }
    if scope == Scope::Full
        && let Some(file) = page::file(request.uri().path(), request.headers())
    {
        return file;
    }
    match (request.uri().path(), scope) {
        ("/live", _) => reply(StatusCode::OK, TEXT, "live\n"),
        ("/ready", _) => ready(admin, scope),
        ("/metrics", _) => reply(StatusCode::OK, PROMETHEUS, admin.metrics.render()),
        ("/status", Scope::Full) => json(&status(admin)),
        ("/denials", Scope::Full) => json(&Value::Array(admin.audit.denials())),
        ("/observed", Scope::Full) => json(&Value::Array(admin.audit.observed())),
        ("/connections", Scope::Full) => json(&connections::json(&admin.view.snapshot().value)),
        ("/history", Scope::Full) => history(admin, request.uri().query()),
        ("/", Scope::Full) => reply(StatusCode::OK, TEXT, index(admin, FULL_INDEX)),
        ("/", Scope::Probe) => reply(StatusCode::OK, TEXT, index(admin, PROBE_INDEX)),
        (_, Scope::Full | Scope::Probe) => reply(StatusCode::NOT_FOUND, TEXT, "no such page\n"),
    }
}

fn index(admin: &Admin, pages: &str) -> String {
    let probes = admin.probes.paths().flat_map(|path| [path, "\n"]);
    std::iter::once(pages).chain(probes).collect()
}

/// Whether the workload answers, and nothing of what it said.
fn workload(is_up: bool) -> Response<Full<Bytes>> {
    match is_up {
        true => reply(StatusCode::OK, TEXT, "up\n"),
        false => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "down\n"),
    }
}

/// Traffic should come here, or why not; the reason is for loopback only.
fn ready(admin: &Admin, scope: Scope) -> Response<Full<Bytes>> {
    let view = admin.view.snapshot();
    let trail = admin.audit.failing().map(|why| format!("audit trail: {why}"));
    match (view.value.unready().map(ToOwned::to_owned).or(trail), scope) {
        // An export that fails is in nobody's way; whoever asks on this machine is told.
        (None, Scope::Full) => {
            let failing = view.value.exports.iter().filter_map(|export| export.failing());
            let told: String = failing.map(|text| format!("{text}\n")).collect();
            reply(StatusCode::OK, TEXT, format!("ready\n{told}"))
        }
        (None, Scope::Probe) => reply(StatusCode::OK, TEXT, "ready\n"),
        (Some(why), Scope::Full) => {
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n"))
        }
        (Some(_), Scope::Probe) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
    }
}

fn status(admin: &Admin) -> Value {
    let view = admin.view.snapshot();
    let mut status = view.value.json();
    if let Some(fields) = status.as_object_mut() {
        let mut trail = serde_json::to_value(admin.audit.status()).unwrap_or(Value::Null);
        if let Some(trail) = trail.as_object_mut() {
            let exports = view.value.exports.iter().map(|export| export.json());
            trail.insert("export".to_owned(), exports.collect());
        }
        fields.insert("audit".to_owned(), trail);
    }
    status
}

/// What every listener did of late; with `since=N` what is new since an answer that had `next: N`.
fn history(admin: &Admin, query: Option<&str>) -> Response<Full<Bytes>> {
    let since = query.and_then(|query| query.strip_prefix("since=")?.parse().ok());
    let told = admin.history.json(admin.view.snapshot().value.started, since);
    reply(StatusCode::OK, JSON, format!("{told}\n"))
}

fn is_local<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
        return request.headers().get(HOST).is_none();
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn json(value: &Value) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, JSON, format!("{value:#}\n"))
}

fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
