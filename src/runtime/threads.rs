//! The threads of a sidecar, and how they start and end.

use std::future::Future;
use std::io;
use std::sync::mpsc as blocking;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::commands::Command;
use super::pulse::Pulse;
use super::supervisor::Supervisor;
use super::{Inheritance, StartError, Started};
use crate::admin::control::Act;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// What still runs when everything has been cut gets so long to notice.
const LEFT: Duration = Duration::from_millis(200);

/// The running threads.
pub(super) struct Threads {
    end: CancellationToken,
    pulse: Pulse,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Whether they answer.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Ends the threads; whatever they should finish is finished before.
    pub(super) async fn stop(mut self) {
        self.end.cancel();
        let handles = std::mem::take(&mut self.handles);
        let joined = tokio::task::spawn_blocking(move || {
            handles.into_iter().all(|handle| handle.join().is_ok())
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("a thread ended in a panic");
        }
    }
}

/// A sidecar that is dropped without having been stopped ends all the same.
impl Drop for Threads {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Threads that have begun, and may not have got everything to listen yet.
pub(super) struct Starting {
    threads: Threads,
    told: blocking::Receiver<Result<Started, StartError>>,
}

impl Starting {
    /// Whether they answer.
    pub(super) fn pulse(&self) -> &Pulse {
        self.threads.pulse()
    }

    /// Waits until everything listens.
    pub(super) fn wait(self) -> Result<(Threads, Started), StartError> {
        let started = self.told.recv().map_err(|_gone| StartError::Lost)??;
        Ok((self.threads, started))
    }

    /// The same, unless `stop` comes first: then `None`, and the threads have ended.
    pub(super) async fn unless(
        self,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<(Threads, Started)>, StartError> {
        let Self { threads, told } = self;
        let hearing = tokio::task::spawn_blocking(move || told.recv());
        tokio::select! {
            heard = hearing => {
                let heard = heard.map_err(|_panicked| StartError::Lost)?;
                let started = heard.map_err(|_gone| StartError::Lost)??;
                Ok(Some((threads, started)))
            }
            () = stop => {
                threads.stop().await;
                Ok(None)
            }
        }
    }
}

/// Starts the data threads and the control thread.
pub(super) fn start(
    config: Config,
    (inheritance, acts): (Inheritance, mpsc::Sender<Act>),
    inbox: mpsc::Receiver<Command>,
    shutdown: Shutdown,
) -> Result<Starting, StartError> {
    let end = CancellationToken::new();
    let (data, data_thread) =
        start_data(config.workers, end.clone()).map_err(StartError::Threads)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Threads)?;
    let pulse = Pulse::of(data.clone(), runtime.handle().clone());
    let mut threads = Threads { end: end.clone(), pulse, handles: vec![data_thread] };

    let (tell, told) = blocking::channel();
    let control = Builder::new().name("myelin-control".to_owned()).spawn(move || {
        runtime.block_on(async {
            let serving = (data, acts, shutdown);
            match Supervisor::start(config, inheritance, serving, &end).await {
                Ok(Some((supervisor, started))) => {
                    tell_all(&tell, Ok(started));
                    supervisor.run(inbox, &end).await;
                }
                Ok(None) => {}
                Err(error) => tell_all(&tell, Err(error)),
            }
        });
        // A file system that does not answer is not waited for.
        runtime.shutdown_timeout(LEFT);
    });
    threads.handles.push(control.map_err(StartError::Threads)?);
    Ok(Starting { threads, told })
}

/// Who started us may have given up; then nobody needs to know.
fn tell_all(
    tell: &blocking::Sender<Result<Started, StartError>>,
    result: Result<Started, StartError>,
) {
    let _heard = tell.send(result);
}

/// The data runtime lives on a thread of its own, because a runtime may not be dropped by async code.
fn start_data(workers: usize, end: CancellationToken) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("myelin-data")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let thread = Builder::new().name("myelin-data-main".to_owned()).spawn(move || {
        runtime.block_on(end.cancelled_owned());
        // A resolver that does not answer is not waited for.
        runtime.shutdown_timeout(LEFT);
    })?;
    Ok((handle, thread))
}
