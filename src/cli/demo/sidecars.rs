//! The sidecars of the sample clinic: each from a file of its own, started as `myelin run` does.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::clinic::Clinic;
use super::place::{Place, TRUST_DOMAIN};
use super::ports::Ports;
use crate::cli::load;
use crate::report::Report;
use crate::runtime::{Obstacle, Sidecar, StartError};

/// So often other ports are tried: between choosing one and binding it, somebody else may be quicker.
const ATTEMPTS: usize = 5;

/// A sidecar that is running.
pub(super) struct Running {
    /// The service beside which it stands.
    pub(super) service: &'static str,
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Its trail.
    pub(super) trail: PathBuf,
    /// Its administrative listener.
    pub(super) admin: SocketAddr,
    /// Its other listeners.
    pub(super) listen: Vec<SocketAddr>,
    /// Itself.
    pub(super) sidecar: Sidecar,
}

/// The sidecars that are running.
pub(super) struct Sidecars {
    /// Beside the REST service.
    pub(super) fhir: Running,
    /// Beside the SOAP service.
    pub(super) pdq: Running,
    /// Beside the laboratory.
    pub(super) lab: Running,
    /// Beside the caller; its listeners lead to the three others, in their order.
    pub(super) billing: Running,
}

impl Sidecars {
    /// Starts all of them.
    pub(super) fn start(place: &Place, clinic: &Clinic, ports: Ports) -> anyhow::Result<Self> {
        let fhir = start(place, "fhir", ports, [1, 21], |[listen, admin]| {
            fhir(listen, clinic.fhir.address, admin)
        })?;
        let pdq = start(place, "pdq", ports, [2, 22], |[listen, admin]| {
            pdq(listen, clinic.pdq.address, admin)
        })?;
        let lab = start(place, "lab", ports, [3, 23], |[listen, admin]| {
            lab(listen, clinic.lab.address, admin)
        })?;
        let peers = [&fhir, &pdq, &lab].map(Running::first);
        let billing =
            start(place, "billing", ports, [11, 12, 13, 24], |[fhir, pdq, lab, admin]| {
                billing([fhir, pdq, lab], peers, admin)
            })?;
        Ok(Self { fhir, pdq, lab, billing })
    }

    /// All of them.
    pub(super) fn all(&self) -> [&Running; 4] {
        [&self.fhir, &self.pdq, &self.lab, &self.billing]
    }

    /// Where the billing program reaches the REST service, the SOAP service and the laboratory.
    pub(super) fn ways_out(&self) -> [SocketAddr; 3] {
        let at = |index: usize| {
            self.billing.listen.get(index).copied().unwrap_or_else(|| self.billing.first())
        };
        [at(0), at(1), at(2)]
    }

    /// Reads every configuration again, and says what came of it.
    pub(super) async fn reload(&self) -> String {
        let mut lines = Vec::new();
        for running in self.all() {
            lines.push(match running.sidecar.reload(load(&running.config)).await {
                Ok(()) => format!("{}: reloaded", running.config.display()),
                Err(error) => format!("{}: {}", running.config.display(), Report(&error)),
            });
        }
        lines.join("\n")
    }

    /// Drains all of them.
    pub(super) async fn stop(self) {
        let [billing, fhir, pdq, lab] =
            [self.billing, self.fhir, self.pdq, self.lab].map(|running| running.sidecar.stop());
        tokio::join!(billing, fhir, pdq, lab);
    }
}

impl Running {
    /// Its first listener.
    pub(super) fn first(&self) -> SocketAddr {
        self.listen.first().copied().unwrap_or(self.admin)
    }
}

/// Writes the configuration of `service`, and starts its sidecar from that file. The last port is the
/// administrative one.
fn start<const N: usize>(
    place: &Place,
    service: &'static str,
    ports: Ports,
    offsets: [u16; N],
    text: impl Fn([SocketAddr; N]) -> String,
) -> anyhow::Result<Running> {
    let mut attempt = 1;
    loop {
        let from = if attempt == 1 { ports } else { Ports::after(0) };
        let chosen = from.choose(offsets).context("no port on 127.0.0.1 can be bound")?;
        let config = place.write(&format!("{service}.yaml"), &text(chosen))?;
        let loaded = match load(&config) {
            Ok(loaded) => loaded,
            Err(problems) => bail!("{}", problems.to_string().trim_end()),
        };
        match Sidecar::start(loaded) {
            Ok(sidecar) => {
                let [listen @ .., admin] = chosen.as_slice() else {
                    bail!("the sidecar of {service} has no listener");
                };
                return Ok(Running {
                    service,
                    config,
                    trail: place.path("audit").join(service),
                    admin: *admin,
                    listen: listen.to_vec(),
                    sidecar,
                });
            }
            Err(StartError::Obstacle(Obstacle::Bind(error))) if attempt < ATTEMPTS => {
                tracing::debug!(service, "other ports are tried: {}", Report(&error));
                attempt += 1;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("the sidecar of {service}"));
            }
        }
    }
}

