//! `protocol: dicom` with programs of others: dcmtk in plaintext through two sidecars, and with TLS of its own
//! to one.

use tempfile::TempDir;

use crate::support::dicom::{
    CT_IMAGE, PATIENT, asks, data_set, dcmqrscp, image, stored, storescp, tls,
};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::process::{Process, free_port};

/// A modality's sidecar and a PACS's.
struct Pair {
    ct: Running,
    pacs: Running,
    scp: Process,
    store: TempDir,
    _mesh: Mesh,
}

async fn pair(adjust: impl FnOnce(Setup) -> Setup) -> Pair {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (scp, target) = storescp(store.path(), &[]).await;
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi();
    let pacs = adjust(pacs.forward(&target)).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi();
    let ct = ct.to(pacs.address()).start().await;
    Pair { ct, pacs, scp, store, _mesh: mesh }
}

#[tokio::test]
async fn an_association_is_on_record_on_both_sides() {
    let pair = pair(|setup| setup).await;

    let said = asks("echoscu", &pair.ct, &[], &[]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(said.all().contains("Received Echo Response (Success)"), "{}", said.all());
    let mut ids = Vec::new();
    for side in [&pair.ct, &pair.pacs] {
        let allowed = side.trail().only("association-allowed").await;
        assert_eq!(allowed.text("myelin.dicom.calling_ae"), "CT2");
        assert_eq!(allowed.text("myelin.dicom.called_ae"), "PACS");
        assert!(allowed.text("myelin.dicom.implementation").contains("OFFIS_DCMTK"));
        let completed = side.trail().only("association-completed").await;
        assert_eq!(completed.reason(), "released");
        assert_eq!(completed.text("event.outcome"), "success");
        let context = &completed.field("myelin.dicom.contexts")[0];
        assert_eq!(context["sop_class"], "Verification");
        assert_eq!(context["accepted"], true);
        assert_eq!(completed.number("myelin.dicom.data_units.up"), 1);
        assert_eq!(completed.number("myelin.dicom.data_units.down"), 1);
        assert!(completed.number("source.bytes") > 205, "{completed:#?}");
        assert_eq!(allowed.connection(), completed.connection());
        ids.push(completed.connection().to_owned());
        side.metric_is("myelin_associations_total", &[("decision", "allowed")], 1.0).await;
        side.metric_is("myelin_associations_ended_total", &[("result", "released")], 1.0).await;
        side.ended("finished", 1.0).await;
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_object_arrives_as_it_is_and_its_patient_is_nowhere_else() {
    let pair = pair(|setup| setup).await;
    let dir = TempDir::new().unwrap();
    let object = image(dir.path(), 300_000).await;

    let said = asks("storescu", &pair.ct, &[], &[object.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(data_set(&stored(pair.store.path())) == data_set(&object), "it was changed on its way");
    for side in [&pair.ct, &pair.pacs] {
        side.trail().only("association-completed").await;
        let seen = side.trail().text()
            + &side.page("/metrics").await.body
            + &side.page("/status").await.body
            + &side.page("/denials").await.body;
        for secret in [PATIENT, "ZEBRAFINCH", "PQ4711", "1.2.826.0.1.3680043.8.498"] {
            assert!(!seen.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn an_object_of_100_megabytes_arrives_as_it_is() {
    let pair = pair(|setup| setup).await;
    let dir = TempDir::new().unwrap();
    let object = image(dir.path(), 100_000_000).await;

    let said =
        asks("storescu", &pair.ct, &["--max-pdu", "131072"], &[object.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(data_set(&stored(pair.store.path())) == data_set(&object), "it was changed on its way");
    let completed = pair.pacs.trail().only("association-completed").await;
    assert!(completed.number("source.bytes") > 100_000_000);
    assert!(completed.number("myelin.dicom.data_units.up") > 700, "{completed:#?}");
}

#[tokio::test]
async fn studies_are_found_through_a_pair() {
    let (mesh, dir) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = dcmqrscp(dir.path(), &[]).await;
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&target).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi().to(pacs.address()).start().await;
    let object = image(dir.path(), 1000).await;

    let said = asks("storescu", &ct, &[], &[object.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName"];
    let said = asks("findscu", &ct, &keys, &[]).await;

    assert!(said.all().contains(PATIENT), "{}", said.all());
    let completed = pacs.trail().wait_for("association-completed", 2).await;
    let class = &completed[1].field("myelin.dicom.contexts")[0]["sop_class"];
    assert_eq!(class, "StudyRootQueryRetrieveInformationModelFind");
    assert!(!pacs.trail().text().contains("ZEBRAFINCH"));
}

#[tokio::test]
async fn a_modality_with_tls_of_its_own_comes_to_one_sidecar() {
    let (mesh, store) = (Mesh::new(), TempDir::new().unwrap());
    let (_scp, target) = storescp(store.path(), &[]).await;
    let setup = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&target);
    let pacs = setup.start().await;
    let (ct, other) = (mesh.pem("ct"), mesh.pem("stranger"));
    let (known, stranger) = (tls(&ct), tls(&other));
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let stranger: Vec<_> = stranger.iter().map(String::as_str).collect();
    let anonymous = ["+tla", "+cf", known[4]];

    let said = asks("echoscu", &pacs, &known, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_ne!(asks("echoscu", &pacs, &anonymous, &[]).await.code, Some(0));
    assert_ne!(asks("echoscu", &pacs, &stranger, &[]).await.code, Some(0));

    let completed = pacs.trail().only("association-completed").await;
    assert_eq!(completed.text("myelin.peer"), "ct");
    assert_eq!(pacs.trail().only("connection-refused").await.reason(), "no_certificate");
    assert_eq!(pacs.trail().only("connection-denied").await.reason(), "unknown_peer");
}

/// What a modality is told whose association the PACS's sidecar does not let through.
async fn denied(rule: &str, args: &[&str], reason: &str, differs: &str, told: &str) {
    let mut pair = pair(|setup| {
        setup
            .peer("mr", "spiffe: spiffe://hospital.example/mr")
            .allow_known("mr")
            .with(&format!("associations: [ {{ name: ct, {rule} }} ]"))
    })
    .await;

    let said = asks("echoscu", &pair.ct, args, &[]).await;

    assert_ne!(said.code, Some(0), "{}", said.all());
    assert!(said.all().contains(told), "{}", said.all());
    let denied = pair.pacs.trail().only("association-denied").await;
    assert_eq!(denied.reason(), reason, "{denied:#?}");
    assert_eq!(denied.text("myelin.differs"), differs, "{denied:#?}");
    assert!(denied.text("rule.name").ends_with("/ct"), "{denied:#?}");
    assert!(!denied.text("myelin.nearest").is_empty());
    assert!(pair.pacs.page("/denials").await.body.contains("association-denied"));
    pair.pacs.metric_is("myelin_associations_total", &[("decision", "denied")], 1.0).await;
    pair.pacs.metric_is("myelin_connections_denied_total", &[("reason", reason)], 1.0).await;
    pair.pacs.ended("denied", 1.0).await;
    let completed = pair.ct.trail().only("association-completed").await;
    assert_eq!(completed.reason(), "rejected");
    assert_eq!(completed.text("event.outcome"), "failure");
    assert!(pair.scp.is_running());
    assert!(!pair.scp.output().contains("Acknowledged"), "{}", pair.scp.output());
}

#[tokio::test]
async fn a_calling_title_that_no_rule_has_is_not_recognized() {
    let told = "Reason: Calling AE Title Not Recognized";
    let rule = "calling_ae: CT2, called_ae: PACS, allow: [ct]";
    denied(rule, &["-aet", "CT3"], "no_association_rule", "calling_ae", told).await;
}

#[tokio::test]
async fn a_called_title_that_no_rule_has_is_denied_in_the_same_words() {
    let told = "Reason: Calling AE Title Not Recognized";
    let rule = "calling_ae: CT2, called_ae: PACS, allow: [ct]";
    denied(rule, &["-aec", "RIS"], "no_association_rule", "called_ae", told).await;
}

#[tokio::test]
async fn a_calling_title_that_is_another_peers_is_not_recognized() {
    let told = "Reason: Calling AE Title Not Recognized";
    let rule = "calling_ae: CT2, called_ae: PACS, allow: [mr]";
    denied(rule, &[], "not_listed_for_association", "peer", told).await;
}

#[tokio::test]
async fn a_sop_class_that_the_rule_does_not_have_denies_the_association() {
    let told = "Reason: Calling AE Title Not Recognized";
    let rule = "calling_ae: CT2, sop_classes: [CTImageStorage], allow: [ct]";
    denied(rule, &[], "sop_class", "sop_class", told).await;
}

#[tokio::test]
async fn an_association_that_a_rule_has_goes_through() {
    let rule = "associations: [ { name: ct, calling_ae: CT2, called_ae: PACS, \
                sop_classes: [Verification, CTImageStorage], allow: [ct] } ]";
    let pair = pair(|setup| setup.with(rule)).await;
    let dir = TempDir::new().unwrap();
    let object = image(dir.path(), 1000).await;

    let said = asks("echoscu", &pair.ct, &[], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = asks("storescu", &pair.ct, &["-R"], &[object.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());

    let allowed = pair.pacs.trail().wait_for("association-allowed", 2).await;
    assert_eq!(allowed[1].text("rule.name"), "pacs/ct");
    assert_eq!(allowed[1].field("myelin.dicom.contexts")[0]["abstract_syntax"], CT_IMAGE);
}

#[tokio::test]
async fn while_policy_is_observed_what_would_be_denied_goes_through_and_says_so() {
    let rule = "associations: [ { name: ct, calling_ae: CT3, allow: [ct] } ]";
    let pair =
        pair(|setup| setup.with(rule).with("enforce: false").with("until: 2035-01-01")).await;

    let said = asks("echoscu", &pair.ct, &[], &[]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    let allowed = pair.pacs.trail().only("association-allowed").await;
    assert_eq!(allowed.text("myelin.would_deny"), "no_association_rule", "{allowed:#?}");
    assert_eq!(allowed.text("myelin.differs"), "calling_ae");
}

#[tokio::test]
async fn a_workload_that_is_away_is_temporary_congestion() {
    let mesh = Mesh::new();
    let away = format!("127.0.0.1:{}", free_port());
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi().forward(&away).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi().to(pacs.address()).start().await;

    let said = asks("echoscu", &ct, &[], &[]).await;

    let told = "Result: Rejected Transient, Source: Service Provider (Presentation)\n\
                F: Reason: Temporary Congestion";
    assert!(said.all().contains("Rejected Transient"), "{} is not {told}", said.all());
    let completed = pacs.trail().only("association-completed").await;
    assert_eq!(completed.reason(), "unreachable");
    assert!(completed.text("message").contains("workload"), "{completed:#?}");
    pacs.ended("upstream_unreachable", 1.0).await;
    let completed = ct.trail().only("association-completed").await;
    assert_eq!(completed.text("message"), "A-ASSOCIATE-RJ with result 2, source 3, reason 1");

    drop(pacs);
    let said = asks("echoscu", &ct, &[], &[]).await;
    assert!(said.all().contains("Rejected Transient"), "{}", said.all());
}
