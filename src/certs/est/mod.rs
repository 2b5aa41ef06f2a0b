//! Certificates by EST, Enrollment over Secure Transport (RFC 7030, RFC 8951).
//!
//! The first certificate is had for a token, each further one for the certificate before it. Every key is
//! made here and leaves the process only to the directory in which certificates and keys are kept, so that
//! a restart needs neither the server nor another token.
//!
//! `/csrattrs` is not asked: what a request holds is settled by who we are, and a server that wants another
//! kind of key says so by refusing.

pub(crate) mod armour;
mod authorities;
mod chain;
mod client;
mod enrolment;
mod held;
mod lists;
pub mod pkcs7;
mod request;
mod settings;
mod source;

pub(super) use source::Est;
