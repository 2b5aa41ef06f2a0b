//! What is asked for on an association: commands are counted and, where a rule names SOP classes, held against the
//! presentation context on which they come.

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::dicom::{
    C_ECHO, C_FIND, C_STORE, CT_IMAGE, Called, Calling, End, PATIENT, VERIFICATION, accept, asks,
    dcmqrscp, image, message, pdu, request,
};
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::python::{finishes, peer, serves};

const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const BOUND: &str = "associations: [ { name: ct, calling_ae: CT2, \
                     sop_classes: [Verification, CTImageStorage], allow: [ct] } ]";

/// A peer's association with a PACS by hand, through its sidecar.
struct Site {
    pacs: Running,
    calling: Calling,
    called: End<TcpStream>,
    _mesh: Mesh,
}

/// One with accepted contexts 1 and 3 for Verification and CT images, and 5 that was not accepted.
async fn site(adjust: impl FnOnce(Setup) -> Setup) -> Site {
    let (mesh, workload) = (Mesh::new(), Called::new().await);
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&workload.target());
    let pacs = adjust(setup).start().await;
    let mut calling = End::new(mesh.connect("ct", &pacs).await.stream);
    calling.send(&request(&[VERIFICATION, CT_IMAGE, CT_IMAGE])).await;
    let mut called = workload.next().await;
    called.next().await;
    called.send(&accept(&[0, 0, 3])).await;
    calling.next().await;
    Site { pacs, calling, called, _mesh: mesh }
}

fn abort(reason: u8) -> Vec<u8> {
    pdu(7, &[0, 0, 2, reason])
}

/// An identifier of C-FIND: implicit VR, little endian.
fn all_studies() -> Vec<u8> {
    let element = |tag: [u8; 4], value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [tag.as_slice(), &length, value].concat()
    };
    [element([8, 0, 0x52, 0], b"STUDY "), element([0x10, 0, 0x10, 0], b"")].concat()
}

