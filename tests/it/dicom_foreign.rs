//! `protocol: dicom` with pynetdicom on both sides, which negotiates whatever can be negotiated; and limits.

use tempfile::TempDir;

use crate::audit::SmallDisk;
use crate::support::dicom::{Called, End, VERIFICATION, accept, asks, pdu, request, storescp};
use crate::support::mesh::Mesh;
use crate::support::python::{finishes, peer, serves};

#[tokio::test]
async fn pynetdicom_negotiates_everything_and_who_the_user_is_stays_out_of_the_trail() {
    let mesh = Mesh::new();
    let (mut server, target) = serves(peer("dicom_peer", "pynetdicom", &["server"])).await;
    let rule = "associations: [ { calling_ae: CT2, called_ae: PACS, allow: [ct] } ]";
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().with(rule);
    let pacs = setup.forward(&target).start().await;
    let ct = mesh.pem("ct");
    let paths = [ct.cert(), ct.key(), ct.trust_bundle()].map(|path| path.display().to_string());
    let port = pacs.address().port().to_string();

    let args = ["client", &port, "pacs", &paths[0], &paths[1], &paths[2]];
    let said = finishes(peer("dicom_peer", "pynetdicom", &args)).await;

    let told =
        "established with 128 contexts\necho 0x0000\nstore 0x0000\nreleased True\naborted True\n";
    assert_eq!(said.stdout, told, "{}", said.stderr);
    server.says("asked by CT2 for 128 contexts as DR_HOUSE").await;
    server.says("stored ZEBRAFINCH^ANNA").await;
    server.says("aborted").await;
    let completed = pacs.trail().wait_for("association-completed", 2).await;
    assert_eq!(completed[0].reason(), "released");
    assert_eq!(completed[1].reason(), "aborted_by_calling");
    let contexts = completed[0].field("myelin.dicom.contexts").as_array().unwrap();
    assert_eq!(contexts.len(), 128);
    assert!(contexts.iter().all(|context| context["accepted"] == true), "{contexts:#?}");
    let text = pacs.trail().text();
    for secret in ["HOUSE", "vicodn", "ZEBRAFINCH", "PQ4711", "8.498.7"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn more_associations_than_a_rate_allows_are_congestion() {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let limited = "spiffe: spiffe://hospital.example/ct, limits: { rate: 1/h, burst: 2 }";
    let setup = mesh.inbound("pacs").peer("ct", limited).allow_known("ct");
    let pacs = setup.dicom().phi().forward(&target).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().to(pacs.address());
    let ct = ct.start().await;

    for _ in 0..2 {
        let said = asks("echoscu", &ct, &[], &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }
    let said = asks("echoscu", &ct, &[], &[]).await;

    assert!(said.all().contains("Result: Rejected Transient"), "{}", said.all());
    assert!(said.all().contains("Reason: Temporary Congestion"), "{}", said.all());
    let denied = pacs.trail().only("association-denied").await;
    assert_eq!((denied.reason(), denied.text("myelin.differs")), ("rate_limit", "rate"));
}

#[tokio::test]
async fn an_association_that_cannot_be_put_on_record_is_congestion_and_reaches_nobody() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&workload.target());
    let pacs = setup.audit(&audit).start().await;
    let mut connected = Vec::new();
    for _ in 0..30 {
        connected.push(End::new(mesh.connect("ct", &pacs).await.stream));
    }
    pacs.trail().wait_for("connection-allowed", 30).await;

    disk.fill();
    let told = loop {
        // What is left of the file's last page may take a record or two.
        let mut calling = connected.pop().expect("the disk is full, and all passes");
        calling.send(&request(&[VERIFICATION])).await;
        tokio::select! {
            told = calling.next() => break told,
            mut called = workload.next() => {
                called.next().await;
                called.send(&accept(&[0])).await;
            }
        }
    };

    assert_eq!(told, pdu(3, &[0, 2, 3, 1]));
    workload.is_alone().await;
    let labels = [("listener", "pacs"), ("reason", "not_audited")];
    pacs.metric_is("myelin_connections_denied_total", &labels, 1.0).await;
}

#[tokio::test]
async fn more_associations_at_once_than_a_rule_allows_exceed_a_local_limit_until_one_is_over() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let rule = "associations: [ { calling_ae: CT2, allow: [ct], limits: { concurrency: 1 } } ]";
    let setup = mesh.inbound("pacs").allow("ct").dicom().with(rule);
    let pacs = setup.forward(&workload.target()).start().await;
    let mut first = End::new(mesh.connect("ct", &pacs).await.stream);
    first.send(&request(&[VERIFICATION])).await;
    let mut called = workload.next().await;
    called.next().await;
    called.send(&accept(&[0])).await;
    first.next().await;

    let mut second = End::new(mesh.connect("ct", &pacs).await.stream);
    second.send(&request(&[VERIFICATION])).await;
    assert_eq!(second.next().await, pdu(3, &[0, 2, 3, 2]));
    first.send(&pdu(7, &[0, 0, 0, 0])).await;
    pacs.trail().only("association-completed").await;
    drop((first, called));
    pacs.ended("finished", 1.0).await;
    let mut third = End::new(mesh.connect("ct", &pacs).await.stream);
    third.send(&request(&[VERIFICATION])).await;
    let mut called = workload.next().await;
    called.next().await;

    let denied = pacs.trail().only("association-denied").await;
    assert_eq!(denied.reason(), "concurrency_limit");
    called.send(&accept(&[0])).await;
    assert_eq!(third.next().await, accept(&[0]));
}
