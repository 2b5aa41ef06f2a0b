//! `myelin demo`: a sample clinic on loopback, and what to try with it.
//!
//! Three legacy services in plaintext, a sidecar beside each, and a fourth beside a caller. The services
//! are in this process; the sidecars are real ones, each from its own configuration file.

mod clinic;
mod evidence;
mod follow;
mod guide;
mod leftover;
mod place;
mod ports;
mod sidecars;
mod signals;
mod tour;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::{Exit, Format, console};
use crate::shutdown::Shutdown;
use clinic::Clinic;
use follow::Follower;
use guide::Guide;
use place::Place;
use ports::Ports;
use sidecars::Sidecars;
use signals::{Order, Signals};
use tour::{Happened, Tour};

/// Between two looks at the trails.
const LOOK: Duration = Duration::from_millis(300);
/// For the services, which have nobody left to serve.
const CLOSING: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Try everything, tell what happened, and exit: 0 only if all of it was as it should be
    #[arg(long)]
    once: bool,
    /// Keep everything in this new directory, instead of a temporary one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Listen on the ports after this one; 0 lets the kernel choose. Ports that are taken are replaced
    #[arg(long, value_name = "PORT", default_value = "18000")]
    base_port: u16,
    /// How to print what is running, or what happened
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the system gives no more threads or descriptors")?;
    // From here on nobody can stop us without the directory being removed.
    let mut signals =
        runtime.block_on(async { Signals::watch() }).context("signals cannot be watched")?;
    let place = Place::make(arguments.keep.as_deref())?;
    let shown = open(&runtime, &mut signals, &place, arguments);
    let closed = place.close();
    let exit = shown?;
    closed.map(|()| exit)
}

/// From the first service to the last sidecar's end.
fn open(
    runtime: &Runtime,
    signals: &mut Signals,
    place: &Place,
    arguments: &Arguments,
) -> anyhow::Result<Exit> {
    place.furnish()?;
    let end = Shutdown::default();
    let clinic = runtime
        .block_on(Clinic::open(&end))
        .context("the sample services find no port on 127.0.0.1")?;
    // Each sidecar brings its own threads, as it does in a process of its own.
    let sidecars = Sidecars::start(place, &clinic, Ports::after(arguments.base_port))?;
    runtime.block_on(async {
        let shown = if arguments.once {
            tokio::select! {
                exit = tour(&clinic, &sidecars, place, arguments.format) => exit,
                () = signals.stop() => Ok(Exit::Failed),
            }
        } else {
            stay(&clinic, &sidecars, place, signals, arguments.format).await
        };
        tokio::select! {
            () = sidecars.stop() => {}
            () = signals.stop() => {} // a second Ctrl-C: what is still open is cut
        }
        end.run(CLOSING).await;
        shown
    })
}

/// Takes the tour.
async fn tour(
    clinic: &Clinic,
    sidecars: &Sidecars,
    place: &Place,
    format: Format,
) -> anyhow::Result<Exit> {
    let mut number = 0;
    let tell = |happened: &Happened| match format {
        Format::Text => {
            number += 1;
            console::line(&format!("{number}. {happened}"));
        }
        Format::Json => {}
    };
    let all = Tour::of(clinic, sidecars, place.dir()).walk(tell).await;
    let fine = all.iter().filter(|happened| happened.ok).count();
    match format {
        Format::Text if fine == all.len() => {
            console::line(&format!("All {fine} steps went as they should."));
        }
        Format::Text => {
            let wrong = all.len() - fine;
            console::line(&format!("{wrong} of {} steps went wrong: see ✗ above.", all.len()));
        }
        Format::Json => console::line(&serde_json::to_string_pretty(&all)?),
    }
    Ok(if fine == all.len() { Exit::Fine } else { Exit::Failed })
}

/// Tells what to try, and what comes of it, until a signal ends it.
async fn stay(
    clinic: &Clinic,
    sidecars: &Sidecars,
    place: &Place,
    signals: &mut Signals,
    format: Format,
) -> anyhow::Result<Exit> {
    let guide = Guide::to(place, clinic, sidecars, &called_as());
    match format {
        Format::Text => console::line(&guide.to_string()),
        Format::Json => console::line(&serde_json::to_string_pretty(&guide)?),
    }
    let mut follower = Follower::of(sidecars);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Order::Stop => break,
                Order::Reload => console::error(&sidecars.reload().await),
            },
            () = sleep(LOOK) => if format == Format::Text {
                follower.news().iter().for_each(|line| console::line(line));
            },
        }
    }
    if format == Format::Text {
        console::line("\nstopping");
    }
    Ok(Exit::Fine)
}

/// How a reader calls this program from another directory.
fn called_as() -> PathBuf {
    let typed = std::env::args_os().next().map_or_else(|| PathBuf::from("myelin"), PathBuf::from);
    if typed.components().count() == 1 {
        return typed; // found by way of PATH
    }
    std::path::absolute(&typed).unwrap_or(typed)
}
