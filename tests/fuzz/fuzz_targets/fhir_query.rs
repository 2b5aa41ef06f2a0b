#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../properties/fhir_query.rs"]
mod property;

fuzz_target!(|input: &[u8]| property::check(input));
