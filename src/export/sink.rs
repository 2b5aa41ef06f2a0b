//! The way to a receiver, whatever it speaks.

use std::sync::Arc;

use http::Uri;
use tokio::time::Instant;

use super::Given;
use super::dial::Dialer;
use super::failure::Failure;
use super::feed::{Encode, Item};
use super::http::otlp::Signal;
use super::http::{Fhir, Http, HttpClient, Otlp, Rejected, Rejections, Speech, otlp};
use super::syslog::Syslog;
use super::syslog::frame::Sender;
use crate::audit::forms::Form;
use crate::certs::Material;
use crate::config::{Endpoint, ExportSettings, ExportTo, OtlpExport};
use crate::live::{Generation, Live};

/// The way to a receiver.
pub(super) enum Sink {
    Syslog(Box<Syslog>),
    Http(Box<Http>),
}

impl Sink {
    /// To the receiver that is given. Connects to nobody yet.
    pub(super) fn new(given: &Given, material: Live<Material>) -> Self {
        let dialer = |endpoint, plaintext| Dialer {
            endpoint,
            plaintext,
            trust_bundle: given.settings.trust_bundle.clone(),
            tls: given.tls.clone(),
            material,
        };
        let (client, speech) = match &given.settings.to {
            ExportTo::Syslog(syslog) => {
                let dialer = dialer(syslog.address.clone(), syslog.plaintext);
                let syslog = Syslog { dialer, confirm: syslog.confirm, link: None };
                return Self::Syslog(Box::new(syslog));
            }
            ExportTo::Fhir(fhir) => {
                let (endpoint, plaintext) = origin(&fhir.url);
                let dialer = dialer(endpoint, plaintext);
                let client = HttpClient { dialer, is_http2: false, secrets: None, line: None };
                (client, Speech::Fhir(Fhir { url: fhir.url.clone(), batch: fhir.batch }))
            }
            ExportTo::Otlp(OtlpExport { endpoint: url, protocol, headers_file }) => {
                let (endpoint, plaintext) = origin(url);
                let dialer = dialer(endpoint, plaintext);
                let client = otlp::client(dialer, *protocol, headers_file.clone());
                let to = (url.clone(), *protocol);
                (client, Speech::Otlp(Otlp::new(to, Signal::Logs, &given.service)))
            }
        };
        let rejections = Rejections::new(&given.dir, &given.settings.name);
        Self::Http(Box::new(Http::new(client, speech, rejections)))
    }

    /// Sends records. Whether they are delivered then is [`Self::due`]'s to say.
    pub(super) async fn send(&mut self, items: &[Item]) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.send(items).await,
            Self::Http(http) => http.send(items).await,
        }
    }

    /// Records that were left out, since the last call.
    pub(super) fn take_rejected(&mut self) -> Vec<Rejected> {
        match self {
            Self::Syslog(_) => Vec::new(),
            Self::Http(http) => http.rejections.take(),
        }
    }

    /// When something that was sent has to be confirmed; `None`: everything that was sent is delivered.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Syslog(syslog) => syslog.due(),
            Self::Http(_) => None,
        }
    }

    /// When it returns, everything that was sent is delivered, and the connection is ended.
    pub(super) async fn confirm(&mut self) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.confirm().await,
            Self::Http(http) => {
                http.client.hang_up();
                Ok(())
            }
        }
    }

    /// Resolves when the connection has come to an end that we did not make.
    pub(super) async fn lost(&mut self) -> Failure {
        match self {
            Self::Syslog(syslog) => syslog.lost().await,
            Self::Http(http) => http.lost().await,
        }
    }

    /// Our key material, and the generation of it that the connection was made with.
    fn material(&self) -> (&Live<Material>, Option<Generation>) {
        match self {
            Self::Syslog(syslog) => (&syslog.dialer.material, syslog.generation()),
            Self::Http(http) => (&http.client.dialer.material, http.generation()),
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

/// How the receiver that `settings` name wants records to be put.
pub(super) fn encode(settings: &ExportSettings) -> Encode {
    match &settings.to {
        ExportTo::Syslog(syslog) => {
            let (sender, format) = (Sender::here(), syslog.format);
            Arc::new(move |line, recorded| sender.frame(format, line, recorded))
        }
        ExportTo::Fhir(_) => Arc::new(|line, recorded| {
            let mut event = Vec::new();
            Form::Fhir.tell(line, recorded, &mut event);
            event.pop_if(|last| *last == b'\n');
            event
        }),
        ExportTo::Otlp(_) => Arc::new(otlp::encode),
    }
}

/// Where a URL leads, and whether without TLS.
pub(super) fn origin(url: &Uri) -> (Endpoint, bool) {
    let is_plain = url.scheme_str() == Some("http");
    let host = url.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = url.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    (Endpoint { host: bare.into(), port }, is_plain)
}