/// A real archive that holds a patient's study, and what it answers to a query on a context for CT images.
async fn queries_on_a_context_for_images(rule: &str) -> (Mesh, Running, Vec<u8>) {
    let (mesh, dir) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = dcmqrscp(dir.path(), &[]).await;
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().with(rule).forward(&target);
    let pacs = setup.start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().to(pacs.address()).start().await;
    let object = image(dir.path(), 1000).await;
    let said = asks("storescu", &ct, &["-R"], &[object.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());

    let mut calling = End::new(mesh.connect("ct", &pacs).await.stream);
    calling.send(&request(&[CT_IMAGE])).await;
    assert_eq!(calling.next().await[0], 2);
    calling.send(&message(1, C_FIND, STUDY_ROOT_FIND, &all_studies())).await;
    let mut heard = Vec::new();
    while !heard.windows(PATIENT.len()).any(|window| window == PATIENT.as_bytes()) {
        let next = calling.next().await;
        heard.extend_from_slice(&next);
        if next.is_empty() || next[0] == 7 {
            break;
        }
    }
    (mesh, pacs, heard)
}

#[tokio::test]
async fn an_archive_that_looks_at_commands_alone_answers_no_query_of_who_may_only_store() {
    let free = "associations: [ { name: ct, calling_ae: CT2, allow: [ct] } ]";
    let (_mesh, _pacs, heard) = queries_on_a_context_for_images(free).await;
    let told = heard.windows(PATIENT.len()).any(|window| window == PATIENT.as_bytes());
    assert!(told, "this archive would have been safe by itself");

    let (_mesh, pacs, heard) = queries_on_a_context_for_images(BOUND).await;

    assert_eq!(heard, abort(6));
    let denied = pacs.trail().only("association-denied").await;
    assert_eq!(denied.reason(), "sop_class_mismatch");
}

#[tokio::test]
async fn a_command_of_another_sop_class_than_its_contexts_ends_the_association_before_it_arrives() {
    let mut site = site(|setup| setup.with(BOUND)).await;
    let echo = message(1, C_ECHO, VERIFICATION, b"");
    site.calling.send(&echo).await;
    assert_eq!(site.called.next().await, echo);

    site.calling.send(&message(3, C_STORE, "1.2.840.10008.5.1.4.1.1.4", PATIENT.as_bytes())).await;

    assert_eq!(site.calling.next().await, abort(6));
    assert_eq!(site.called.next().await, abort(0));
    let denied = site.pacs.trail().only("association-denied").await;
    assert_eq!(denied.reason(), "sop_class_mismatch");
    assert_eq!(denied.text("myelin.differs"), "sop_class");
    assert_eq!(denied.text("rule.name"), "pacs/ct");
    let nearest =
        "the presentation context is for CTImageStorage, and C-STORE of MRImageStorage came on it";
    assert_eq!(denied.text("myelin.nearest"), nearest);
    let completed = site.pacs.trail().only("association-completed").await;
    assert_eq!(completed.reason(), "aborted");
    assert!(completed.text("message").contains("presentation context"), "{completed:#?}");
    assert_eq!(completed.number("myelin.dicom.commands.up.c_echo"), 1);
    assert!(completed.field("myelin.dicom.commands.up.c_store").is_null(), "it did not arrive");
    assert!(site.pacs.page("/denials").await.body.contains("sop_class_mismatch"));
    let reason = [("reason", "sop_class_mismatch")];
    site.pacs.metric_is("myelin_connections_denied_total", &reason, 1.0).await;
    site.pacs.metric_is("myelin_associations_total", &[("decision", "denied")], 0.0).await;
    site.calling.end().await;
    site.called.end().await;
    site.pacs.ended("denied", 1.0).await;
    assert!(!site.pacs.trail().text().contains("ZEBRA"));
}

#[tokio::test]
async fn of_a_command_that_comes_byte_by_byte_the_last_one_does_not_arrive() {
    let mut site = site(|setup| setup.with(BOUND)).await;
    let query = message(3, C_FIND, STUDY_ROOT_FIND, b"");

    site.calling.send(&query[..query.len() - 1]).await;
    let first = site.called.some(query.len() - 1).await;
    site.calling.send(&query[query.len() - 1..]).await;

    assert_eq!(site.calling.next().await, abort(6));
    assert_eq!(first, query[..query.len() - 1]);
    let rest = site.called.torn().await;
    assert_eq!(rest, b"", "neither the last byte nor another PDU in the midst of one");
}

#[tokio::test]
async fn nothing_goes_on_on_a_context_that_was_not_accepted_whatever_the_rules() {
    for context in [5, 7] {
        let mut site = site(|setup| setup).await;

        site.calling.send(&message(context, C_STORE, CT_IMAGE, b"data")).await;

        assert_eq!(site.calling.next().await, abort(6));
        assert_eq!(site.called.next().await, abort(0));
        let completed = site.pacs.trail().only("association-completed").await;
        assert_eq!(completed.reason(), "aborted");
        assert!(completed.text("message").contains("the calling side"), "{completed:#?}");
    }
    let mut site = site(|setup| setup).await;

    site.called.send(&message(5, C_STORE, CT_IMAGE, b"data")).await;

    assert_eq!(site.called.next().await, abort(6));
    assert_eq!(site.calling.next().await, abort(0));
    let completed = site.pacs.trail().only("association-completed").await;
    assert!(completed.text("message").contains("the called side"), "{completed:#?}");
}

#[tokio::test]
async fn while_policy_is_observed_a_command_of_another_sop_class_goes_on_and_is_told_of() {
    let mut site = site(|setup| setup.with(BOUND).observing(FAR)).await;
    let query = message(3, C_FIND, STUDY_ROOT_FIND, &all_studies());

    site.calling.send(&query).await;
    assert_eq!(site.called.next().await, query);
    site.calling.send(&abort(0)).await;

    let completed = site.pacs.trail().only("association-completed").await;
    assert_eq!(completed.reason(), "aborted_by_calling");
    assert_eq!(completed.text("myelin.would_deny"), "sop_class_mismatch");
    assert_eq!(completed.text("myelin.differs"), "sop_class");
    assert!(completed.text("myelin.nearest").contains("C-FIND"), "{completed:#?}");
    assert_eq!(completed.number("myelin.dicom.commands.up.c_find"), 1);
    assert!(site.pacs.trail().all("association-denied").is_empty());
    assert_eq!(site.pacs.shown("/observed").await.len(), 1);
    let labels = [("listener", "pacs"), ("reason", "sop_class_mismatch")];
    site.pacs.metric_is("myelin_would_deny_total", &labels, 1.0).await;
}

#[tokio::test]
async fn commands_of_meta_sop_classes_and_of_unified_worklists_name_other_classes_and_pass() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("dicom_peer", "pynetdicom", &["server"])).await;
    let rule = "associations: [ { calling_ae: CT2, allow: [ct], sop_classes: [ \
                BasicGrayscalePrintManagementMeta, UnifiedProcedureStepWatch ] } ]";
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().with(rule).forward(&target);
    let pacs = setup.start().await;
    let ct = mesh.pem("ct");
    let paths = [ct.cert(), ct.key(), ct.trust_bundle()].map(|path| path.display().to_string());
    let port = pacs.address().port().to_string();

    let args = ["members", &port, "pacs", &paths[0], &paths[1], &paths[2]];
    let said = finishes(peer("dicom_peer", "pynetdicom", &args)).await;

    let told = "film session 0x0000\nsubscribe 0x0000\ncreate a step aborted\n";
    assert_eq!(said.stdout, told, "{}", said.stderr);
    let completed = pacs.trail().only("association-completed").await;
    assert_eq!(completed.number("myelin.dicom.commands.up.n_create"), 1);
    assert_eq!(completed.number("myelin.dicom.commands.up.n_action"), 1);
    let denied = pacs.trail().only("association-denied").await;
    assert!(denied.text("myelin.nearest").contains("N-CREATE"), "{denied:#?}");
}
