//! Who the patient is stands in no trail, no form of it, no log, no metric, no page and no refusal, wherever
//! a client writes it: over every protocol, allowed, denied and malformed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, DnType, SanType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::client::{config, connect, connect_with};
use crate::support::dicom::{
    self, C_FIND, C_STORE, CT_IMAGE, Called, End, RELEASE_REQUEST, VERIFICATION, pdu,
};
use crate::support::h2::H2;
use crate::support::http::{Wire, plain};
use crate::support::legacy::{Legacy, ok};
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Setup, Spawned};
use crate::support::mllp::{Engine, framed};
use crate::support::openssl::SClient;
use crate::support::otlp::Collector;
use crate::support::phi::{BARE, PATIENT, Sinks, found_in};
use crate::support::phi_http::{allowed, denied, malformed};
use crate::support::pki::{Ca, Identity};
use crate::support::syslog::Kind::RsyslogOpenssl;
use crate::support::syslog::Receiver;
use crate::support::trail::Record;
use crate::support::workload::{Kind, Workload};

const ROUTES: &str = r#"routes:
      - { name: bill, methods: [GET, POST], path: "/bills/{id}", allow: [web] }
      - { name: archive, path: "/archive/{rest...}", allow: [web] }
      - { name: fhir, path: /fhir, allow: [web], fhir: { interactions: [read, search-type, create], resources: [Patient] } }
      - { name: images, path: /dicom-web, allow: [web], dicomweb: [search, retrieve] }
      - { name: pdq, methods: [POST], path: /pdq, ihe: ITI-47, allow: [web] }"#;

/// All that is done is traced.
const ALL: &str = "sample: 1";

/// The same sidecar with a key for pseudonyms, and its records going out to `receiver` in two forms.
fn telling(mesh: &Mesh, setup: Setup, receiver: &Receiver) -> Setup {
    let key = mesh.dir().join("pseudonyms.key");
    fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = setup.trail().dir().display().to_string();
    let to = format!("address: \"localhost:{}\", confirm: 1s", receiver.port);
    setup.audit(&format!(
        "dir: {dir}, pseudonyms: {{ key_file: {} }}, \
         export: [{{ syslog: {{ {to}, format: json }} }}, {{ syslog: {{ {to}, name: arr, format: atna }} }}]",
        key.display()
    ))
}

/// All that these sidecars say, in which nothing of the patient may be.
async fn know_nothing(sidecars: impl IntoIterator<Item = Spawned>) {
    for sidecar in sidecars {
        Sinks::of(sidecar, None).await.know_no_patient();
    }
}

/// Everything is traced, and nothing of the patient is in any span; there is one of this name.
fn traced_nothing(collector: &Collector, name: &str) {
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.text("name") == name), "{}", collector.output());
    let told: Vec<_> = spans.iter().filter_map(|span| found_in(&span.0.to_string())).collect();
    assert!(told.is_empty(), "spans tell of a patient:\n{}", told.join("\n"));
}

/// Says it, and reads the answer. What we refuse is refused in words of our own.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<S>, request: &str) -> u16 {
    wire.try_send(request).await;
    let answer = String::from_utf8_lossy(&wire.rest_of_one().await).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let own = status != 200;
    assert!(!own || found_in(&answer).is_none(), "{request} is answered {answer}");
    status
}

async fn peer(
    mesh: &Mesh,
    name: &str,
    to: &Spawned,
    listener: &str,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut tls = config(&mesh.pem(name));
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    connect_with(tls, to.address_of(listener), "ehr").await.unwrap().stream
}

