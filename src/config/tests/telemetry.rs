//! What goes out for who looks at how things run.

use super::{HEAD, parse, screen};
use crate::config::{OtlpProtocol, Sample, Share, TraceSettings};

fn traces(text: &str) -> Option<TraceSettings> {
    parse(&format!("{HEAD}telemetry: {{{text}}}\n")).unwrap().traces
}

#[test]
fn nothing_is_traced_unless_the_file_says_so() {
    assert_eq!(parse(HEAD).unwrap().traces, None);
    assert_eq!(traces(""), None);
}

#[test]
fn spans_go_where_their_protocol_has_them_and_as_many_as_the_file_says() {
    let grpc = traces("traces: {endpoint: 'https://otel.example:4317', sample: 0.25}").unwrap();
    let http =
        traces("traces: {endpoint: 'http://127.0.0.1:4318', protocol: http, sample: parent}");
    let http = http.unwrap();

    let service = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(grpc.endpoint, *format!("https://otel.example:4317/{service}"));
    assert_eq!(grpc.sample, Sample::Share(Share::new(0.25).unwrap()));
    assert_eq!((grpc.protocol, grpc.trust_bundle), (OtlpProtocol::Grpc, None));
    assert_eq!(http.endpoint, "http://127.0.0.1:4318/v1/traces");
    assert_eq!(http.sample, Sample::Parent);
}

#[test]
fn spans_leave_the_machine_by_tls_and_nobody_guesses_how_many() {
    let screen = screen(
        &[HEAD, "telemetry:\n  traces: {endpoint: \"http://otel.example\", sample: 2}\n"].concat(),
    );
    let missing = super::screen(
        &[HEAD, "telemetry:\n  traces: {endpoint: \"https://otel.example:4317\"}\n"].concat(),
    );

    assert!(
        screen.contains(
            "`endpoint: http://otel.example` is http, and whom we talk to would go in the clear"
        ),
        "{screen}"
    );
    assert!(
        screen.contains("`sample: 2` is no share from 0 to 1, nor `parent`")
            && screen.contains("0.01 traces one in a hundred"),
        "{screen}"
    );
    assert!(missing.contains("sample"), "{missing}");
}
