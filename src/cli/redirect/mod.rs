//! `myelin redirect`: the kernel's rules that send to the sidecar what was to go elsewhere.

mod iptables;
mod kernel;
mod nft;
mod rules;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};

use self::iptables::Family;
use self::rules::Rules;
use super::{ConfigFile, Exit, console, load};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the rules, and changes nothing
    Print {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        sidecar: Sidecar,
        /// For which program
        #[arg(long, value_enum, default_value = "nft")]
        format: Printed,
    },
    /// Puts the rules in place, instead of those of an earlier run. Needs root, or CAP_NET_ADMIN
    Apply {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        sidecar: Sidecar,
        /// With which program
        #[arg(long, value_enum, default_value = "nft")]
        format: Program,
    },
    /// Takes the rules away. Needs root, or CAP_NET_ADMIN
    Remove {
        /// With which program
        #[arg(long, value_enum, default_value = "nft")]
        format: Program,
    },
}

#[derive(Debug, clap::Args)]
struct Sidecar {
    /// As whom the sidecar runs: this user's connections are not redirected. Nothing else may run as it
    #[arg(long, value_name = "NAME|UID", default_value = "myelin", value_parser = rules::user)]
    user: String,
}

/// What the rules are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Printed {
    /// `nft -f -`
    Nft,
    /// `iptables-restore --noflush`
    Iptables,
    /// `ip6tables-restore --noflush`
    Ip6tables,
}

/// What tells the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// nftables: one table, in one step
    Nft,
    /// iptables and ip6tables
    Iptables,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.action {
        Action::Print { file, sidecar, format } => with_rules(file, sidecar, |rules| {
            console::print(&match format {
                Printed::Nft => nft::text(rules),
                Printed::Iptables => iptables::text(rules, Family::V4, ""),
                Printed::Ip6tables => iptables::text(rules, Family::V6, ""),
            });
            Ok(())
        }),
        Action::Apply { file, sidecar, format } => with_rules(file, sidecar, |rules| {
            match format {
                Program::Nft => apply_nft(rules)?,
                Program::Iptables => apply_iptables(rules)?,
            }
            rules.told().iter().for_each(|line| console::line(&format!("redirected: {line}")));
            Ok(())
        }),
        Action::Remove { format } => {
            match format {
                Program::Nft => drop(kernel::run("nft", &["-f", "-"], &nft::removal())?),
                Program::Iptables => remove_iptables()?,
            }
            console::line("nothing is redirected any more");
            Ok(Exit::Fine)
        }
    }
}

/// Does `act` with the rules of the configuration.
fn with_rules(
    file: &ConfigFile,
    sidecar: &Sidecar,
    act: impl FnOnce(&Rules) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let config = match load(&file.config) {
        Ok(config) => config,
        Err(problems) => {
            console::error(&problems.to_string());
            return Ok(Exit::BadConfig);
        }
    };
    let Some(rules) = Rules::of(&config, &sidecar.user) else {
        let path = config.path.display();
        console::error(&format!(
            "error: {path} redirects nothing: add `redirect: {{ port: 15001 }}` for what the workload opens, or \
             `redirect_ports` to an inbound listener"
        ));
        return Ok(Exit::BadConfig);
    };
    act(&rules)?;
    Ok(Exit::Fine)
}

fn apply_nft(rules: &Rules) -> anyhow::Result<()> {
    kernel::run("nft", &["-f", "-"], &nft::text(rules))?;
    let table: Vec<_> = ["list", "table"].into_iter().chain(nft::TABLE.split(' ')).collect();
    let said = kernel::run("nft", &table, "")?;
    there(rules, |port| nft::has(&said, port))
}

fn apply_iptables(rules: &Rules) -> anyhow::Result<()> {
    for family in Family::BOTH {
        let saved = kernel::run(family.save(), &["-t", "nat"], "")?;
        kernel::run(family.restore(), &["--noflush"], &iptables::text(rules, family, &saved))?;
        let said = kernel::run(family.save(), &["-t", "nat"], "")?;
        there(rules, |port| iptables::has(&said, port))?;
    }
    Ok(())
}

fn remove_iptables() -> anyhow::Result<()> {
    for family in Family::BOTH {
        let saved = kernel::run(family.save(), &["-t", "nat"], "")?;
        if let Some(text) = iptables::removal(&saved) {
            kernel::run(family.restore(), &["--noflush"], &text)?;
        }
    }
    Ok(())
}

/// Whether the kernel has every port to which something is sent: what was not told must not be believed.
fn there(rules: &Rules, has: impl Fn(u16) -> bool) -> anyhow::Result<()> {
    let outbound = rules.outbound.iter().map(|outgoing| outgoing.to);
    for port in outbound.chain(rules.inbound.iter().map(|incoming| incoming.to)) {
        if !has(port) {
            bail!("the rules were taken, and the kernel has none to port {port}: apply them again");
        }
    }
    Ok(())
}
