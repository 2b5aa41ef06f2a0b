//! Work on the authority: one at a time, off the threads that serve connections.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use crate::certs::embedded::{Authority, AuthorityError};

/// Where the authority is opened anew for each piece of work.
pub(super) struct Desk {
    dir: PathBuf,
    /// The authority's directory is locked while it is used: one at a time, and others wait here.
    free: Arc<Semaphore>,
}

/// Why work was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    /// The authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It panicked. The next piece of work begins anew.
    #[error("work on the authority broke off, which is a fault of myelin: please report it")]
    BrokeOff(#[source] JoinError),
}

impl Desk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, free: Arc::new(Semaphore::new(1)) }
    }

    /// Does `work` with the authority as it is now.
    pub(super) async fn with_authority<T: Send + 'static>(
        &self,
        work: impl FnOnce(Authority) -> T + Send + 'static,
    ) -> Result<T, DeskError> {
        let alone = Arc::clone(&self.free).acquire_owned().await;
        let dir = self.dir.clone();
        let done = spawn_blocking(move || {
            let _alone = alone; // to the end of the work, be its client still there or not
            Authority::open_any(&dir).map(work)
        });
        Ok(done.await.map_err(DeskError::BrokeOff)??)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::identity::TrustDomain;
    use crate::report::Report;

    #[tokio::test]
    async fn work_that_panics_ends_nothing_but_itself() {
        let dir = TempDir::new().unwrap();
        let trust_domain = TrustDomain::parse("hospital.example").unwrap();
        let made = dir.path().join("authority");
        let fingerprint = Authority::create(&made, &trust_domain, None).unwrap().fingerprint();
        let desk = Desk::new(made);

        let broken = desk.with_authority(|_authority| -> () { panic!("a fault of ours") }).await;

        let text = Report(&broken.unwrap_err()).to_string();
        assert!(text.contains("please report it") && text.contains("a fault of ours"), "{text}");
        let next = desk.with_authority(|authority| authority.fingerprint()).await;
        assert_eq!(next.unwrap(), fingerprint, "the directory is not locked, and nobody waits");
    }
}
