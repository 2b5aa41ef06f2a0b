//! A collector of OpenTelemetry traces that nobody here wrote the words of.

use serde_json::Value;

use super::mesh::{Mesh, Setup};
use super::process::{Process, free_port, loopback};
use super::{eventually, python};

/// The collector, by the published protobuf of OpenTelemetry, over mutual TLS.
pub(crate) struct Collector {
    pub(crate) port: u16,
    process: Process,
}

/// A span as the collector has it.
#[derive(Debug, Clone)]
pub(crate) struct Span(pub(crate) Value);

impl Collector {
    /// One that speaks `grpc` or `http`, in a mode of `tests/peers/otlp_peer.py`.
    pub(crate) async fn start(mesh: &Mesh, protocol: &str, mode: &str) -> Self {
        let (port, own) = (free_port(), mesh.pem("localhost"));
        let args = [protocol, &port.to_string(), own.dir().to_str().unwrap(), mode];
        let packages = "grpc, opentelemetry.proto, opentelemetry.semconv";
        let mut process = Process::start(&mut python::peer("otlp_peer", packages, &args));
        process.says("listening ").await;
        process.listens(loopback(port)).await;
        Self { port, process }
    }

    /// All spans that it has, of which none says what OpenTelemetry does not know.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let text = self.process.output();
        let lines = text.lines().filter_map(|line| line.strip_prefix("span "));
        let spans = lines.filter_map(|line| serde_json::from_str(line).ok()).map(Span);
        spans.inspect(|span| assert_eq!(span.0["unknown"], Value::Array(Vec::new()))).collect()
    }

    /// So many spans of `trace`, in the order in which they lie below each other, and those beside each other by time.
    pub(crate) async fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        let mut spans = eventually(&format!("{count} spans of {trace}"), || async {
            let mut spans = self.spans();
            spans.retain(|span| span.text("trace") == trace);
            (spans.len() >= count).then_some(spans)
        })
        .await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        let all = spans.clone();
        let depth = |span: &Span| {
            let above =
                |span: &Span| all.iter().find(|other| other.text("id") == span.text("parent"));
            std::iter::successors(above(span), |span| above(span)).count()
        };
        spans.sort_by_key(|span| (depth(span), span.0["from"].as_u64()));
        spans
    }

    /// What it said.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }
}

impl Span {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    /// An attribute; `null` if there is none.
    pub(crate) fn says(&self, attribute: &str) -> &Value {
        &self.0["attributes"][attribute]
    }

    /// `server` or `client`.
    pub(crate) fn kind(&self) -> &str {
        match self.0["kind"].as_u64() {
            Some(2) => "server",
            Some(3) => "client",
            other => panic!("{other:?}"),
        }
    }
}

impl Setup {
    /// The same, traced so.
    pub(crate) fn traced(self, collector: &Collector, more: &str) -> Self {
        let port = collector.port;
        self.file(&format!(
            "telemetry: {{ traces: {{ endpoint: \"https://localhost:{port}\", {more} }} }}"
        ))
    }
}
