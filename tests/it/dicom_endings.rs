//! An association in flight may come to its release, and what does not is aborted before it is cut.

use tokio::net::TcpStream;

use crate::support::client::connect;
use crate::support::dicom::{
    C_ECHO, Called, Calling, End, RELEASE_REPLY, RELEASE_REQUEST, VERIFICATION, accept, message,
    request,
};
use crate::support::mesh::{Mesh, Setup};
use crate::support::ward::{Ward, whatever_the_cause};

const ABORT: [u8; 10] = [7, 0, 0, 0, 0, 4, 0, 0, 2, 0];

async fn associated(mut calling: Calling, called: &Called) -> (Calling, End<TcpStream>) {
    calling.send(&request(&[VERIFICATION])).await;
    let mut called = called.next().await;
    called.next().await;
    called.send(&accept(&[0])).await;
    calling.next().await;
    (calling, called)
}

async fn releases(mut calling: Calling, mut called: End<TcpStream>) {
    let data = message(1, C_ECHO, VERIFICATION, b"still here");
    calling.send(&data).await;
    assert_eq!(called.next().await, data);
    calling.send(&RELEASE_REQUEST).await;
    assert_eq!(called.next().await, RELEASE_REQUEST);
    called.send(&RELEASE_REPLY).await;
    assert_eq!(calling.next().await, RELEASE_REPLY);
    calling.end().await;
    calling.ends().await;
}

#[tokio::test]
async fn a_drain_waits_for_the_release() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let setup = mesh.inbound("pacs").allow("ct").dicom();
    let mut pacs = setup.forward(&workload.target()).spawn().await;
    let (calling, called) =
        associated(End::new(mesh.connect("ct", &pacs).await.stream), &workload).await;
    let idle = End::new(mesh.connect("ct", &pacs).await.stream);
    pacs.trail().wait_for("connection-allowed", 2).await;

    pacs.process.signal("TERM");
    pacs.process.says("draining").await;

    idle.ends().await;
    releases(calling, called).await;
    assert_eq!(pacs.process.ended().await.code(), Some(0));
    assert_eq!(pacs.trail().only("association-completed").await.reason(), "released");
}

#[tokio::test]
async fn an_association_that_outlasts_the_drain_is_aborted_on_both_sides() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let setup = mesh.inbound("pacs").allow("ct").dicom();
    let setup = setup.file("limits: { drain_timeout: 300ms }");
    let mut pacs = setup.forward(&workload.target()).spawn().await;
    let (mut calling, mut called) =
        associated(End::new(mesh.connect("ct", &pacs).await.stream), &workload).await;

    pacs.process.signal("TERM");

    assert_eq!(calling.next().await, ABORT);
    assert_eq!(called.next().await, ABORT);
    assert_eq!(pacs.process.ended().await.code(), Some(0));
    let completed = pacs.trail().only("association-completed").await;
    assert_eq!((completed.reason(), completed.text("message")), ("aborted", "cut"));
    assert_eq!(pacs.trail().only("connection-closed").await.reason(), "cut");
}

#[tokio::test]
async fn an_association_whose_permit_is_withdrawn_may_come_to_its_release() {
    whatever_the_cause(|cause| async move {
        let workload = Called::new().await;
        let dicom = |setup: Setup| setup.dicom().phi().forward(&workload.target());
        let mut ward = Ward::inbound(cause, dicom);
        let ehr = ward.start(|setup| setup).await;
        let lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        let (calling, called) = associated(End::new(lab.stream), &workload).await;

        ward.strike(&ehr).await;

        releases(calling, called).await;
        let completed = ehr.trail().only("association-completed").await;
        assert_eq!(completed.reason(), "released");
        ehr.ended("withdrawn", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn an_association_whose_permit_is_withdrawn_is_aborted_when_it_takes_too_long() {
    whatever_the_cause(|cause| async move {
        let workload = Called::new().await;
        let dicom = |setup: Setup| {
            let setup = setup.dicom().phi().limits("drain_timeout: 300ms");
            setup.forward(&workload.target())
        };
        let mut ward = Ward::inbound(cause, dicom);
        let ehr = ward.start(|setup| setup).await;
        let lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();
        let (mut calling, mut called) = associated(End::new(lab.stream), &workload).await;
        let web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
        let (other, other_called) = associated(End::new(web.stream), &workload).await;

        let withdrawn = ward.strike(&ehr).await;

        assert_eq!(calling.next().await, ABORT);
        assert_eq!(called.next().await, ABORT);
        calling.end().await;
        let completed = ehr.trail().only("association-completed").await;
        assert_eq!((completed.reason(), completed.text("message")), ("aborted", "withdrawn"));
        ward.is_over(&ehr, &withdrawn).await;
        releases(other, other_called).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_has_asked_for_nothing_ends_when_its_permit_is_withdrawn() {
    whatever_the_cause(|cause| async move {
        let workload = Called::new().await;
        let dicom = |setup: Setup| setup.dicom().phi().forward(&workload.target());
        let mut ward = Ward::inbound(cause, dicom);
        let ehr = ward.start(|setup| setup).await;
        let lab = connect(&ward.lab, ehr.address(), "ehr").await.unwrap();

        let withdrawn = ward.strike(&ehr).await;

        End::new(lab.stream).ends().await;
        ward.is_over(&ehr, &withdrawn).await;
        workload.is_alone().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_association_is_aborted() {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let setup = mesh.inbound("pacs").allow("ct").dicom();
    let setup = setup.limits("idle_timeout: 1s").forward(&workload.target());
    let pacs = setup.start().await;
    let (mut calling, mut called) =
        associated(End::new(mesh.connect("ct", &pacs).await.stream), &workload).await;

    assert_eq!(calling.next().await, ABORT);
    assert_eq!(called.next().await, ABORT);
    calling.end().await;
    called.end().await;
    let completed = pacs.trail().only("association-completed").await;
    assert_eq!((completed.reason(), completed.text("message")), ("aborted", "idle"));
    pacs.ended("idle", 1.0).await;
}
