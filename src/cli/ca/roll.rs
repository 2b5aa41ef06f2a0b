//! `myelin ca roll`: puts another root in the place of the old one.

use super::{Bad, console};
use crate::certs::embedded::{Authority, Roll};

/// Without an option: begins, or tells how far it is and what comes next
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    /// The second step, when all peers have the new trust bundle: the new root signs
    #[arg(long, conflicts_with = "finish")]
    switch: bool,
    /// The third step, when no certificate under the old root is valid: the old root is no longer trusted
    #[arg(long)]
    finish: bool,
    /// With --finish: even while certificates under the old root are valid
    #[arg(long, requires = "finish")]
    force: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let authority = arguments.place.open()?;
    let bundle = arguments.place.dir.join("root.crt");
    let bundle = bundle.display();
    let roll = authority.roll()?;
    if arguments.finish {
        authority.finish_roll(arguments.force)?;
        console::line(&format!("{bundle}: the new root alone; give it to all peers"));
    } else if arguments.switch {
        authority.switch_roll()?;
        console::line("the new root signs: certificates are under it from now on");
        console::line("next, when the others have been renewed: myelin ca roll --finish");
    } else if roll == Roll::Switched {
        tell_who_is_left(&authority)?;
    } else {
        let fingerprint = authority.begin_roll(None)?;
        console::line(&format!("{bundle}: the old root, and a new one that does not sign yet"));
        console::line(&format!("sha256: {fingerprint}"));
        console::line(
            "next, when all peers have this trust bundle (sidecars of the directory take it by \
             themselves): myelin ca roll --switch",
        );
    }
    Ok(())
}

fn tell_who_is_left(authority: &Authority) -> Result<(), Bad> {
    let left = authority.under_old_roots()?;
    for record in &left {
        let ends = crate::clock::rfc3339(record.not_after);
        console::line(&format!("{}  {}  until {ends}", record.serial, record.spiffe));
    }
    console::line(&format!(
        "{} certificates under the old root are valid; next, when there are none: myelin ca roll --finish",
        left.len()
    ));
    Ok(())
}
