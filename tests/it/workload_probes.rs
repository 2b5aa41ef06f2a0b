//! `admin.probes`: whether the workload answers, without a way through to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpListener;

use crate::support::admin::{ask, get};
use crate::support::eventually;
use crate::support::legacy::Legacy;
use crate::support::mesh::{Mesh, Running};

async fn probed(mesh: &Mesh, probes: &str) -> Running {
    let admin = format!("listen: 127.0.0.1:0, probe_listen: 127.0.0.1:0, probes: [ {probes} ]");
    mesh.inbound("ehr").allow("web").http().admin(&admin).start().await
}

/// A workload that answers with this status, which may change.
async fn workload(status: &Arc<AtomicU16>) -> Legacy {
    let status = Arc::clone(status);
    Legacy::answering(move |_| {
        let status = status.load(Ordering::SeqCst);
        format!("HTTP/1.1 {status} X\r\nSet-Cookie: PQ4711\r\nContent-Length: 6\r\n\r\nPQ4711")
    })
    .await
}

#[tokio::test]
async fn the_class_of_the_workloads_status_is_told_and_nothing_else_of_it() {
    let mesh = Mesh::new();
    let status = Arc::new(AtomicU16::new(200));
    let workload = workload(&status).await;
    let probe = format!("{{ path: /health/fhir, http: \"http://{}/healthz\" }}", workload.target());
    let ehr = probed(&mesh, &probe).await;

    let up = ehr.page("/health/fhir").await;
    assert_eq!((up.status, up.body.as_str()), (200, "up\n"));
    assert!(!up.head.contains("PQ4711"), "{}", up.head);
    let asked = workload.only();
    assert_eq!(asked.head.target(), "/healthz");

    for (next, expected) in [(503, 503), (302, 200), (404, 503), (204, 200)] {
        status.store(next, Ordering::SeqCst);
        eventually("the probe to notice", || async {
            let page = ehr.page("/health/fhir").await;
            assert!(!page.body.contains("PQ4711"));
            (page.status == expected).then_some(())
        })
        .await;
    }
    assert_eq!(ehr.page("/ready").await.status, 200);
    assert_eq!(ehr.page("/health").await.status, 404);
}

#[tokio::test]
async fn whoever_asks_often_does_not_ask_the_workload_often() {
    let mesh = Mesh::new();
    let workload = workload(&Arc::new(AtomicU16::new(200))).await;
    let probe = format!("{{ path: /health/fhir, http: \"http://{}/\" }}", workload.target());
    let ehr = probed(&mesh, &probe).await;

    let begun = std::time::Instant::now();
    let asks = (0..40).map(|_| ehr.page("/health/fhir"));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status, 200);
    }

    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(workload.asked().len() <= seconds + 1, "{}", workload.asked().len());
}

#[tokio::test]
async fn a_port_that_takes_connections_is_up_and_one_that_does_not_is_down() {
    let mesh = Mesh::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ehr = probed(&mesh, &format!("{{ path: /health/adt, tcp: \"{address}\" }}")).await;

    assert_eq!(ehr.page("/health/adt").await.status, 200);
    drop(listener);
    eventually("the probe to notice", || async {
        (ehr.page("/health/adt").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_workload_that_says_nothing_is_down_within_a_second() {
    let mesh = Mesh::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let probe = format!("{{ path: /health/fhir, http: \"http://{address}/\" }}");
    let ehr = probed(&mesh, &probe).await;

    let down = ehr.page("/health/fhir").await;

    assert_eq!((down.status, down.body.as_str()), (503, "down\n"));
    let head = ask(
        ehr.admin,
        "HEAD /health/fhir HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(head.await.unwrap().status, 503);
    let index = get(ehr.admin, "/").await.unwrap().body;
    assert!(index.ends_with("/health/fhir\n"), "{index}");
}
