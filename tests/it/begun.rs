//! Nothing begins after the rule is gone that it was let through by: not even if its record, which comes before
//! the first byte, took a while.

use tokio::net::TcpStream;

use crate::support::client::connect;
use crate::support::dicom::{Called, End, VERIFICATION, request};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::http::https;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::mllp::{Engine, exchange, message};

/// Waits until the listener's first rule has let something through so often; its record may be to come.
async fn judged(sidecar: &Running, count: u64) {
    eventually("the rule to be used", || async {
        let status = sidecar.page("/status").await.body;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["policy"]["rules"][0]["hits"] == count).then_some(())
    })
    .await;
}

/// A sidecar whose trail is on `disk`, with these rules.
fn ehr(mesh: &Mesh, disk: &Disk, target: &str, rules: &str) -> Setup {
    mesh.inbound("ehr").allow("lab").phi().forward(target).audit(&disk.audit()).with(rules)
}

const READ: &str = "routes: [ { name: read, path: /read, allow: [lab] } ]";
const OTHER: &str = "routes: [ { name: other, path: /other, allow: [lab] } ]";

#[tokio::test]
async fn a_request_whose_rule_goes_while_it_is_put_on_record_does_not_reach_the_workload() {
    let (mesh, disk, workload) = (Mesh::new(), Disk::new(), Legacy::start().await);
    let setup = |rules| ehr(&mesh, &disk, workload.target(), rules).http();
    let ehr = setup(READ).start().await;
    let mut lab = https(&mesh.pem("lab"), &ehr).await;
    assert_eq!(lab.get("/read").await.status(), 200);

    let stopped = disk.stop();
    lab.send("GET /read HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    judged(&ehr, 2).await;
    ehr.reload(&setup(OTHER)).await.unwrap();
    drop(stopped);

    assert_eq!(lab.message().await.status(), 403);
    assert_eq!(workload.targets(), ["/read"]);
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "no_route");
    let completed = ehr.trail().wait_for("request-completed", 2).await;
    assert_eq!(completed[1].reason(), "denied");
    assert_eq!(completed[1].number("http.response.status_code"), 403);
}

#[tokio::test]
async fn a_request_that_another_rule_lets_through_by_then_goes_on_and_is_on_record_under_it() {
    let (mesh, disk, workload) = (Mesh::new(), Disk::new(), Legacy::start().await);
    let setup = |rules| ehr(&mesh, &disk, workload.target(), rules).http();
    let ehr = setup(READ).start().await;
    let mut lab = https(&mesh.pem("lab"), &ehr).await;
    assert_eq!(lab.get("/read").await.status(), 200);

    let stopped = disk.stop();
    lab.send("GET /read HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    judged(&ehr, 2).await;
    ehr.reload(&setup("routes: [ { name: all, path: \"/{rest...}\", allow: [lab] } ]"))
        .await
        .unwrap();
    drop(stopped);

    assert_eq!(lab.message().await.status(), 200);
    let allowed = ehr.trail().wait_for("request-allowed", 3).await;
    assert_eq!(allowed[2].text("rule.name"), "ehr/all");
    assert_eq!(allowed[2].text("http.request.id"), allowed[1].text("http.request.id"));
}

#[tokio::test]
async fn a_soap_message_is_held_against_the_rule_that_there_is_when_it_goes_on() {
    let routes = |body: &str| {
        format!(
            "routes: [ {{ name: pdq, methods: [POST], path: /pdq, soap_action: \"urn:find\", \
             soap_body: [{body}], allow: [lab] }} ]"
        )
    };
    let (mesh, disk, workload) = (Mesh::new(), Disk::new(), Legacy::start().await);
    let setup = |rules: &str| ehr(&mesh, &disk, workload.target(), rules).http();
    let ehr = setup(&routes("Find")).start().await;
    let mut lab = https(&mesh.pem("lab"), &ehr).await;
    let body = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
                <s:Body><Find/></s:Body></s:Envelope>";
    let find = format!(
        "POST /pdq HTTP/1.1\r\nHost: ehr\r\nSOAPAction: \"urn:find\"\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    lab.send(&find).await;
    assert_eq!(lab.message().await.status(), 200);

    let stopped = disk.stop();
    lab.send(&find).await;
    judged(&ehr, 2).await;
    ehr.reload(&setup(&routes("Search"))).await.unwrap();
    drop(stopped);

    assert_eq!(lab.message().await.status(), 403);
    assert_eq!(workload.targets(), ["/pdq"]);
    assert_eq!(ehr.trail().only("request-denied").await.reason(), "soap_mismatch");
}

#[tokio::test]
async fn a_message_whose_rule_goes_while_it_is_put_on_record_does_not_reach_the_workload() {
    let (mesh, disk, engine) = (Mesh::new(), Disk::new(), Engine::start().await);
    let setup = |rules| ehr(&mesh, &disk, engine.target(), rules).with("protocol: mllp");
    let ehr = setup("messages: [ { name: adt, types: [\"ADT^*\"], allow: [lab] } ]").start().await;
    let mut lab = mesh.connect("lab", &ehr).await;
    exchange(&mut lab.stream, "ADT^A01", "1").await;

    let stopped = disk.stop();
    lab.send(message("ADT^A01", "2")).await;
    judged(&ehr, 2).await;
    let other = setup("messages: [ { name: oru, types: [\"ORU^*\"], allow: [lab] } ]");
    ehr.reload(&other).await.unwrap();
    drop(stopped);

    assert_eq!(lab.rest().await, b"");
    assert_eq!(engine.received().len(), 1);
    assert_eq!(ehr.trail().only("message-denied").await.reason(), "no_message_rule");
    assert_eq!(ehr.trail().wait_for("message-completed", 2).await[1].reason(), "denied");
}

#[tokio::test]
async fn an_association_whose_rule_goes_while_it_is_put_on_record_does_not_reach_the_workload() {
    let (mesh, disk, workload) = (Mesh::new(), Disk::new(), Called::new().await);
    let setup = |rules| ehr(&mesh, &disk, &workload.target(), rules).with("protocol: dicom");
    let ehr = setup("associations: [ { name: ct, calling_ae: CT2, allow: [lab] } ]").start().await;
    let lab = connect(&mesh.pem("lab"), ehr.address(), "ehr").await.unwrap();
    ehr.trail().only("connection-allowed").await;
    let mut lab = End::new(lab.stream);

    let stopped = disk.stop();
    lab.send(&request(&[VERIFICATION])).await;
    judged(&ehr, 1).await;
    let other = setup("associations: [ { name: mr, calling_ae: MR1, allow: [lab] } ]");
    ehr.reload(&other).await.unwrap();
    drop(stopped);

    assert_eq!(lab.next().await[..6], [3, 0, 0, 0, 0, 4], "A-ASSOCIATE-RJ");
    let called: End<TcpStream> = workload.next().await;
    called.ends().await;
    lab.end().await;
    let withdrawn = ehr.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "no_association_rule");
    let completed = ehr.trail().only("association-completed").await;
    assert_eq!((completed.reason(), completed.text("message")), ("aborted", "withdrawn"));
    ehr.ended("withdrawn", 1.0).await;
}
