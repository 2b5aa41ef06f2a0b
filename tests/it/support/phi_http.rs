//! Requests with a patient wherever a client may write to.

use super::phi::PATIENT;

fn head(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: ehr\r\n{more}\r\n")
}

fn post(path: &str, more: &str, body: &str) -> String {
    head(&format!("POST {path}"), &format!("{more}Content-Length: {}\r\n", body.len())) + body
}

fn soap(action: &str, element: &str, it: &str) -> String {
    let body = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header>\
         <w:Security xmlns:w=\"urn:wsse\"><w:User>{it}</w:User></w:Security></s:Header>\
         <s:Body><f:{element} xmlns:f=\"urn:hl7-org:v3\" x=\"{it}\">{it}</f:{element}></s:Body></s:Envelope>"
    );
    let kind = "Content-Type: text/xml; charset=utf-8\r\n";
    post("/pdq", &format!("SOAPAction: \"{action}\"\r\n{kind}"), &body)
}

/// Requests that pass, with `it` wherever it may stand.
pub(crate) fn allowed(it: &str) -> Vec<String> {
    let headers = [
        "Authorization: Bearer ",
        "Cookie: sid=",
        "X-Patient: ",
        "Referer: https://ehr/",
        "User-Agent: ",
        "X-Request-Id: ",
        "X-Forwarded-For: ",
        "X-Forwarded-Client-Cert: Subject=",
        "Forwarded: for=",
        "Traceparent: 00-",
        "Tracestate: a=",
        "Accept: ",
        "Origin: ",
        "From: ",
        "X-Original-Url: /",
    ];
    let headers: String = headers.iter().map(|name| format!("{name}{it}\r\n")).collect();
    let named = format!("X-{it}: {it}\r\n");
    let form = format!("name={it}&{it}=1");
    let json = format!(
        "{{\"resourceType\":\"Patient\",\"id\":\"{it}\",\"name\":[{{\"family\":\"{it}\"}}]}}"
    );
    let kind = |kind: &str| format!("Content-Type: {kind}\r\n");
    vec![
        head(&format!("GET /bills/{it}"), &headers),
        head(&format!("GET /bills/1?name={it}&{it}=1"), &named),
        head(&format!("GET /archive/{it}/{it}"), ""),
        post("/bills/1", &kind("application/x-www-form-urlencoded"), &form),
        post("/bills/1", &kind(it), &form),
        post("/bills/1", "Content-Disposition: form-data; name=\"x\"\r\n", it),
        format!(
            "{}5;{it}={it}\r\nhello\r\n0\r\nX-Sum: {it}\r\n\r\n",
            head("POST /bills/1", "Transfer-Encoding: chunked\r\n")
        ),
        head(
            "GET /bills/1",
            &format!(
                "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {it}\r\n"
            ),
        ),
        head(&format!("GET /fhir/Patient/{it}"), ""),
        head(
            &format!("GET /fhir/Patient?name={it}&identifier=urn:mrn%7C{it}&birthdate={it}&{it}=1"),
            "",
        ),
        post("/fhir/Patient", &kind("application/fhir+json"), &json),
        post("/fhir/Patient/_search", &kind("application/x-www-form-urlencoded"), &form),
        head(&format!("GET /dicom-web/studies?PatientName={it}&00100020={it}&{it}=1"), ""),
        head(&format!("GET /dicom-web/studies/1.2.{}", PATIENT[1]), ""),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "PRPA_IN201305UV02", it),
    ]
}

/// Requests that policy refuses. Names of operations and SOAP actions are told if they are words without a digit,
/// for nobody can tell those from others: here they have one.
pub(crate) fn denied(it: &str) -> Vec<String> {
    let bearer = format!("Authorization: Basic {it}\r\n");
    vec![
        head(&format!("GET /{it}"), &bearer),
        head(&format!("GET /other/{it}?name={it}"), &bearer),
        head(&format!("{it} /bills/{it}"), &bearer),
        head(&format!("DELETE /bills/{it}"), &bearer),
        head(&format!("GET /fhir/{it}"), ""),
        head(&format!("GET /fhir/{it}/{it}"), ""),
        head(&format!("GET /fhir/Observation?patient={it}&{it}=1"), ""),
        head(&format!("GET /fhir/Patient/{it}/${it}1"), ""),
        head(&format!("GET /fhir/Patient/{it}/_history/{it}"), ""),
        head(&format!("GET /fhir/Patient?_has:{it}:{it}:{it}={it}&_include={it}:{it}"), ""),
        head(&format!("GET /dicom-web/{it}"), ""),
        head(&format!("GET /dicom-web/studies/{it}/{it}"), ""),
        post(&format!("/dicom-web/studies/{it}"), &format!("Content-Type: {it}\r\n"), it),
        soap(&format!("urn:patient:{it}1"), "PRPA_IN201305UV02", it),
        soap(&format!("urn:patient: {it}"), "PRPA_IN201305UV02", it),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", &format!("PRPA_{it}"), it),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", it, it),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "PRPA_IN201302UV02", it)
            .replace("urn:hl7-org:v3", &format!("urn:{it}")),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "x", it).replace("utf-8", it),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "x", it).replace("text/xml", it),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "x", it).replace("Header>", &format!("{it}>")),
        soap("urn:hl7-org:v3:PRPA_IN201305UV02", "x", it).replace("</", &format!("<!{it} ")),
    ]
}

/// Requests that break the protocol, or say one thing in two ways.
pub(crate) fn malformed(it: &str) -> Vec<String> {
    let header = |line: String| head("GET /bills/1", &format!("{line}\r\n"));
    vec![
        head(&format!("GET /bills/{it}/../{it}"), ""),
        head(&format!("GET /bills/{it}%2f{it}"), ""),
        head(&format!("GET /bills/{it}%zz"), ""),
        head(&format!("GET /bills/{it};x={it}"), ""),
        head(&format!("GET http://{it}/bills/1"), ""),
        head(&format!("GET {it}"), ""),
        head(&format!("GET /bills/1 {it}"), ""),
        head(&format!("CONNECT {it}:443"), ""),
        head(&format!("TRACE /bills/{it}"), ""),
        format!("{it}\r\n\r\n"),
        format!("GET /bills/1 HTTP/{it}\r\nHost: ehr\r\n\r\n"),
        format!("GET /bills/{it} HTTP/1.1\r\n\r\n"),
        format!("GET /bills/1 HTTP/1.1\r\nHost: {it}@ehr\r\n\r\n"),
        header(format!("Host: {it}")),
        header(it.to_owned()),
        header(format!("X {it}: {it}")),
        header(format!(" folded {it}")),
        header(format!("X-Patient: {it}\x01{it}")),
        header(format!("Content-Length: {it}x")),
        header(format!("Transfer-Encoding: {it}")),
        header(format!("Connection: host, {it}")),
        header(format!("Content_Length: {it}")),
        header(format!("X-Patient: {}", format!("{it} ").repeat(10_000))),
        format!("{}x{it}\r\n{it}\r\n", head("POST /bills/1", "Transfer-Encoding: chunked\r\n")),
    ]
}
