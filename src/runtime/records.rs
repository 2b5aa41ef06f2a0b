//! What the trail says of configuration and key material.

use crate::audit::{About, Action, Build, Clock, Configuration, Reader, Record, Sidecar};
use crate::certs::Rotation;
use crate::clock::{self, Synchronised};
use crate::config::{Changes, Config, LegalHold, Problems};
use crate::identity::{Fingerprint, PeerCertificate};
use crate::shutdown::Drained;
use crate::telemetry::metrics::Lenient;

/// This process begins to serve, with the certificate `own`.
pub(super) fn started(own: &PeerCertificate) -> Record {
    sidecar(Action::SidecarStarted, own)
}

/// This process ends, and with it what had not ended by itself.
///
/// `successor` is the process that serves instead since a hand-over.
pub(super) fn stopped(own: &PeerCertificate, drained: Drained, successor: Option<u32>) -> Record {
    let mut message = match drained {
        Drained::Clean => "everything that was open came to its end".to_owned(),
        Drained::Cut(left) => format!("{left} connections were cut, for they did not end in time"),
    };
    if let Some(process) = successor {
        message = format!("handed over to process {process}; {message}");
    }
    let reason = successor.map(|_process| "handed_over");
    Record { reason, message: Some(message), ..sidecar(Action::SidecarStopped, own) }
}

/// The same record, with who asked for what it tells of, if somebody did over the control socket.
pub(super) fn asked(mut record: Record, by: Option<Reader>) -> Record {
    let Some(by) = by else { return record };
    let message = record.message.get_or_insert_default();
    message.push_str(&format!("; asked for by {by}"));
    record.about.get_or_insert_default().asked_by = Some(by);
    record
}

fn sidecar(action: Action, own: &PeerCertificate) -> Record {
    let named = own.spiffe.as_ref().map(ToString::to_string);
    let named = named.or_else(|| own.dns.first().map(ToString::to_string));
    let identity = named.unwrap_or_else(|| own.subject.text.clone());
    let about = About { sidecar: Some(Sidecar::this(identity)), ..About::default() };
    Record { about: Some(Box::new(about)), ..Record::new(action) }
}

/// A configuration took effect: the first, or in place of `previous`.
pub(super) fn loaded(config: &Config, previous: Option<&Config>) -> Record {
    let message = format!(
        "policy sha256:{}, {} inbound and {} outbound listeners, {} peers",
        config.digest,
        config.inbound.len(),
        config.outbound.len(),
        config.peers.len()
    );
    let changes = previous.map(|previous| previous.outline.changes(&config.outline));
    let hold = config.audit.as_ref().and_then(|audit| audit.keeping.legal_hold.as_ref());
    let configuration = Configuration {
        version: Some(version(config.digest)),
        previous: previous.map(|previous| version(previous.digest)),
        legal_hold: hold.map(legal_hold),
        ..changed(changes.unwrap_or_default())
    };
    let build = previous.is_none().then(Build::this);
    let about = About { configuration: Some(configuration), build, ..About::default() };
    Record {
        message: Some(message),
        about: Some(Box::new(about)),
        ..Record::new(Action::ConfigLoaded)
    }
}

/// What is to be said of a configuration before it takes effect, or does not.
pub(super) struct Offered {
    version: Option<Fingerprint>,
    changes: Changes,
}

impl Offered {
    /// In place of `current`.
    pub(super) fn of(loaded: &Result<Config, Problems>, current: &Config) -> Self {
        match loaded {
            Ok(config) => Self {
                version: Some(config.digest),
                changes: current.outline.changes(&config.outline),
            },
            Err(problems) => Self { version: problems.digest(), changes: Changes::default() },
        }
    }

