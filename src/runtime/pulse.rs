//! Whether the threads of this process still answer.

use tokio::runtime::Handle;

/// The runtimes that have to answer.
#[derive(Debug, Clone)]
pub(super) struct Pulse([Handle; 2]);

impl Pulse {
    pub(super) fn of(data: Handle, control: Handle) -> Self {
        Self([data, control])
    }

    /// Waits until each has done a small thing, which a thread that hangs never does. Whether they did: a thread that
    /// has ended does not either. What its tasks wait for keeps no thread from answering.
    pub(super) async fn beat(&self) -> bool {
        for runtime in &self.0 {
            if runtime.spawn(std::future::ready(())).await.is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_beats_as_long_as_every_thread_answers() {
        let runtime =
            || tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (data, control, test) = (runtime(), runtime(), runtime());
        let pulse = Pulse::of(data.handle().clone(), control.handle().clone());
        assert!(test.block_on(pulse.beat()));

        let (let_go, hold) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        control.spawn(async move {
            tell.send(()).unwrap();
            hold.recv().unwrap()
        });
        told.recv().unwrap();
        let beating = test.spawn({
            let pulse = pulse.clone();
            async move { pulse.beat().await }
        });
        assert!(!beating.is_finished());
        let_go.send(()).unwrap();
        assert!(test.block_on(beating).unwrap());

        control.shutdown_background();
        assert!(!test.block_on(pulse.beat()));
    }
}
