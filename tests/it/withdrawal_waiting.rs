//! A right may end while its holder still waits to use it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::support::client::{config, connect};
use crate::support::ward::{Cause, Ward};
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn a_peer_whose_certificate_expires_while_it_waits_for_a_slot_does_not_reach_the_workload() {
    let workload = Workload::tcp(Kind::Echo).await;
    let mut ward =
        Ward::inbound(Cause::CertificateExpires, |setup| setup.forward(workload.target()));
    let ehr = ward.start(|setup| setup.limits("connections: 1")).await;
    // Accepted while there is a slot; the other one is faster.
    let socket = TcpStream::connect(ehr.address()).await.unwrap();
    let mut web = connect(&ward.web(), ehr.address(), "ehr").await.unwrap();
    web.echoes("hello").await;
    let name = ServerName::try_from("ehr").unwrap();
    let mut lab =
        TlsConnector::from(Arc::new(config(&ward.lab))).connect(name, socket).await.unwrap();
    lab.write_all(b"too late").await.unwrap();
    let left = ward.ends() - OffsetDateTime::now_utc();
    assert!(left.is_positive(), "this machine is too slow for the test");

    sleep(left.unsigned_abs()).await; // what is waited for is the moment itself
    web.end().await;
    web.rest().await;

    let denied = ehr.trail().only("connection-denied").await;
    assert_eq!(denied.reason(), "certificate_expired");
    assert_eq!(workload.received(), b"hello");
}
