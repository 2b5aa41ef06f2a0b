//! SOAP routes: services dispatch on what a message begins with, so that is held against the claimed action
//! before anything reaches the workload.

use crate::http_bodies::curl;
use crate::support::http::{ByHand, PeerWire};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::process::run;
use crate::support::trail::Record;

const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
const PDQ: &str = "urn:hl7-org:v3:PRPA_IN201305UV02";
/// A body that ITI-47 may have, and one that says to revise a patient.
const FIND: &str = "<f:PRPA_IN201305UV02 xmlns:f=\"urn:hl7-org:v3\">PQ4711</f:PRPA_IN201305UV02>";
const REVISE: &str = "<f:PRPA_IN201302UV02 xmlns:f=\"urn:hl7-org:v3\">PQ4711</f:PRPA_IN201302UV02>";
const XML: &str = "text/xml; charset=utf-8";

const ROUTES: &str = r#"routes:
      - { name: pdq, methods: [POST], path: /pdq, ihe: ITI-47, allow: [web] }
      - { name: archive, path: /archive, ihe: [ITI-18, ITI-41], allow: [web] }
      - { name: other, path: /other, allow: [web] }"#;

fn ehr(mesh: &Mesh, target: &str) -> Setup {
    mesh.inbound("ehr").allow("web").http().phi().forward(target).with(ROUTES)
}

fn envelope(header: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"{SOAP11}\" \
         xmlns:a=\"http://www.w3.org/2005/08/addressing\">{header}<s:Body>{body}</s:Body></s:Envelope>"
    )
}

/// A request to /pdq that claims to be ITI-47.
fn claims_pdq(kind: &str, more: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("SOAPAction: \"{PDQ}\"\r\nContent-Type: {kind}\r\n{more}");
    request("/pdq", &head, body)
}

fn request(path: &str, head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: ehr\r\n{head}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body.as_ref()].concat()
}

/// The status that `request` gets on a connection of its own.
async fn status(mesh: &Mesh, ehr: &Running, request: impl AsRef<[u8]>) -> u16 {
    let mut web = mesh.http("web", ehr).await;
    web.try_send(request).await;
    web.message().await.status()
}

/// What is on record of a request that was denied and never arrived.
async fn denied(request: impl AsRef<[u8]>) -> Record {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;

    assert_eq!(status(&mesh, &ehr, request).await, 403);

    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(workload.connections(), 0, "{denied:?}");
    let told = ehr.trail().text() + &ehr.page("/denials").await.body;
    assert!(!told.contains("PQ4711") && !told.contains("Meier"), "{told}");
    denied
}

/// The words for a request that was denied for its message.
async fn mismatch(request: impl AsRef<[u8]>) -> String {
    let denied = denied(request).await;
    assert_eq!(denied.reason(), "soap_mismatch");
    assert_eq!(denied.text("rule.name"), "ehr/pdq");
    assert_eq!(denied.text("url.path"), "/pdq");
    format!("{}: {}", denied.text("myelin.differs"), denied.text("myelin.nearest"))
}

#[tokio::test]
async fn a_message_that_is_what_it_claims_arrives_as_it_is() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    let message = envelope("", FIND);

    web.send(claims_pdq(XML, "", &message)).await;
    assert_eq!(web.message().await.status(), 200);
    // On the same connection, in an envelope of SOAP 1.2, and with no content type of that.
    let message12 = message.replace(SOAP11, SOAP12);
    let kind = format!("Content-Type: application/soap+xml; action=\"{PDQ}\"\r\n");
    web.send(request("/pdq", &kind, &message12)).await;
    assert_eq!(web.message().await.status(), 200);

    let asked = workload.asked();
    assert_eq!(asked[0].body, message.as_bytes());
    assert_eq!(asked[0].head.header("content-length"), Some(&*message.len().to_string()));
    assert_eq!(asked[0].head.exact("SOAPAction"), Some(&*format!("\"{PDQ}\"")));
    assert_eq!(asked[1].body, message12.as_bytes());
    let allowed = ehr.trail().wait_for("request-allowed", 2).await;
    for record in allowed {
        assert_eq!(record.text("rule.name"), "ehr/pdq");
        assert_eq!(record.text("myelin.soap.action"), PDQ);
        assert_eq!(record.text("myelin.soap.ihe"), "ITI-47");
    }
    assert!(!ehr.trail().text().contains("PQ4711"));
}

