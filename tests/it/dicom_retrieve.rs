//! Archives of others behind a sidecar: studies are stored, found, got and moved.

use std::path::Path;

use tempfile::TempDir;

use crate::support::dicom::{PATIENT, asks, data_set, dcmqrscp, image, orthanc, stored, storescp};
use crate::support::mesh::{Mesh, Running};

/// Keys that name the one study there is.
const STUDY: [&str; 5] =
    ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.826.0.1.3680043.8.498.2"];

/// A PACS's sidecar before an archive, and a modality's.
async fn pair(mesh: &Mesh, archive: &str) -> (Running, Running) {
    let pacs = mesh.inbound("pacs").allow("ct").dicom().phi().forward(archive).start().await;
    let ct = mesh.outbound("ct").allow("pacs").dicom().phi().to(pacs.address()).start().await;
    (pacs, ct)
}

async fn stores(ct: &Running, dir: &Path) -> std::path::PathBuf {
    let object = image(dir, 100_000).await;
    let said = asks("storescu", ct, &[], &[object.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    object
}

/// Gets the study on the association on which it asks, with the called side storing on it.
async fn gets(ct: &Running, pacs: &Running, object: &Path) {
    let into = TempDir::new().unwrap();
    let mut args = vec!["-od", into.path().to_str().unwrap()];
    args.extend(STUDY);

    let said = asks("getscu", ct, &args, &[]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(data_set(&stored(into.path())) == data_set(object), "it was changed on its way");
    let completed = pacs.trail().wait_for("association-completed", 2).await;
    assert_eq!(completed[1].reason(), "released");
    let commands = completed[1].field("myelin.dicom.commands");
    assert_eq!(*commands, serde_json::json!({ "up": { "c_get": 1 }, "down": { "c_store": 1 } }));
    assert!(!pacs.trail().text().contains("3680043.8.498.2"), "not which study it was");
}

#[tokio::test]
async fn a_study_is_got_on_the_association_that_asks_for_it() {
    let (mesh, dir) = (Mesh::new(), TempDir::new().unwrap());
    let (_archive, target) = dcmqrscp(dir.path(), &[]).await;
    let (pacs, ct) = pair(&mesh, &target).await;
    let object = stores(&ct, dir.path()).await;

    gets(&ct, &pacs, &object).await;
}

#[tokio::test]
async fn a_study_is_moved_to_a_third_party_by_an_association_of_the_archives_own() {
    let (mesh, dir, store) = (Mesh::new(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_viewer, target) = storescp(store.path(), &[]).await;
    let viewer = mesh.inbound("viewer").allow("archive").dicom().phi().forward(&target);
    let viewer = viewer.start().await;
    let archive = mesh.outbound("archive").allow("viewer").dicom().phi().to(viewer.address());
    let archive = archive.start().await;
    let (_archive, target) = dcmqrscp(dir.path(), &[("VIEWER", archive.address())]).await;
    let (pacs, ct) = pair(&mesh, &target).await;
    let object = stores(&ct, dir.path()).await;
    let mut args = vec!["-aem", "VIEWER"];
    args.extend(STUDY);

    let said = asks("movescu", &ct, &args, &[]).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(data_set(&stored(store.path())) == data_set(&object), "it was changed on its way");
    let asked = pacs.trail().wait_for("association-completed", 2).await;
    assert_eq!(asked[1].number("myelin.dicom.commands.up.c_move"), 1);
    for side in [&archive, &viewer] {
        let moved = side.trail().only("association-completed").await;
        assert_eq!(moved.reason(), "released");
        assert_eq!(moved.number("myelin.dicom.commands.up.c_store"), 1);
        assert_eq!(moved.text("myelin.dicom.called_ae"), "VIEWER");
    }
}

#[tokio::test]
async fn orthanc_stores_finds_and_gives_back_a_study() {
    let (mesh, dir) = (Mesh::new(), TempDir::new().unwrap());
    let (_archive, target) = orthanc(dir.path()).await;
    let (pacs, ct) = pair(&mesh, &target).await;
    let object = stores(&ct, dir.path()).await;

    gets(&ct, &pacs, &object).await;
    let mut args = STUDY.to_vec();
    args.extend(["-k", "PatientName"]);
    let said = asks("findscu", &ct, &args, &[]).await;

    assert!(said.all().contains(PATIENT), "{}", said.all());
    let completed = pacs.trail().wait_for("association-completed", 3).await;
    assert_eq!(completed[2].number("myelin.dicom.commands.up.c_find"), 1);
    assert!(!pacs.trail().text().contains("ZEBRAFINCH"));
}
