//! What the trail says of configuration and key material.

use crate::audit::{Action, Record};
use crate::certs::Rotation;
use crate::clock;
use crate::config::Config;
use crate::telemetry::metrics::Lenient;

pub(super) fn loaded(config: &Config) -> Record {
    let message = format!(
        "policy sha256:{}, {} inbound and {} outbound listeners, {} peers",
        config.digest,
        config.inbound.len(),
        config.outbound.len(),
        config.peers.len()
    );
    Record { message: Some(message), ..Record::new(Action::ConfigLoaded) }
}

/// A listener is strict from now on, by its own configuration.
pub(super) fn strict(which: Lenient, message: String) -> Record {
    let reason = match which {
        Lenient::Permissive => "permissive_ended",
        Lenient::Observe => "observe_ended",
    };
    let loaded = Record::new(Action::ConfigLoaded);
    Record { reason: Some(reason), message: Some(message), ..loaded }
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
