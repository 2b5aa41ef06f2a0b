//! `phi: true`: a request is on durable record before its first byte reaches the workload, or it is not
//! let through.

use crate::audit::SmallDisk;
use crate::support::eventually;
use crate::support::http::{ByHand, plain};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Setup};

const ROUTES: &str = r#"routes:
      - { name: patient, path: "/fhir/{rest...}", allow: [web] }
      - { name: health, path: /healthz, phi: false, allow: [web] }"#;

fn on(disk: &SmallDisk, mesh: &Mesh, workload: &Legacy, more: &str) -> Setup {
    let audit = format!("dir: {}{more}", disk.trail().display());
    let ehr = mesh.inbound("ehr").allow("web").http().phi().with(ROUTES);
    ehr.forward(workload.target()).audit(&audit)
}

#[tokio::test]
async fn a_request_is_on_record_before_its_first_byte_arrives() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(&workload.target());
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
    let mut caller = plain(web.address()).await;
    let mut call = None;
    for n in 1..=5 {
        caller.send(format!("GET /{n} HTTP/1.1\r\nHost: ehr\r\n\r\n")).await;
        let call = match &mut call {
            Some(call) => call,
            None => call.insert(workload.accept().await),
        };
        call.bytes(1).await;

        // No waiting: what is durable can be read.
        assert_eq!(ehr.trail().all("request-allowed").len(), n);
        assert_eq!(web.trail().all("request-allowed").len(), n);
        assert_eq!(ehr.trail().all("request-completed").len().min(n - 1), n - 1);
        call.head().await;
        call.send(ok("fine")).await;
        assert_eq!(caller.message().await.text(), "fine");
        ehr.trail().wait_for("request-completed", n).await;
        web.trail().wait_for("request-completed", n).await;
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_503_and_never_arrives() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let disk = SmallDisk::new();
    let ehr = on(&disk, &mesh, &workload, "").start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/fhir/1").await.status(), 200);

    disk.fill();
    let mut passed = 1;
    loop {
        // What is left of the file's last page may take a record or two.
        let answer = web.get("/fhir/2").await;
        if answer.status() == 503 {
            assert_eq!(answer.text(), "not available\n");
            break;
        }
        assert_eq!(answer.status(), 200);
        passed += 1;
        assert!(passed < 100, "the disk is full, and all passes");
    }
    for _ in 0..3 {
        assert_eq!(web.get("/fhir/3").await.status(), 503);
    }
    assert_eq!(workload.asked().len(), passed);
    assert_eq!(ehr.trail().all("request-allowed").len(), passed);
    let arrived = String::from_utf8(workload.received()).unwrap();
    assert!(!arrived.contains("/fhir/3"), "{arrived}");

    // What is no PHI needs no record, and passes.
    assert_eq!(web.get("/healthz").await.status(), 200);

    disk.make_room();
    eventually("requests to pass again", || async {
        let mut web = mesh.http("web", &ehr).await;
        web.try_send("GET /fhir/4 HTTP/1.1\r\nHost: ehr\r\nConnection: close\r\n\r\n").await;
        web.rest().await.starts_with(b"HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_outbound_side_lets_nothing_out_without_a_record() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).start().await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).audit(&audit);
    let web = web.start().await;
    let mut caller = plain(web.address()).await;
    assert_eq!(caller.get("/1").await.status(), 200);

    disk.fill();
    let mut passed = 1;
    while caller.get("/2").await.status() == 200 {
        passed += 1;
        assert!(passed < 100, "the disk is full, and all passes");
    }
    assert_eq!(caller.get("/3").await.status(), 503);

    assert_eq!(workload.asked().len(), passed);
}

#[tokio::test]
async fn who_says_allow_gets_through_without_a_record() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let disk = SmallDisk::new();
    let ehr = on(&disk, &mesh, &workload, ", on_failure: allow").start().await;
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/fhir/1").await.status(), 200);

    disk.fill();
    for _ in 0..30 {
        assert_eq!(web.get("/fhir/2").await.status(), 200);
    }

    assert_eq!(workload.asked().len(), 31);
    assert!(ehr.metric("myelin_audit_failures_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn a_phi_route_of_a_listener_without_phi_is_on_record() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(&workload.target());
    let routes = ROUTES.replace("name: patient,", "name: patient, phi: true,");
    let ehr = ehr.with(&routes).start().await;
    let mut web = mesh.http("web", &ehr).await;

    web.send("GET /fhir/1 HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.bytes(1).await;
    assert_eq!(ehr.trail().all("request-allowed").len(), 1);
    call.head().await;
    call.send(ok("fine")).await;
    assert_eq!(web.message().await.status(), 200);
    ehr.trail().only("request-completed").await;

    web.send("GET /healthz HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    call.head().await;
    call.send(ok("fine")).await;
    assert_eq!(web.message().await.status(), 200);
    assert_eq!(ehr.trail().all("request-allowed").len(), 1);
}

#[tokio::test]
async fn headers_queries_and_bodies_are_nowhere_in_the_trail() {
    let mesh = Mesh::new();
    let workload = Legacy::answering(|_| ok("diagnosis-C50")).await;
    let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(workload.target());
    let ehr = ehr.start().await;
    let web = mesh.outbound("web").allow("ehr").http().phi().to(ehr.address()).start().await;
    let mut caller = plain(web.address()).await;

    caller
        .send(
            "POST /Patient/mrn-4711?name=Meier HTTP/1.1\r\nHost: ehr\r\nX-Patient: mrn-4711\r\n\
             Authorization: Bearer s3cret\r\nCookie: sid=s3cret\r\nContent-Length: 8\r\n\r\nmrn-4711",
        )
        .await;
    assert_eq!(caller.message().await.status(), 200);
    caller.send("GET /Patient/mrn-4711/../x HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    assert_eq!(caller.message().await.status(), 400);

    ehr.trail().only("request-completed").await;
    web.trail().only("request-completed").await;
    web.trail().only("request-denied").await;
    for text in [ehr.trail().text(), web.trail().text(), web.page("/denials").await.body] {
        for word in ["mrn-4711", "Meier", "s3cret", "diagnosis"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}