#[tokio::test]
async fn a_message_that_is_something_else_never_arrives() {
    let told = mismatch(claims_pdq(XML, "", envelope("", REVISE))).await;
    assert!(told.starts_with("soap_body: "), "{told}");
    assert!(told.contains("wants {urn:hl7-org:v3}PRPA_IN201305UV02"), "{told}");
    assert!(told.contains("begins with `PRPA_IN201302UV02`"), "{told}");

    let action = "<s:Header><a:Action>urn:hl7-org:v3:PRPA_IN201302UV02</a:Action></s:Header>";
    let told = mismatch(claims_pdq(XML, "", envelope(action, FIND))).await;
    assert!(told.starts_with("soap_action: ") && told.contains("PRPA_IN201302UV02"), "{told}");

    let told = mismatch(claims_pdq(XML, "", envelope("", ""))).await;
    assert!(told.ends_with("the body is empty"), "{told}");
}

#[tokio::test]
async fn tricks_with_prefixes_comments_and_text_lead_nowhere() {
    let hidden = format!("<s:Header><x><s:Body>{FIND}</s:Body></x></s:Header>");
    let shadow = format!("<s:Header xmlns:t=\"{SOAP11}\"><t:Body>{FIND}</t:Body></s:Header>");
    let foreign = format!("<o:Body xmlns:o=\"urn:x\">{FIND}</o:Body>");
    for (header, body) in [
        (&*hidden, REVISE),
        (&*shadow, REVISE),
        (&*foreign, REVISE),
        ("", &*format!("<!-- {FIND} -->{REVISE}")),
        ("", &*format!("<![CDATA[{FIND}]]>{REVISE}")),
        ("", &*format!("<Other xmlns=\"urn:x\" name=\"Meier\">{FIND}</Other>")),
        ("", "<PRPA_IN201305UV02.x/>"),
        ("", "<PRPA_IN201305UV02/>"),
        ("", "<PRPA_IN201305UV02 xmlns=\"urn:other\">PQ4711</PRPA_IN201305UV02>"),
    ] {
        let told = mismatch(claims_pdq(XML, "", envelope(header, body))).await;
        assert!(told.starts_with("soap_body: "), "{header}{body}: {told}");
    }
    let elsewhere = envelope("", FIND).replace(SOAP11, "http://schemas.xmlsoap.org/soap/envelope");
    let told = mismatch(claims_pdq(XML, "", elsewhere)).await;
    assert!(told.ends_with("no SOAP envelope"), "{told}");
}

