//! What may be asked of the process itself.

use tokio::sync::{mpsc, oneshot};

use crate::audit::Reader;

/// Acts that may wait.
const WAITING: usize = 4;

/// Something that is asked of the process. Whoever owns the process does it.
#[derive(Debug)]
pub enum Act {
    /// Read the configuration again and put it in place.
    Reload {
        /// Who asks.
        by: Reader,
        /// Whether it took effect, or why it did not.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Begin the orderly end of the process, as SIGTERM does.
    Drain {
        /// Who asks.
        by: Reader,
    },
}

/// Where acts are asked for, and where they are done.
pub fn acts() -> (mpsc::Sender<Act>, mpsc::Receiver<Act>) {
    mpsc::channel(WAITING)
}
