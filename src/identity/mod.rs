//! Who a peer is: SPIFFE names, certificates' facts, and how they were proven. No I/O.

mod certificate;
mod name;
mod parse;
mod spiffe_id;
mod subject;
mod trust_domain;

pub use certificate::{Fingerprint, LeafUse, PeerCertificate, PeerIdentity, Proof, Subject};
pub use name::{DnsName, DnsNameError, ListenerName, PeerName};
pub use parse::{CertificateError, NameError};
pub use spiffe_id::{SpiffeId, SpiffeIdError};
pub use trust_domain::{TrustDomain, TrustDomainError};
