//! DICOMweb on the wire: rules and records in its words, by a client that nobody here wrote.

use crate::support::mesh::{Mesh, Running};
use crate::support::process::Process;
use crate::support::python::{finishes, peer, serves};
use crate::support::trail::Record;

/// A service behind two sidecars, and the one in front of it.
async fn behind(mesh: &Mesh, allowed: &str) -> (Process, Running, Running) {
    let (server, target) = serves(peer("dicomweb_peer", "dicomweb_client", &["server"])).await;
    let routes = format!(
        "routes: [ {{ name: images, path: /dicom-web, dicomweb: {allowed}, allow: [web] }} ]"
    );
    let pacs = mesh.inbound("pacs").allow("web").http().phi().forward(&target).with(&routes);
    let pacs = pacs.start().await;
    let web = mesh.outbound("web").allow("pacs").http().to(pacs.address()).start().await;
    (server, pacs, web)
}

async fn client(web: &Running) -> Vec<String> {
    let port = web.address().port().to_string();
    let said = finishes(peer("dicomweb_peer", "dicomweb_client", &["client", &port])).await;
    said.stdout.lines().map(ToOwned::to_owned).collect()
}

fn told(record: &Record) -> String {
    let transaction = record.text("myelin.dicomweb.transaction");
    format!("{transaction} {}", record.text("url.path"))
}

#[tokio::test]
async fn a_client_searches_and_retrieves_and_may_not_store() {
    let mesh = Mesh::new();
    let (_server, pacs, web) = behind(&mesh, "[search, retrieve]").await;

    let said = client(&web).await;

    assert_eq!(
        said,
        [
            "search studies: done",
            "search series: done",
            "search instances: done",
            "study metadata: done",
            "instance metadata: done",
            "store: 403",
        ]
    );
    let allowed = pacs.trail().wait_for("request-allowed", 5).await;
    let studies = "/dicom-web/studies";
    assert_eq!(
        allowed.iter().map(told).collect::<Vec<_>>(),
        [
            format!("search {studies}"),
            format!("search {studies}/{{study}}/series"),
            format!("search {studies}/{{study}}/series/{{series}}/instances"),
            format!("retrieve {studies}/{{study}}/metadata"),
            format!(
                "retrieve {studies}/{{study}}/series/{{series}}/instances/{{instance}}/metadata"
            ),
        ]
    );
    let denied = pacs.trail().only("request-denied").await;
    assert_eq!(told(&denied), "store /dicom-web/studies");
    let text = pacs.trail().text() + &pacs.page("/denials").await.body;
    // Not the last part of the UID alone: a digest may have four such digits.
    assert!(!text.contains(".4711") && !text.contains("PQ4711"), "{text}");
}

#[tokio::test]
async fn a_client_that_may_do_everything_stores_as_well() {
    let mesh = Mesh::new();
    let (_server, pacs, web) = behind(&mesh, "all").await;

    let said = client(&web).await;

    assert_eq!(said.last().map(String::as_str), Some("store: done"), "{said:?}");
    assert_eq!(pacs.trail().wait_for("request-completed", 6).await.len(), 6);
}
