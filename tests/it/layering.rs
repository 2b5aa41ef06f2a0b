//! Imports run one way: the table of ARCHITECTURE.md, held against the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which module may import which, besides std and crates. Later ones know nothing of earlier ones.
const TABLE: &[(&str, &[&str])] = &[
    (
        "runtime",
        &[
            "admin",
            "audit",
            "authz",
            "certs",
            "clock",
            "config",
            "export",
            "handover",
            "identity",
            "inventory",
            "listener",
            "live",
            "outcome",
            "report",
            "sandbox",
            "shutdown",
            "telemetry",
            "tls",
            "traces",
            "upstream",
        ],
    ),
    ("parent", &["handover", "report"]),
    (
        "admin",
        &[
            "audit",
            "certs",
            "clock",
            "config",
            "export",
            "identity",
            "inventory",
            "live",
            "report",
            "sandbox",
            "shutdown",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "listener",
        &[
            "audit",
            "authz",
            "clock",
            "config",
            "identity",
            "inventory",
            "live",
            "network",
            "outcome",
            "protocol",
            "proxy",
            "shutdown",
            "telemetry",
            "tls",
            "traces",
            "upstream",
        ],
    ),
    (
        "export",
        &[
            "audit",
            "certs",
            "clock",
            "config",
            "identity",
            "live",
            "network",
            "outcome",
            "report",
            "shutdown",
            "telemetry",
            "tls",
            "traces",
        ],
    ),
    ("review", &["audit", "authz", "config", "identity", "outcome", "protocol"]),
    ("probe", &["authz", "certs", "clock", "config", "identity", "outcome", "report", "tls"]),
    ("ca", &["certs", "clock", "identity", "network", "report", "shutdown"]),
    ("tls", &["audit", "certs", "clock", "config", "identity", "outcome", "report"]),
    ("authz", &["config", "identity", "outcome", "protocol"]),
    ("proxy", &["authz", "config", "outcome", "protocol", "shutdown", "telemetry", "traces"]),
    ("traces", &["clock", "config", "telemetry"]),
    ("upstream", &["config", "shutdown", "telemetry"]),
    (
        "certs",
        &[
            "clock",
            "config",
            "identity",
            "inventory",
            "live",
            "outcome",
            "report",
            "shutdown",
            "telemetry",
        ],
    ),
    ("inventory", &["clock", "identity", "outcome", "telemetry"]),
    (
        "audit",
        &[
            "authz",
            "clock",
            "config",
            "identity",
            "network",
            "outcome",
            "protocol",
            "report",
            "telemetry",
        ],
    ),
    ("telemetry", &["identity", "outcome"]),
    ("config", &["clock", "identity", "network", "protocol", "sandbox"]),
    ("identity", &["outcome"]),
    ("outcome", &[]),
    ("handover", &[]),
    ("protocol", &[]),
    ("live", &[]),
    ("network", &[]),
    ("shutdown", &[]),
    ("report", &[]),
    ("sandbox", &[]),
    ("clock", &[]),
];

/// These see everything: the command line, and the two files that hold the crate together.
const EVERYTHING: [&str; 3] = ["cli", "lib", "main"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The module of ours that `path` belongs to; `None` for unit tests, which may import what they like.
fn module(root: &Path, path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root).unwrap();
    let is_test = |part: &str| part == "tests" || part == "tests.rs" || part == "fixture.rs";
    let mut parts = inside.iter().map(|part| part.to_str().unwrap());
    let first = parts.next().unwrap().trim_end_matches(".rs").to_owned();
    (!parts.any(is_test)).then_some(first)
}

/// What `text` names of the crate, its unit tests left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names = match after.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap(),
            None => after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap(),
        };
        let first = |path: &str| path.trim().split("::").next().unwrap().to_owned();
        found.extend(names.split(',').map(first).filter(|name| !name.is_empty()));
    }
    found
}

#[test]
fn imports_run_down_the_table_and_never_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<_, _> = TABLE.iter().copied().collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut faults = Vec::new();

    for path in &files {
        let Some(module) = module(&root, path) else { continue };
        if EVERYTHING.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            faults.push(format!("{}: module {module} is not in the table", path.display()));
            continue;
        };
        for import in imports(&std::fs::read_to_string(path).unwrap()) {
            if import != module && !allowed.contains(&import.as_str()) {
                faults.push(format!("{}: {module} must not know {import}", path.display()));
            }
        }
    }

    assert!(files.len() > 50, "the source is not where it was");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<_> = TABLE.to_vec();

    while !left.is_empty() {
        let before = left.len();
        left.retain(|(module, imports)| {
            let below = imports.iter().all(|import| known.contains(import));
            if below {
                known.insert(module);
            }
            !below
        });
        assert!(left.len() < before, "a circle among {left:?}");
    }
}

#[test]
fn an_upward_import_would_be_found() {
    let planted = "use crate::listener::Bound;\nuse crate::{live::Live, proxy};\n\
                   #[cfg(test)]\nmod tests { use crate::runtime; }";

    let found = imports(planted);

    assert_eq!(found, ["listener", "live", "proxy"].map(String::from).into());
}
