//! A report on a period of a trail, for whoever has to review it: the facts, and how they are told as a page, as
//! JSON and as CSV.
//!
//! Pure: [`Gathering`] takes records one by one, in bounded memory, and ends as [`Facts`]. A part is a few sentences, the
//! rules that it gives evidence for, and tables; all forms tell the same tables.

mod csv;
mod facts;
mod gather;
mod html;
mod json;
mod part;
mod parts;
mod seen;
mod series;
mod table;
#[cfg(test)]
mod tests;
mod told;

pub use self::facts::{About, Facts};
pub use self::gather::Gathering;
pub use self::parts::integrity::Attestation;