    /// It was refused, and `current` stays.
    pub(super) fn rejected(self, current: &Config, message: String) -> Record {
        let configuration = Configuration {
            version: self.version.map(version),
            previous: Some(version(current.digest)),
            ..changed(self.changes)
        };
        let about = About { configuration: Some(configuration), ..About::default() };
        Record {
            message: Some(message),
            about: Some(Box::new(about)),
            ..Record::new(Action::ConfigRejected)
        }
    }
}

/// A new process was to serve, with another binary or configuration, and could not; `current` goes on.
pub(super) fn not_handed_over(current: &Config, why: &str) -> Record {
    let configuration =
        Configuration { previous: Some(version(current.digest)), ..Configuration::default() };
    let about = About { configuration: Some(configuration), ..About::default() };
    Record {
        reason: Some("hand_over"),
        message: Some(why.to_owned()),
        about: Some(Box::new(about)),
        ..Record::new(Action::ConfigRejected)
    }
}

fn changed(Changes { named, more }: Changes) -> Configuration {
    Configuration {
        changed: named,
        changed_more: (more > 0).then_some(more),
        ..Configuration::default()
    }
}

fn version(digest: Fingerprint) -> String {
    format!("sha256:{digest}")
}

fn legal_hold(LegalHold { reason, since }: &LegalHold) -> String {
    match since {
        Some(since) => format!("since {}: {reason}", clock::rfc3339(*since)),
        None => reason.to_string(),
    }
}

/// Somebody began to keep the wall clock right, or does not any more.
pub(super) fn clock_changed(clock: Clock) -> Record {
    let message = match clock.kept.synchronised {
        Synchronised::Yes => "the wall clock is kept right from now on (NTP or PTP)",
        Synchronised::No => {
            "nobody keeps the wall clock right any more: look at the NTP service of this machine"
        }
        Synchronised::Unknown => {
            "the kernel cannot be asked any more whether the wall clock is kept right"
        }
    };
    with_clock(Action::ClockChanged, message, clock)
}

/// The wall clock was set.
pub(super) fn clock_stepped(clock: Clock) -> Record {
    let message = match clock.stepped_ms {
        Some(..0) => {
            "the wall clock was set back: records that follow may seem to be earlier than those before"
        }
        _ => "the wall clock was set ahead, or the machine has slept",
    };
    with_clock(Action::ClockStepped, message, clock)
}

fn with_clock(action: Action, message: &str, clock: Clock) -> Record {
    let about = About { clock: Some(clock), ..About::default() };
    Record {
        message: Some(message.to_owned()),
        about: Some(Box::new(about)),
        ..Record::new(action)
    }
}

/// A listener lets in what its policy would not, from now on.
pub(super) fn lenient(which: Lenient, message: String) -> Record {
    let reason = match which {
        Lenient::Permissive => "permissive",
        Lenient::Observe => "observe",
    };
    let started = Record::new(Action::BreakGlassStarted);
    Record { reason: Some(reason), message: Some(message), ..started }
}

/// A listener is strict from now on: its date has passed, or the configuration says so.
pub(super) fn strict(which: Lenient, message: String) -> Record {
    let reason = match which {
        Lenient::Permissive => "permissive_ended",
        Lenient::Observe => "observe_ended",
    };
    let ended = Record::new(Action::BreakGlassEnded);
    Record { reason: Some(reason), message: Some(message), ..ended }
}

pub(super) fn rotation(event: &Rotation) -> Record {
    match event {
        Rotation::Rotated { facts, changed, warnings } => {
            let mut message = format!(
                "new {}: serial {}, sha256 {}, valid until {}",
                changed.join(" and "),
                facts.serial,
                facts.sha256,
                clock::rfc3339(facts.not_after)
            );
            for warning in warnings {
                message.push_str("; ");
                message.push_str(warning);
            }
            Record { message: Some(message), ..Record::new(Action::CertificateRotated) }
        }
        Rotation::Rejected { problems } => {
            let message = Some(problems.join("; "));
            Record { message, ..Record::new(Action::CertificateRejected) }
        }
    }
}
