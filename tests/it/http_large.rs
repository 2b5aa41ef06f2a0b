//! Much at once: bodies that fit into no memory pass at a sidecar's usual size.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::http_bodies::{curl, sparse};
use crate::support::http::Wire;
use crate::support::mesh::{Mesh, Spawned};

const SIZE: u64 = 2 << 30;
/// What a sidecar may grow by while 2 GB pass. Buffers and windows of both sides fit many times.
const GROWTH_KIB: u64 = 32 * 1024;

/// A workload that takes a body of any size, and sends one of [`SIZE`].
async fn warehouse() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut wire = Wire::new(&mut stream);
                let head = wire.head().await;
                if head.line().starts_with("PUT") {
                    let mut left: u64 = head.header("content-length").unwrap().parse().unwrap();
                    let mut piece = vec![0; 256 * 1024];
                    while left > 0 {
                        let read = match wire.take_ahead() {
                            Some(read) => read as u64,
                            None => wire.io.read(&mut piece).await.unwrap() as u64,
                        };
                        assert!(read > 0, "it broke off with {left} bytes to go");
                        left -= read;
                        counted.fetch_add(read, Ordering::SeqCst);
                    }
                    wire.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
                } else {
                    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
                    let piece = vec![7; 256 * 1024];
                    for _ in 0..SIZE / piece.len() as u64 {
                        wire.io.write_all(&piece).await.unwrap();
                    }
                }
            });
        }
    });
    (target, taken)
}

/// Resident memory of a process in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Samples the memory of sidecars until it is dropped.
struct Scale {
    stop: Arc<AtomicBool>,
    sampling: tokio::task::JoinHandle<Vec<(u64, u64)>>,
}

impl Scale {
    fn of(sidecars: [&Spawned; 2]) -> Self {
        let ids = sidecars.map(|sidecar| sidecar.worker());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sampling = tokio::spawn(async move {
            let mut seen: Vec<_> = ids.iter().map(|id| (resident(*id), 0)).collect();
            while !stopped.load(Ordering::SeqCst) {
                for (id, (_, most)) in ids.iter().zip(&mut seen) {
                    *most = resident(*id).max(*most);
                }
                sleep(Duration::from_millis(20)).await;
            }
            seen
        });
        Self { stop, sampling }
    }

    async fn stays_flat(self) {
        self.stop.store(true, Ordering::SeqCst);
        for (before, most) in self.sampling.await.unwrap() {
            let growth = most.saturating_sub(before);
            assert!(growth < GROWTH_KIB, "grew by {growth} KiB from {before} KiB");
        }
    }
}

/// Both sidecars as processes of their own.
async fn processes(mesh: &Mesh, target: &str) -> (Spawned, Spawned) {
    let ehr = mesh.inbound("ehr").allow("web").http().forward(target).spawn().await;
    let web = mesh.outbound("web").allow("ehr").http().to(ehr.address()).spawn().await;
    (ehr, web)
}

/// A long program, which [`run`] has too little patience for.
async fn finish(mut curl: Command) -> std::process::Output {
    tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_go_up_at_flat_memory() {
    let mesh = Mesh::new();
    let (target, taken) = warehouse().await;
    let (ehr, web) = processes(&mesh, &target).await;
    let scale = Scale::of([&ehr, &web]);

    let url = format!("http://{}/image", web.address());
    let file = sparse(mesh.dir(), SIZE);
    let said = finish(curl(&["-T", &file, "-w", "%{http_code}", &url])).await;

    assert_eq!(String::from_utf8_lossy(&said.stdout), "201", "{said:?}");
    assert_eq!(taken.load(Ordering::SeqCst), SIZE);
    scale.stays_flat().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_come_down_at_flat_memory() {
    let mesh = Mesh::new();
    let (target, _) = warehouse().await;
    let (ehr, web) = processes(&mesh, &target).await;
    let scale = Scale::of([&ehr, &web]);

    let url = format!("http://{}/image", web.address());
    let said =
        finish(curl(&["-o", "/dev/null", "-w", "%{http_code} %{size_download}", &url])).await;

    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("200 {SIZE}"), "{said:?}");
    scale.stays_flat().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_up_over_http2_at_flat_memory() {
    let mesh = Mesh::new();
    let (target, taken) = warehouse().await;
    let (ehr, web) = processes(&mesh, &target).await;
    let scale = Scale::of([&ehr, &web]);

    let url = format!("http://{}/image", web.address());
    let file = sparse(mesh.dir(), SIZE / 16);
    let args = ["--http2-prior-knowledge", "-T", &file, "-w", "%{http_version} %{http_code}", &url];
    let said = finish(curl(&args)).await;

    assert_eq!(String::from_utf8_lossy(&said.stdout), "2 201", "{said:?}");
    assert_eq!(taken.load(Ordering::SeqCst), SIZE / 16);
    scale.stays_flat().await;
}
