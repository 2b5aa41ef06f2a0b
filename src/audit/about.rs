//! What a record says about the sidecar itself.

use serde::Serialize;

use super::reads::{Read, Reader};
use super::reviews::Review;
use crate::clock::{self, Kept};
use crate::config::Change;

/// What a record says about the sidecar itself, beside its message.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct About {
    /// `myelin.clock`: how the wall clock is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// `myelin.configuration`: which one, and what is new in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// `myelin.sidecar`: which process it is, at its start and its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
    /// `myelin.build`: what this program was built from, at a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// `myelin.asked_by`: who had it done, over the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<Reader>,
    /// `myelin.read`: who read the trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Read>,
    /// `myelin.review`: who has reviewed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// How the wall clock is kept, and that it was set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clock {
    /// What the kernel knows of it.
    #[serde(flatten)]
    pub kept: Kept,
    /// It was set ahead by so many milliseconds; back, if less than none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepped_ms: Option<i64>,
}

impl Clock {
    /// As it is kept now.
    pub fn now() -> Self {
        Self { kept: clock::kept(), stepped_ms: None }
    }

    /// The same; it was set.
    pub fn stepped(by: time::Duration) -> Self {
        Self { stepped_ms: i64::try_from(by.whole_milliseconds()).ok(), ..Self::now() }
    }
}

/// A configuration that took effect, or did not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Configuration {
    /// The version of its policy, `sha256:…`. `None`: it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of the one before it, which is still in effect if this one was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What is different. Values of keys that may hold a secret, or name somebody, are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Change>,
    /// How many keys are different beside these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_more: Option<usize>,
    /// Why nothing of the trail may be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<String>,
}

/// A process of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sidecar {
    /// Who it proves to be, by its own certificate.
    pub identity: String,
    /// Its number on its machine, or in its container.
    pub process: u32,
    /// `observer.hostname`: the name of its machine, or of its container.
    #[serde(skip)]
    pub host: String,
}

impl Sidecar {
    /// This process, which proves to be `identity`.
    pub fn this(identity: String) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { identity, process: std::process::id(), host }
    }
}

/// What a program was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// What it runs on, like `linux/x86_64`.
    pub platform: String,
    /// Whose cryptography it uses.
    pub provider: &'static str,
    /// Whether that is in FIPS mode.
    pub fips: bool,
    /// Whether it asks policy in Rego.
    pub rego: bool,
}

impl Build {
    /// Of this program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            provider: "aws-lc-rs",
            fips: false,
            rego: cfg!(feature = "rego"),
        }
    }
}
