//! The way to a receiver, whatever it speaks.

use std::sync::Arc;

use tokio::time::Instant;

use super::dial::Dialer;
use super::failure::Failure;
use super::feed::Encode;
use super::syslog::Syslog;
use super::syslog::frame::Sender;
use crate::certs::Material;
use crate::config::{ExportSettings, ExportTo, TlsSettings};
use crate::live::{Generation, Live};

/// The way to a receiver.
pub(super) enum Sink {
    Syslog(Syslog),
}

impl Sink {
    /// To the receiver that `settings` name. Connects to nobody yet.
    pub(super) fn new(
        settings: &ExportSettings,
        tls: &TlsSettings,
        material: Live<Material>,
    ) -> Self {
        let trust_bundle = settings.trust_bundle.clone();
        match &settings.to {
            ExportTo::Syslog(syslog) => Self::Syslog(Syslog {
                dialer: Dialer {
                    endpoint: syslog.address.clone(),
                    plaintext: syslog.plaintext,
                    trust_bundle,
                    tls: tls.clone(),
                    material,
                },
                confirm: syslog.confirm,
                link: None,
            }),
        }
    }

    /// How its receiver wants records to be put.
    pub(super) fn encode(settings: &ExportSettings) -> Encode {
        match &settings.to {
            ExportTo::Syslog(syslog) => {
                let (sender, format) = (Sender::here(), syslog.format);
                Arc::new(move |line, recorded| sender.frame(format, line, recorded))
            }
        }
    }

    /// Sends records. Whether they are delivered then is [`Self::due`]'s to say.
    pub(super) async fn send(&mut self, items: &[Vec<u8>]) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.send(items).await,
        }
    }

    /// When something that was sent has to be confirmed; `None`: everything that was sent is delivered.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Syslog(syslog) => syslog.due(),
        }
    }

    /// When it returns, everything that was sent is delivered.
    pub(super) async fn confirm(&mut self) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.confirm().await,
        }
    }

    /// Resolves when the connection has come to an end that we did not make.
    pub(super) async fn lost(&mut self) -> Failure {
        match self {
            Self::Syslog(syslog) => syslog.lost().await,
        }
    }

    /// Our key material, and the generation of it that the connection was made with.
    fn material(&self) -> (&Live<Material>, Option<Generation>) {
        match self {
            Self::Syslog(syslog) => (&syslog.dialer.material, syslog.generation()),
        }
    }

    /// Whether there is newer key material than the connection was made with.
    pub(super) fn is_outdated(&self) -> bool {
        let (material, made_with) = self.material();
        made_with.is_some_and(|generation| generation != material.generation())
    }

    /// Resolves when there is.
    pub(super) fn outdated(&self) -> impl Future<Output = ()> + use<> {
        let (material, made_with) = self.material();
        let mut material = material.clone();
        async move {
            if let Some(seen) = made_with
                && material.replaced_after(seen).await
            {
                return;
            }
            std::future::pending().await
        }
    }
}