#[tokio::test]
async fn nothing_of_a_patient_in_http_is_told_of() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| {
        let [name, number, ssn, born] = PATIENT;
        ok(&format!("{name} {number}"))
            .replace("\r\n\r\n", &format!("\r\nX-Patient: {ssn} {born}\r\n\r\n"))
    })
    .await;
    let receiver = Receiver::start(RsyslogOpenssl, &mesh.pem("localhost")).await;
    let collector = Collector::start(&mesh, "grpc", "").await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().with(ROUTES);
    let ehr = telling(&mesh, ehr.forward(workload.target()), &receiver);
    let ehr = ehr.traced(&collector, ALL).spawn_talkative().await;
    let open = mesh.inbound("open").allow("web").http().phi().with(ROUTES);
    let open = open.forward(workload.target()).permissive(FAR).with("enforce: false");
    let open = open.traced(&collector, ALL).spawn_talkative().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address());
    let web = web.traced(&collector, ALL).spawn_talkative().await;

    for it in PATIENT {
        for request in allowed(it) {
            for status in [
                ask(Wire::new(peer(&mesh, "web", &ehr, "ehr").await), &request).await,
                ask(plain(web.address()).await, &request).await,
                ask(plain(open.address()).await, &request).await,
            ] {
                assert_eq!(status, 200, "{request}");
            }
        }
        for request in denied(it).iter().chain(&malformed(it)) {
            let status = ask(Wire::new(peer(&mesh, "web", &ehr, "ehr").await), request).await;
            assert_ne!(status, 200, "{request}");
            ask(plain(web.address()).await, request).await;
            ask(plain(open.address()).await, request).await;
        }
        assert!(String::from_utf8_lossy(&workload.received()).contains(it));
    }

    Sinks::of(ehr, Some(&receiver)).await.know_no_patient();
    know_nothing([web, open]).await;
    traced_nothing(&collector, "http connection");
}

#[tokio::test]
async fn nothing_of_a_patient_in_http_2_is_told_of() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| ok(PATIENT[0])).await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().with(ROUTES);
    let ehr = ehr.forward(workload.target()).spawn_talkative().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address());
    let web = web.spawn_talkative().await;

    let direct = H2::peer(&mesh.pem("web"), &ehr).await;
    let through = H2::plain(web.address()).await;
    for it in PATIENT {
        for client in [&direct, &through] {
            assert_eq!(client.get(&format!("/bills/{it}?name={it}&{it}=1")).await.0, 200);
            for path in ["/", "/fhir/", "/fhir/Patient/1/$v1.", "/bills/1/../", "/bills/%2f"] {
                let (status, body) = client.get(&format!("{path}{it}?name={it}")).await;
                assert!(status.is_client_error() && found_in(&body).is_none(), "{status} {body}");
            }
        }
        assert!(String::from_utf8_lossy(&workload.received()).contains(it));
    }
    drop((direct, through));

    know_nothing([web, ehr]).await;
}

/// A message of this type, with `it` in every field that is somebody's.
fn message(kind: &str, it: &str) -> String {
    format!(
        "MSH|^~\\&|LIS|MAIN|EHR|WARD|20261122130000|{it}|{kind}|{it}|P^{it}|2.5.1^{it}|{it}|{it}\r\
         EVN|A01|{it}|{it}\rPID|1|{it}|{it}^^^A|{it}|{it}^ANNA|{it}|{it}|F|{it}||{it}||||||||{it}\r\
         NK1|1|{it}^{it}\rIN1|1|{it}|{it}\rOBX|1|ST|{it}^{it}||{it}\rZPD|{it}\r"
    )
}

/// What is no message, or none that anybody may send.
fn no_messages(it: &str) -> Vec<String> {
    let (good, other) = (message("ADT^A01", it), message("ORU^R01", it));
    vec![
        framed(&other),
        framed(&message(&format!("ADT^A01^{it}"), it).replace("ADT", "ORU")),
        framed(&message(&format!("{it}^{it} {it}"), it)),
        framed(&format!("PID|1||{it}\r{good}")),
        framed(&format!("MSH{it}")),
        framed(&format!("MSH|^~\\&||||||{it}")),
        framed(it),
        framed(&format!("BHS|^~\\&|LIS|MAIN|EHR|WARD|20261122|{it}|{it}|{it}|{it}\r{other}")),
        framed(&good.replace("|^~\\&|", &format!("|{it}|"))),
        format!("{it}\r"),
        format!("{it}{}", framed(&other)),
        format!("GET /{it} HTTP/1.1\r\n\r\n"),
        framed(&good).replace('\x1c', it),
        framed(&format!("{other}\x0b{good}")),
    ]
}

/// Says it, and does not wait for an answer.
async fn tell(to: SocketAddr, text: impl AsRef<[u8]>) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let _refused = stream.write_all(text.as_ref()).await;
    let _refused = stream.shutdown().await;
}

