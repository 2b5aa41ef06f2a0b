//! What the process gives up before it serves: all that this configuration does not need.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::config::{
    Config, Embedded, Est, IdentitySource, ListenAddr, SandboxMode, Spiffe, Target,
};
use crate::sandbox::{self, Needs, Sandbox};

/// Something of the sandbox is not to be had, and `runtime.sandbox` is `required`.
#[derive(Debug, thiserror::Error)]
#[error(
    "the sandbox is not complete, and `runtime.sandbox` is `required`: {}. With `auto` the sidecar runs with what there is",
    .0.join("; ")
)]
pub struct Incomplete(pub Vec<String>);

/// What may end a process that asks for a sandbox, and the mend.
const ENDED: &str = "the filter of system calls with which the sidecar was started ends a process that asks for a \
                     sandbox: let capset, landlock_create_ruleset, landlock_add_rule, landlock_restrict_self and \
                     seccomp through (SystemCallFilter= in systemd), or refuse them with an error \
                     (SystemCallErrorNumber=EPERM)";

/// Puts the sandbox on that `config` asks for, while this thread is the only one. Where somebody has filtered the system calls before,
/// `rehearse` says whether another process has lived through it.
///
/// # Errors
///
/// It is required, and something of it is missing.
pub fn confine(config: &Config, rehearse: impl FnOnce() -> bool) -> Result<Sandbox, Incomplete> {
    if config.sandbox == SandboxMode::Off {
        return Ok(Sandbox::default());
    }
    make(own(config));
    let sandbox = if sandbox::is_filtered() && !rehearse() {
        Sandbox::without(ENDED.to_owned())
    } else {
        Sandbox::put_on(&needs(config))
    };
    match config.sandbox {
        SandboxMode::Required if !sandbox.missing.is_empty() => Err(Incomplete(sandbox.missing)),
        _ => Ok(sandbox),
    }
}

/// What `config` needs of the file system.
pub(super) fn needs(config: &Config) -> Needs {
    let mut needs = Needs { reads: config.files.clone(), ..Needs::default() };
    needs.reads.insert(config.path.clone());
    needs.writes.extend(own(config).map(Path::to_owned));
    needs.remakes.extend(config.audit.as_ref().map(|audit| audit.dir.clone()));
    let key = config.audit.as_ref().and_then(|audit| audit.checkpoints.key_file.as_deref());
    let sockets = config.outbound.iter().filter_map(|listener| match &listener.listen {
        ListenAddr::Unix(path) => Some(path.as_path()),
        ListenAddr::Tcp(_) | ListenAddr::Redirected | ListenAddr::ForwardProxy => None,
    });
    needs.writes.extend(key.map(directory));
    needs.listens.extend(sockets.chain(config.admin.socket.as_deref()).map(directory));
    let forwards = config.inbound.iter().filter_map(|listener| match &listener.forward {
        Target::Unix(path) => Some(path.clone()),
        Target::Tcp(_) => None,
    });
    needs.connects.extend(forwards);
    if let IdentitySource::Spiffe(Spiffe { socket, .. }) = &config.identity {
        needs.connects.insert(socket.clone());
    }
    needs
}

/// The directories that the sidecar makes if they are not there.
fn own(config: &Config) -> impl Iterator<Item = &Path> {
    let identity = match &config.identity {
        IdentitySource::Embedded(Embedded { dir, .. }) | IdentitySource::Est(Est { dir, .. }) => {
            Some(dir.as_path())
        }
        IdentitySource::Vault(vault) => vault.dir.as_deref(),
        IdentitySource::Files(_) | IdentitySource::Spiffe(_) => None,
    };
    let trail = config.audit.as_ref().map(|audit| audit.dir.as_path());
    trail.into_iter().chain(identity)
}

/// What is not there cannot be let through. Whoever uses it would make it the same way, and says why it cannot.
fn make<'d>(dirs: impl Iterator<Item = &'d Path>) {
    for dir in dirs {
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            tracing::debug!(dir = %dir.display(), %error, "not made");
        }
    }
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}
