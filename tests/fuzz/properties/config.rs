//! A configuration: fit for use, or refused with all that is wrong in words. Never a panic.

use std::path::Path;

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("${file:") {
        return; // reads whatever it names
    }
    let set = |name: &str| (name.len() < 5).then(|| name.to_owned());
    if let Err(problems) = myelin::config::parse(Path::new("fuzz.yaml"), text, &set) {
        assert!(!problems.to_string().is_empty());
    }
}