/// Says it, and reads to the end.
async fn hear(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: impl AsRef<[u8]>) -> String {
    let mut answer = Vec::new();
    let _refused = stream.write_all(text.as_ref()).await;
    let _refused = stream.shutdown().await;
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn nothing_of_a_patient_in_hl7_messages_is_told_of() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let receiver = Receiver::start(RsyslogOpenssl, &mesh.pem("localhost")).await;
    let rules = "messages: [ \"ADT^*\" ]";
    let adt = mesh.inbound("adt").allow("lab").mllp().phi().with(rules);
    let collector = Collector::start(&mesh, "grpc", "").await;
    let adt = telling(&mesh, adt.forward(engine.target()), &receiver);
    let adt = adt.traced(&collector, ALL).spawn_talkative().await;
    let open = mesh.inbound("open").allow("lab").mllp().phi().with(rules);
    let open = open.forward(engine.target()).permissive(FAR).with("enforce: false");
    let open = open.traced(&collector, ALL).spawn_talkative().await;
    let lab = mesh.outbound("lab").allow("adt").mllp().phi().to(adt.address());
    let lab = lab.traced(&collector, ALL).spawn_talkative().await;

    for it in BARE {
        let good = framed(&message("ADT^A01", it));
        let direct = mesh.connect("lab", &adt).await.stream;
        assert!(hear(direct, &good).await.contains("|AA|"));
        for sidecar in [&lab, &open] {
            let plain = TcpStream::connect(sidecar.address()).await.unwrap();
            assert!(hear(plain, &good).await.contains("|AA|"));
        }
        assert!(engine.received().iter().any(|message| message.contains(it)));
        for text in no_messages(it) {
            let answer = hear(mesh.connect("lab", &adt).await.stream, &text).await;
            let echo = format!("|{it}\r");
            assert!(found_in(&answer.replace(&echo, "")).is_none(), "{text:?}: {answer:?}");
            for sidecar in [&lab, &open] {
                tell(sidecar.address(), &text).await;
            }
        }
    }

    Sinks::of(adt, Some(&receiver)).await.know_no_patient();
    know_nothing([lab, open]).await;
    traced_nothing(&collector, "hl7 ADT^A01");
}

/// What comes instead of an association.
fn no_associations(it: &str) -> Vec<Vec<u8>> {
    let good = dicom::request(&[VERIFICATION]);
    let behind = [&good[6..], &[0x70, 0, 0, 200], it.as_bytes()].concat();
    let mut other = good;
    other[10..26].copy_from_slice(b"OTHER           ");
    vec![
        pdu(1, it.as_bytes()),
        pdu(4, it.as_bytes()),
        pdu(9, it.as_bytes()),
        pdu(1, &behind),
        dicom::request(&[&format!("1.2.{it}.x")]),
        [&other[..], it.as_bytes()].concat(),
        format!("GET /{it} HTTP/1.1\r\n\r\n").into_bytes(),
    ]
}

#[tokio::test]
async fn nothing_of_a_patient_in_dicom_is_told_of() {
    let mesh = Mesh::new();
    let called = Called::new().await;
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi();
    let pacs = pacs.with("associations: [ { calling_ae: CT2, called_ae: PACS } ]");
    let collector = Collector::start(&mesh, "http", "").await;
    let all = format!("{ALL}, protocol: http");
    let pacs = pacs.forward(&called.target()).traced(&collector, &all).spawn_talkative().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi().to(pacs.address());
    let ct = ct.traced(&collector, &all).spawn_talkative().await;

    for it in BARE {
        for ending in [&RELEASE_REQUEST[..], &pdu(4, it.as_bytes()), &pdu(9, it.as_bytes())] {
            let mut calling = End::new(TcpStream::connect(ct.address()).await.unwrap());
            calling.send(&dicom::request(&[VERIFICATION, CT_IMAGE])).await;
            let mut scp = called.next().await;
            scp.next().await;
            scp.send(&dicom::accept(&[0, 0])).await;
            calling.next().await;
            for field in [C_STORE, C_FIND] {
                let object = format!("\x10\0\x10\0PN{it}");
                let data = dicom::message(3, field, CT_IMAGE, object.as_bytes());
                calling.send(&data).await;
                assert_eq!(scp.next().await, data);
                scp.send(&data).await;
                assert_eq!(calling.next().await, data);
            }
            calling.send(ending).await;
            calling.end().await;
            drop(scp);
            calling.torn().await;
        }
        for bytes in no_associations(it) {
            let answer = hear(mesh.connect("ct", &pacs).await.stream, &bytes).await;
            assert!(found_in(&answer).is_none(), "{answer:?}");
            tell(ct.address(), &bytes).await;
        }
    }

    know_nothing([ct, pacs]).await;
    traced_nothing(&collector, "dicom association");
}

