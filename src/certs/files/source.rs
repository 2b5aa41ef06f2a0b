//! Files as a source.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Paths, read};
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::check::{Offered, Unfit, key_fits};
use crate::certs::source::{Looked, Occasion, Source};
use crate::config::{self, PairForm};

/// Certificate and key may be caught in the middle of being replaced: so often they are read again.
const READS: u32 = 3;
/// Between two of these reads.
const BETWEEN_READS: Duration = Duration::from_millis(100);

/// Reads key material that someone else puts into files.
#[derive(Debug)]
pub(in crate::certs) struct Files {
    config: Arc<config::Files>,
    blocking: Blocking,
}

impl Files {
    pub(in crate::certs) fn new(config: config::Files) -> Self {
        Self { config: Arc::new(config), blocking: Blocking::default() }
    }

    async fn read(&self) -> Result<Offered, MaterialError> {
        let config = Arc::clone(&self.config);
        self.blocking.run(move || whole(&config)).await
    }
}

impl Source for Files {
    fn offer<'a>(
        &'a self,
        _occasion: Occasion<'a>,
    ) -> BoxFuture<'a, Result<Offered, MaterialError>> {
        self.read().boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>> {
        self.read().map(|read| read.map(|offered| Looked::Offered(Box::new(offered)))).boxed()
    }

    /// Their owner replaces them.
    fn renews(&self) -> bool {
        false
    }
}

/// Reads until certificate and key fit, or have not done so for a while.
fn whole(config: &config::Files) -> Result<Offered, MaterialError> {
    let nowhere = PathBuf::new();
    let (cert, key) = match &config.pair.form {
        PairForm::Pem { cert, key } => (cert, key),
        PairForm::Pkcs12(path) => (path, &nowhere),
    };
    let paths = Paths { cert, key, trust_bundle: &config.trust_bundle, crls: &config.crls };
    let mut reads = 1;
    loop {
        let offered = read(paths)?;
        if !matches!(key_fits(&offered), Some(Unfit::KeyMismatch { .. })) || reads == READS {
            return Ok(offered);
        }
        reads += 1;
        sleep(BETWEEN_READS);
    }
}
