//! Callers that never stop asking while a test changes what is underneath, and that bear no failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::http::plain;
use super::until;

/// Callers that ask and ask.
#[derive(Default)]
pub(crate) struct Load {
    enough: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many callers that ask over HTTP, each on one connection that must stay open.
    pub(crate) fn keep_alive(mut self, address: SocketAddr, callers: usize) -> Self {
        for _ in 0..callers {
            let (enough, answered) = (Arc::clone(&self.enough), Arc::clone(&self.answered));
            self.callers.push(tokio::spawn(async move {
                let mut caller = plain(address).await;
                while !enough.load(Ordering::SeqCst) {
                    let answer = caller.get("/kept").await;
                    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello\n"));
                    assert_ne!(answer.head.header("connection"), Some("close"), "{answer:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        self
    }

    /// So many callers that ask over HTTP, each time on a new connection.
    pub(crate) fn fresh(mut self, address: SocketAddr, callers: usize) -> Self {
        for _ in 0..callers {
            let (enough, answered) = (Arc::clone(&self.enough), Arc::clone(&self.answered));
            self.callers.push(tokio::spawn(async move {
                while !enough.load(Ordering::SeqCst) {
                    let answer = plain(address).await.get("/fresh").await;
                    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello\n"));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        self
    }

    /// So many callers that say line after line to an echo, each on one connection that must stay open.
    pub(crate) fn lines(mut self, address: SocketAddr, callers: usize) -> Self {
        for _ in 0..callers {
            let (enough, answered) = (Arc::clone(&self.enough), Arc::clone(&self.answered));
            self.callers.push(tokio::spawn(async move {
                let mut caller = TcpStream::connect(address).await.unwrap();
                caller.set_nodelay(true).unwrap();
                let mut count = 0_usize;
                while !enough.load(Ordering::SeqCst) {
                    let line = format!("line {count:08}\n");
                    caller.write_all(line.as_bytes()).await.unwrap();
                    let mut back = vec![0; line.len()];
                    caller.read_exact(&mut back).await.unwrap();
                    assert_eq!(back, line.as_bytes());
                    count += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        self
    }

    /// Waits until so many more questions have their answers.
    pub(crate) async fn goes_on(&self, count: usize) {
        let wanted = self.answered.load(Ordering::SeqCst) + count;
        let failed = || self.callers.iter().any(JoinHandle::is_finished);
        until("answers", || failed() || self.answered.load(Ordering::SeqCst) >= wanted).await;
        assert!(!failed(), "a caller has given up");
    }

    /// Lets every caller finish its question; how many were answered. One that failed fails the test.
    pub(crate) async fn ends(self) -> usize {
        self.enough.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.answered.load(Ordering::SeqCst)
    }
}