#[tokio::test]
async fn what_two_parsers_read_in_two_ways_is_not_read_at_all() {
    let good = envelope("", FIND);
    let bare = good.replace("<?xml version=\"1.0\"?>\n", "");
    let bomb = "<!DOCTYPE x [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\">]>";
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (kind, more, body, why) in [
        (XML, "", [bomb, &bare].concat().into_bytes(), "document type"),
        (XML, "", format!("<?x y?>{bare}").into_bytes(), "processing instruction"),
        (XML, "", wide.clone(), "not UTF-8"),
        ("text/xml; charset=utf-16", "", wide, "character set"),
        (XML, "Content-Encoding: gzip\r\n", good.clone().into_bytes(), "compressed"),
        ("application/json", "", good.clone().into_bytes(), "content type"),
        (XML, "", good[..good.find("<f:").unwrap() + 5].into(), "ends before"),
        (XML, "", envelope(&format!("<s:Header>{}", "<x>".repeat(100)), FIND).into(), "deeper"),
    ] {
        let told = mismatch(claims_pdq(kind, more, body)).await;
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[tokio::test]
async fn claims_that_contradict_each_other_are_none() {
    let good = envelope("", FIND);
    let twice = format!("SOAPAction: {PDQ}\r\nSOAPAction: {PDQ}\r\nContent-Type: {XML}\r\n");
    let differ =
        format!("SOAPAction: urn:x\r\nContent-Type: application/soap+xml; action=\"{PDQ}\"\r\n");
    for (head, path, why) in [
        (&twice, "/pdq", "repeated"),
        (&differ, "/pdq", "different actions"),
        (&twice, "/other", "repeated"),
    ] {
        let denied = denied(request(path, head, &good)).await;
        assert_eq!(denied.reason(), "soap_mismatch");
        assert_eq!(denied.text("myelin.differs"), "soap_action");
        assert!(denied.text("myelin.nearest").contains(why), "{denied:?}");
    }
}

#[tokio::test]
async fn who_claims_nothing_is_no_soap_client() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let kind = format!("Content-Type: {XML}\r\n");

    let silent = request("/pdq", &kind, envelope("", FIND));
    assert_eq!(status(&mesh, &ehr, silent).await, 403);
    let none = request("/pdq", &format!("SOAPAction: \"\"\r\n{kind}"), envelope("", FIND));
    assert_eq!(status(&mesh, &ehr, none).await, 403);
    // A route that asks for no action takes SOAP as it takes everything else.
    let other = request("/other", &format!("SOAPAction: urn:x\r\n{kind}"), "no envelope");
    assert_eq!(status(&mesh, &ehr, other).await, 200);

    let denied = ehr.trail().wait_for("request-denied", 2).await;
    for record in denied {
        assert_eq!(record.reason(), "no_route");
        assert_eq!(record.text("myelin.differs"), "soap_action");
    }
    assert_eq!(workload.only().body, b"no envelope");
}

#[tokio::test]
async fn headers_may_be_as_large_as_64_kib() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let signed = |bytes: usize| {
        let token = "A".repeat(bytes);
        envelope(&format!("<s:Header><w xmlns=\"urn:wsse\">{token}</w></s:Header>"), FIND)
    };

    let large = signed(63 * 1024);
    assert_eq!(status(&mesh, &ehr, claims_pdq(XML, "", &large)).await, 200);
    assert_eq!(workload.only().body, large.as_bytes());
    assert_eq!(status(&mesh, &ehr, claims_pdq(XML, "", signed(64 * 1024))).await, 403);

    let denied = ehr.trail().only("request-denied").await;
    assert!(denied.text("myelin.nearest").contains("64 KiB"), "{denied:?}");
}

#[tokio::test]
async fn attachments_follow_the_message_that_they_belong_to() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let action = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b";
    let kind = format!(
        "Content-Type: multipart/related; boundary=\"uuid:1\"; type=\"application/xop+xml\"; \
         start=\"<root>\"; start-info=\"application/soap+xml\"; action=\"{action}\"\r\n"
    );
    let parts = |body: &str| {
        let message = envelope("", body).replace(SOAP11, SOAP12);
        let document = "PQ4711".repeat(50_000);
        format!(
            "\r\n--uuid:1\r\nContent-Type: application/xop+xml; charset=UTF-8; \
             type=\"application/soap+xml\"\r\nContent-Transfer-Encoding: binary\r\n\
             Content-ID: <root>\r\n\r\n{message}\r\n--uuid:1\r\nContent-ID: <doc>\r\n\r\n\
             {document}\r\n--uuid:1--\r\n"
        )
    };

    let good = parts("<ProvideAndRegisterDocumentSetRequest xmlns=\"urn:ihe:iti:xds-b:2007\"/>");
    assert_eq!(status(&mesh, &ehr, request("/archive", &kind, &good)).await, 200);
    assert!(workload.only().body == good.as_bytes());
    let evil = parts("<RemoveObjectsRequest xmlns=\"urn:ihe\"/>");
    assert_eq!(status(&mesh, &ehr, request("/archive", &kind, &evil)).await, 403);
    let swapped = good.replace("<root>", "<else>");
    assert_eq!(status(&mesh, &ehr, request("/archive", &kind, &swapped)).await, 403);

    assert_eq!(workload.asked().len(), 1);
    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.text("myelin.soap.ihe"), "ITI-41");
}

