//! What a policy may not call: what reaches out, what depends on something else than the question, and what
//! can be made to fill the memory in one step.

use regorus::rvm::program::Program;

use super::RegoError;
use super::reads::uncommented;
use crate::config::RegoSettings;

/// Each with why. What needs a feature of the engine that we do not build is named all the same: a later
/// version of it might have it by default.
const FORBIDDEN: [(&str, &str); 11] = [
    ("bits.lsh", ENDLESS),
    ("http.send", REACHES_OUT),
    ("net.cidr_expand", ENDLESS),
    ("net.lookup_ip_addr", REACHES_OUT),
    ("numbers.range", ENDLESS),
    ("numbers.range_step", ENDLESS),
    ("opa.runtime", "it shows what surrounds the process"),
    ("rand.intn", CHANCE),
    ("test.sleep", ENDLESS),
    ("time.now_ns", "the moment of the question is `input.now`"),
    ("uuid.rfc4122", CHANCE),
];
const REACHES_OUT: &str = "a policy reaches nobody";
const ENDLESS: &str = "one step of it could take any time or memory";
const CHANCE: &str = "the same question has to have the same answer";

/// Whether the program calls something of it.
pub(super) fn check(program: &Program, settings: &RegoSettings) -> Result<(), RegoError> {
    let called = program.builtin_info_table.iter().map(|builtin| &*builtin.name);
    let called = called.filter_map(|name| FORBIDDEN.iter().find(|(other, _)| *other == name));
    match called.min() {
        None => Ok(()),
        Some((name, why)) => {
            let place = place(settings, name);
            Err(RegoError(format!("{place}: `{name}` must not be called: {why}")))
        }
    }
}

/// Where the first file that does so calls a function.
fn place(settings: &RegoSettings, name: &str) -> String {
    let call = format!("{name}(");
    let calls = settings.files.iter().find_map(|file| {
        let text = uncommented(&file.text);
        let before = text.split_once(&call)?.0;
        Some((file, before.matches('\n').count() + 1))
    });
    let named = calls.map(|(file, line)| format!("{}:{line}", file.path.display()));
    named.unwrap_or_else(|| {
        let files: Vec<_> =
            settings.files.iter().map(|file| file.path.display().to_string()).collect();
        files.join(", ")
    })
}