#[tokio::test]
async fn nothing_of_a_patient_in_a_stream_or_in_place_of_a_handshake_is_told_of() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").phi().forward(workload.target());
    let db = db.spawn_talkative().await;
    let web = mesh.outbound("web").allow("db").phi().to(db.address()).spawn_talkative().await;

    for it in PATIENT {
        let query = format!("SELECT * FROM patients WHERE name = '{it}'");
        assert!(hear(mesh.connect("web", &db).await.stream, &query).await.contains(it));
        let plain = TcpStream::connect(web.address()).await.unwrap();
        assert!(hear(plain, &query).await.contains(it));
        let stranger = hear(mesh.connect("portal", &db).await.stream, &query).await;
        assert_eq!(stranger, "", "a stranger is told nothing");
        let length = u8::try_from(it.len()).unwrap();
        for bytes in [
            query.into_bytes(),
            format!("GET /{it} HTTP/1.1\r\nHost: {it}\r\n\r\n").into_bytes(),
            [&[0x16, 3, 1, 0, length], it.as_bytes()].concat(),
            [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length], it.as_bytes()].concat(),
        ] {
            tell(db.address(), &bytes).await;
            // Nobody has to ask for a page that there is.
            let page = format!("/{it}?name={it}");
            let answer = db.page(&page).await;
            assert!(answer.status == 404 && found_in(&answer.body).is_none(), "{answer:?}");
        }
        let named = SClient::to(db.address()).identity(&mesh.pem("web"));
        named.args(&["-servername", &format!("{it}.example")]).send("hello").await;
        for citizen in named_like(it) {
            let citizen = citizen.trusting(&mesh.pem("web"));
            let mut stream = connect(&citizen, db.address(), "db").await.unwrap().stream;
            let mut answer = Vec::new();
            let refused = stream.read_to_end(&mut answer).await;
            assert!(refused.is_err() && answer.is_empty(), "{answer:?}");
        }
    }
    let told = db.trail().wait_for("connection-allowed", 1).await.remove(0);
    assert_eq!(told.text("tls.client.server_name"), "db", "its own name is told");
    let refused = db.trail().all("connection-refused");
    let of_the_state =
        |record: &Record| record.field("tls.client.issuer") == "CN=Ministry of the Interior";
    assert!(refused.iter().any(of_the_state), "{refused:?}");

    know_nothing([web, db]).await;
}

/// Certificates of a citizen that nobody here vouches for: one from an authority of the state, one from nobody.
fn named_like(it: &str) -> [Identity; 2] {
    let named = |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, it);
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), it); // serialNumber
        params.subject_alt_names = vec![
            SanType::Rfc822Name(format!("{it}@example.org").try_into().unwrap()),
            SanType::DnsName(format!("{it}.example").try_into().unwrap()),
        ];
    };
    [Ca::new("Ministry of the Interior").issue_with("citizen", named), Identity::self_signed(named)]
}

#[test]
fn a_patient_is_found_in_whatever_way_somebody_is_written_down() {
    for (text, is_found) in [
        ("{\"path\":\"/Patient/{id}\"}".to_owned(), false),
        ("path=/Patient/zebraFINCH".to_owned(), true),
        ("born 19310214".to_owned(), true),
        (format!("{:?}", b"<Zebrafinch>"), true),
        (format!("ProtocolName({})", hex::encode("x4711081547")), true),
    ] {
        assert_eq!(found_in(&text).is_some(), is_found, "{text}");
    }
}