#[tokio::test]
async fn nothing_arrives_before_the_message_has_begun() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = ehr(&mesh, &workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    let message = envelope("", FIND);
    let head = format!(
        "POST /pdq HTTP/1.1\r\nHost: ehr\r\nSOAPAction: {PDQ}\r\nContent-Type: {XML}\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );

    web.send(head).await;
    // The body is wanted by the sidecar, and nobody else has been asked.
    assert_eq!(web.head().await.status(), 100);
    assert!(ehr.trail().all("request-allowed").is_empty());
    let (mut sent, mut bytes) = (0, message.bytes());
    while !message[..sent].ends_with("<s:Body>") {
        web.send([bytes.next().unwrap()]).await;
        sent += 1;
    }
    assert!(ehr.trail().all("request-allowed").is_empty());
    web.send(&message[sent..]).await;

    let mut call = workload.accept().await;
    let asked = call.message().await;
    assert_eq!(ehr.trail().all("request-allowed").len(), 1);
    assert_eq!(asked.head.header("expect"), None);
    assert_eq!(asked.body, message.as_bytes());
    call.send(ok("found")).await;
    assert_eq!(web.message().await.text(), "found");
}

#[tokio::test]
async fn chunks_of_one_byte_come_to_the_same() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let chunked = |message: &str| {
        let head = format!(
            "POST /pdq HTTP/1.1\r\nHost: ehr\r\nSOAPAction: {PDQ}\r\nContent-Type: {XML}\r\n\
             Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let chunk = |byte: u8| [b"1\r\n", &[byte][..], b"\r\n"].concat();
        let chunks: Vec<u8> = message.bytes().flat_map(chunk).collect();
        [head.as_bytes(), &chunks, b"0\r\nX-Sum: 1\r\n\r\n"].concat()
    };

    assert_eq!(status(&mesh, &ehr, chunked(&envelope("", FIND))).await, 200);
    assert_eq!(status(&mesh, &ehr, chunked(&envelope("", REVISE))).await, 403);

    let asked = String::from_utf8(workload.only().body).unwrap();
    let (chunks, trailers) = asked.rsplit_once("\r\n0\r\n").unwrap();
    assert_eq!(trailers.to_lowercase(), "x-sum: 1\r\n\r\n");
    let data: String = chunks.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(data, envelope("", FIND));
}

#[tokio::test]
async fn a_message_that_does_not_begin_in_time_is_denied() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target()).limits("header_timeout: 1s");
    let ehr = setup.start().await;
    let mut web: PeerWire = mesh.http("web", &ehr).await;

    let whole = claims_pdq(XML, "", envelope("", FIND));
    web.send(&whole[..whole.len() - 120]).await;
    assert_eq!(web.message().await.status(), 403);

    let denied = ehr.trail().only("request-denied").await;
    assert!(denied.text("myelin.nearest").contains("`header_timeout`"), "{denied:?}");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn who_goes_away_before_the_message_has_begun_is_on_record_too() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let mut web = mesh.http("web", &ehr).await;
    let whole = claims_pdq(XML, "", envelope("", FIND));
    web.send(&whole[..whole.len() - 120]).await;
    drop(web);

    let denied = ehr.trail().wait_for("request-denied", 1).await;
    assert_eq!(denied[0].reason(), "soap_mismatch");
    assert_eq!(denied[0].text("myelin.soap.ihe"), "ITI-47");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn http_2_is_looked_into_as_http_1_is() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).start().await;
    let web = mesh.pem("web");
    let path = |path: std::path::PathBuf| path.display().to_string();
    let url = format!("https://{}/pdq", ehr.address());
    let call = async |message: String| {
        let (cert, key) = (path(web.cert()), path(web.key()));
        let kind = format!("Content-Type: application/soap+xml; action=\"{PDQ}\"");
        let args = ["--http2", "-k", "--cert", &cert, "--key", &key, "-H", &kind];
        let mut curl = curl(&args);
        curl.args(["-w", "%{http_version} %{http_code}", "-o", "/dev/null", "-d", &message, &url]);
        run(&mut curl, "").await.stdout
    };

    let message = envelope("", FIND).replace(SOAP11, SOAP12);
    assert_eq!(call(message.clone()).await, "2 200");
    assert_eq!(call(message.replace("305UV02", "302UV02")).await, "2 403");

    assert!(workload.only().body.ends_with(b"</s:Envelope>"));
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "soap_mismatch");
}

#[tokio::test]
async fn while_policy_is_observed_a_mismatch_passes_and_is_told() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target()).with("enforce: false");
    let ehr = setup.with("until: 2090-01-01").start().await;
    let message = envelope("", REVISE);

    assert_eq!(status(&mesh, &ehr, claims_pdq(XML, "", &message)).await, 200);

    assert_eq!(workload.only().body, message.as_bytes());
    let allowed = ehr.trail().only("request-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "soap_mismatch");
    assert_eq!(allowed.text("myelin.differs"), "soap_body");
}
