//! The sample clinic's own services: in plaintext, on loopback, and without any idea of TLS.
//!
//! They stand for what a hospital has had for years. Everybody in them is made up.

mod fhir;
mod http;
mod lab;
mod patients;
mod pdq;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use crate::shutdown::Shutdown;
use patients::Patients;

pub(super) use pdq::{FIND_PATIENTS, find_patients};

/// The services that are running.
pub(super) struct Clinic {
    /// A FHIR-like REST service.
    pub(super) fhir: Service,
    /// A SOAP 1.1 service that looks patients up by their name.
    pub(super) pdq: Service,
    /// A laboratory that takes HL7 v2 messages over MLLP.
    pub(super) lab: Service,
}

/// One service that is running.
pub(super) struct Service {
    /// Where it listens, in plaintext. The kernel chose the port.
    pub(super) address: SocketAddr,
    /// What has reached it.
    pub(super) journal: Journal,
}

impl Clinic {
    /// Starts all of them; they end with `shutdown`.
    pub(super) async fn open(shutdown: &Shutdown) -> io::Result<Self> {
        let patients = Patients::made_up();
        let (fhir, at_fhir) = Service::bind().await?;
        let (pdq, at_pdq) = Service::bind().await?;
        let (lab, at_lab) = Service::bind().await?;

        let desk = fhir::Desk::new(patients.clone(), fhir.journal.clone());
        shutdown
            .spawn(http::serve(at_fhir, shutdown.clone(), move |request| desk.answer(&request)));
        let desk = pdq::Desk::new(patients, pdq.journal.clone());
        shutdown.spawn(http::serve(at_pdq, shutdown.clone(), move |request| desk.answer(&request)));
        shutdown.spawn(lab::serve(at_lab, shutdown.clone(), lab.journal.clone()));
        Ok(Self { fhir, pdq, lab })
    }
}

impl Service {
    async fn bind() -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let service = Self { address: listener.local_addr()?, journal: Journal::default() };
        Ok((service, listener))
    }
}

/// What has reached a service, so that a tour can tell what did not.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Seen>>);

/// How much a service has seen, and what came last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Requests or messages so far.
    pub(super) count: u64,
    /// The last one: method and path, or type of message.
    pub(super) what: String,
    /// The SPIFFE ID that the sidecar vouched for, if it said one.
    pub(super) vouched: Option<String>,
}

impl Journal {
    /// What has come until now.
    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn note(&self, what: String, vouched: Option<String>) {
        let mut seen = self.lock();
        *seen = Seen { count: seen.count.saturating_add(1), what, vouched };
    }

    /// A writer that panicked has left a whole value behind.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