/// What all configurations begin with.
fn head(service: &str) -> String {
    format!(
        r"# The sidecar of `{service}`, written by `myelin demo`. Paths are relative to this directory.
version: 1
service: {service}
trust_domain: {TRUST_DOMAIN}

identity:
  embedded: {{ dir: authority, ttl: 1h }}   # certificates renew themselves at two thirds of that
"
    )
}

/// What all configurations end with.
fn tail(service: &str, admin: SocketAddr) -> String {
    format!(
        r"
audit:
  dir: audit/{service}

admin:
  listen: {admin}

runtime: {{ workers: 1 }}
limits: {{ drain_timeout: 2s }}
"
    )
}

fn fhir(listen: SocketAddr, forward: SocketAddr, admin: SocketAddr) -> String {
    let (head, tail) = (head("fhir"), tail("fhir", admin));
    format!(
        r#"{head}
peers:                                  # whom we know; rules name them
  billing: {{ spiffe: spiffe://{TRUST_DOMAIN}/billing }}
  admission: {{ spiffe: spiffe://{TRUST_DOMAIN}/admission, owner: front desk }}

inbound:
  - name: fhir
    listen: {listen}             # peers connect here, with mutual TLS
    forward: {forward}            # the legacy service, in plaintext
    protocol: http
    phi: true                           # every access is on record before the first byte goes through
    allow: [billing, admission]         # nobody else
    routes:                             # the first match decides; no match is a denial
      - {{ name: read-patient, methods: [GET], path: "/fhir/Patient/{{id}}", allow: [billing, admission] }}
      - {{ name: search, methods: [GET], path: /fhir/Patient, allow: [billing, admission] }}
      - {{ name: create-patient, methods: [POST], path: /fhir/Patient, allow: [admission] }}
      - {{ name: capabilities, methods: [GET], path: /fhir/metadata, phi: false, allow: [billing, admission] }}
      - {{ name: health, methods: [GET], path: /healthz, phi: false, allow: [billing, admission] }}
{tail}"#
    )
}

fn pdq(listen: SocketAddr, forward: SocketAddr, admin: SocketAddr) -> String {
    let (head, tail) = (head("pdq"), tail("pdq", admin));
    format!(
        r"{head}
peers:
  billing: {{ spiffe: spiffe://{TRUST_DOMAIN}/billing }}

inbound:
  - name: pdq
    listen: {listen}
    forward: {forward}
    protocol: http
    phi: true
    allow: [billing]
    routes:
      - {{ name: call, methods: [POST], path: /pdq, allow: [billing] }}
      - {{ name: wsdl, methods: [GET], path: /pdq, phi: false, allow: [billing] }}
{tail}"
    )
}

fn lab(listen: SocketAddr, forward: SocketAddr, admin: SocketAddr) -> String {
    let (head, tail) = (head("lab"), tail("lab", admin));
    format!(
        r"{head}
peers:
  billing: {{ spiffe: spiffe://{TRUST_DOMAIN}/billing }}

inbound:
  - name: lab
    listen: {listen}
    forward: {forward}
    protocol: tcp                       # any byte stream; here HL7 v2 over MLLP
    phi: true
    allow: [billing]
{tail}"
    )
}

/// `out` are the plaintext sides, `to` the sidecars of the services.
fn billing(out: [SocketAddr; 3], to: [SocketAddr; 3], admin: SocketAddr) -> String {
    let (head, tail) = (head("billing"), tail("billing", admin));
    let [out_fhir, out_pdq, out_lab] = out;
    let [to_fhir, to_pdq, to_lab] = to;
    format!(
        r"{head}
peers:
  fhir: {{ spiffe: spiffe://{TRUST_DOMAIN}/fhir }}
  pdq: {{ spiffe: spiffe://{TRUST_DOMAIN}/pdq }}
  lab: {{ spiffe: spiffe://{TRUST_DOMAIN}/lab }}

outbound:
  - name: to-fhir
    listen: {out_fhir}             # the billing program connects here, in plaintext
    to: [{to_fhir}]
    expect: [fhir]                      # whom the server must prove to be; otherwise no byte is sent
    protocol: http
    phi: true
  - name: to-pdq
    listen: {out_pdq}
    to: [{to_pdq}]
    expect: [pdq]
    protocol: http
    phi: true
  - name: to-lab
    listen: {out_lab}
    to: [{to_lab}]
    expect: [lab]
    protocol: tcp
    phi: true
{tail}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn every_configuration_is_sound_and_gives_no_warning() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let texts = [
            fhir(at(1), at(2), at(3)),
            pdq(at(1), at(2), at(3)),
            lab(at(1), at(2), at(3)),
            billing([at(1), at(2), at(3)], [at(4), at(5), at(6)], at(7)),
        ];
        for text in texts {
            let config = config::parse(Path::new("sample.yaml"), &text, &|_| None);
            let config = config.unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(config.warnings.to_string(), "");
        }
    }
}
