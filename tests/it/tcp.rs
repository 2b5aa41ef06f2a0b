//! `protocol: tcp`: any byte stream, as it is.

use crate::support::mesh::Mesh;
use crate::support::workload::{Kind, Workload};

#[tokio::test]
async fn any_bytes_go_there_and_back() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(10_000).collect();

    let mut web = mesh.connect("web", &db).await;
    web.send(&every_byte).await;
    let back = web.receive(every_byte.len()).await;

    assert_eq!(back, every_byte);
    assert_eq!(workload.received(), every_byte);
}
