//! The trail goes out to others: to repositories, collectors, whoever has to see it.
//!
//! ```text
//! trail (durable) ──Follower──▶ Feed: choose, encode ──▶ Sink: syslog … ──TLS──▶ receiver
//!                                 ▲                        │
//!                 export-NAME.cursor ◀──── delivered ──────┘
//! ```
//!
//! Each export reads the trail by itself, behind a cursor of its own: there is no second spool, and nothing of it is in
//! the way of traffic. Records go out in order and at least once: the cursor goes on when they are delivered, and after a
//! failure or a restart what is behind it goes out again. `event.sequence` tells which came twice.

mod backoff;
mod dial;
mod exporter;
mod failure;
mod feed;
mod http;
mod sink;
mod standing;
mod syslog;
pub mod traces;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use self::exporter::Exporter;
use self::sink::Sink;
pub use self::standing::Standing;
use crate::audit::{Audit, cursor};
use crate::certs::Material;
use crate::config::{Config, ExportSettings, ExportTo, OtlpExport, TlsSettings};
use crate::live::Live;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// An export that is changed or removed by a reload gets so long to deliver what there is.
const LEAVING: Duration = Duration::from_secs(5);

/// The exports that run. They belong to the runtime on which they are started.
pub struct Exports {
    running: BTreeMap<Arc<str>, Running>,
    audit: Audit,
    material: Live<Material>,
    metrics: Metrics,
    shutdown: Shutdown,
    turns: Turns,
}

struct Running {
    given: Given,
    standing: Arc<Standing>,
    shutdown: Shutdown,
}

/// Whose turn it is at each export's cursor, by name: a task holds it for as long as it lives, and two never move one
/// cursor, however many reloads follow each other.
#[derive(Default)]
struct Turns(BTreeMap<Arc<str>, Arc<Mutex<()>>>);

impl Turns {
    /// The turn at the cursor of the export `name`.
    fn at(&mut self, name: &Arc<str>) -> Arc<Mutex<()>> {
        self.0.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(self.0.entry(Arc::clone(name)).or_default())
    }
}

/// What an export is made from.
#[derive(PartialEq)]
struct Given {
    dir: PathBuf,
    settings: ExportSettings,
    tls: TlsSettings,
    service: Arc<str>,
}

impl Exports {
    /// None yet.
    pub fn new(audit: Audit, material: Live<Material>, metrics: Metrics) -> Self {
        let (running, shutdown) = (BTreeMap::new(), Shutdown::default());
        Self { running, audit, material, metrics, shutdown, turns: Turns::default() }
    }

    /// Starts what `config` has and does not run yet, ends what it has no more. What stays the same goes on.
    pub fn put_in_place(&mut self, config: &Config) {
        let Some(settings) = &config.audit else { return };
        self.audit.keep_needed(cursor::needs(settings));
        let wanted: Vec<_> = settings
            .export
            .iter()
            .map(|export| Given {
                dir: settings.dir.clone(),
                settings: export.clone(),
                tls: config.tls.clone(),
                service: Arc::clone(&config.service),
            })
            .collect();
        let whole = self.shutdown.clone();
        self.running.retain(|name, running| {
            let stays = wanted.contains(&running.given);
            if !stays {
                running.leave(&whole);
                if !wanted.iter().any(|given| given.settings.name == *name) {
                    running.standing.forgotten();
                }
            }
            stays
        });
        for given in wanted {
            let name = Arc::clone(&given.settings.name);
            if !self.running.contains_key(&name) {
                let turn = self.turns.at(&name);
                let running = self.start(given, turn);
                self.running.insert(name, running);
            }
        }
    }

    fn start(&self, given: Given, turn: Arc<Mutex<()>>) -> Running {
        let Given { dir, settings, .. } = &given;
        let metrics = self.metrics.export(&settings.name);
        let standing = Arc::new(Standing::new(settings, metrics, self.audit.durable()));
        let shutdown = self.shutdown.child();
        let exporter = Exporter {
            name: Arc::clone(&settings.name),
            dir: dir.clone(),
            which: settings.feed,
            encode: sink::encode(settings),
            standing: Arc::clone(&standing),
            shutdown: shutdown.clone(),
        };
        let sink = Sink::new(&given, self.material.clone());
        let durable = self.audit.durable();
        let alive = Arc::clone(&standing).while_alive(shutdown.clone());
        shutdown.spawn(async move {
            let _alive = alive;
            let _turn = turn.lock_owned().await;
            exporter.run(sink, durable).await;
        });
        Running { given, standing, shutdown }
    }

    /// How they stand.
    pub fn standings(&self) -> Vec<Arc<Standing>> {
        self.running.values().map(|running| Arc::clone(&running.standing)).collect()
    }

    /// Brings the metrics up to date.
    pub fn upkeep(&self) {
        self.running.values().for_each(|running| running.standing.upkeep());
    }

    /// Whether they have been asked to end.
    pub fn are_drained(&self) -> bool {
        self.shutdown.is_draining()
    }

    /// Delivers what there is, for at most `grace`. What is left goes out after the next start.
    pub async fn drain(&self, grace: Duration) {
        let left = self.shutdown.run(grace).await;
        tracing::debug!(?left, "the exports of the audit trail have ended");
    }
}

impl Running {
    /// Ends, by and by.
    fn leave(&self, whole: &Shutdown) {
        let (own, whole) = (self.shutdown.clone(), whole.clone());
        own.drain();
        own.clone().spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(LEAVING) => own.cut(),
                () = whole.draining() => {} // then the whole process's grace counts
            }
        });
    }
}

/// Looks whether the files that `settings` name can be used.
///
/// # Errors
///
/// Says what is wrong with them, for the operator.
pub fn look(settings: &ExportSettings) -> Result<(), String> {
    if let Some(path) = &settings.trust_bundle {
        dial::own_authorities(path).map_err(|failure| failure.what)?;
    }
    if let ExportTo::Otlp(OtlpExport { headers_file: Some(path), .. }) = &settings.to {
        http::otlp::headers(path).map_err(|failure| failure.what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_the_same_for_as_long_as_a_task_that_was_removed_still_holds_it() {
        let (mut turns, name) = (Turns::default(), Arc::from("arr"));
        let held = turns.at(&name).lock_owned().await;
        drop(turns.at(&Arc::from("another")));

        assert!(turns.at(&name).try_lock().is_err());
        drop(held);
        assert!(turns.at(&name).try_lock().is_ok());
        assert_eq!(turns.0.len(), 1, "what nobody holds is forgotten");
    }
}
