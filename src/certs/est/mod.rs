//! Certificates by EST, Enrollment over Secure Transport (RFC 7030, RFC 8951).

mod chain;
mod client;
pub mod pkcs7;
mod request;
