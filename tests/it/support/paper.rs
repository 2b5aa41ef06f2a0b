//! Trails written by hand: lines as sidecars write them, as far as anybody reads them again.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A trail that is being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paper {
    lines: Vec<String>,
}

/// Who is on record.
#[derive(Debug, Clone)]
pub(crate) struct Somebody {
    pub(crate) peer: Option<String>,
    pub(crate) identity: String,
    pub(crate) names: Vec<String>,
    pub(crate) subject: String,
}

impl Somebody {
    /// Somebody with this SPIFFE ID, whom no entry recognizes.
    pub(crate) fn spiffe(id: &str) -> Self {
        Self {
            peer: None,
            identity: id.to_owned(),
            names: vec![format!("URI:{id}")],
            subject: String::new(),
        }
    }

    pub(crate) fn service(name: &str) -> Self {
        Self::spiffe(&format!("spiffe://hospital.example/{name}"))
    }

    /// The same, recognized by an entry.
    pub(crate) fn known(self, peer: &str) -> Self {
        Self { peer: Some(peer.to_owned()), ..self }
    }
}

impl Paper {
    /// A record of `action` at a listener, with more of `myelin` and of the record itself.
    pub(crate) fn line(
        mut self,
        action: &str,
        (listener, protocol): (&str, &str),
        who: &Somebody,
        more: &Value,
    ) -> Self {
        let number = self.lines.len();
        let mut record = json!({
            "@timestamp": format!("2026-11-{:02}T06:12:01.123Z", number % 28 + 1),
            "event": { "action": action, "sequence": number + 1 },
            "destination": { "ip": "10.0.0.7", "port": 8443 },
            "network": { "direction": "ingress", "transport": "tcp", "protocol": protocol },
            "tls": { "client": {
                "subject": who.subject,
                "hash": { "sha256": "AB".repeat(32) },
                "x509": { "alternative_names": who.names },
            } },
            "myelin": {
                "listener": listener,
                "identity": who.identity,
                "peer": who.peer,
                "phi": true,
                "prev": "00".repeat(32),
            },
        });
        merge(&mut record, more);
        self.lines.push(record.to_string());
        self
    }

    pub(crate) fn request(self, who: &Somebody, method: &str, path: &str) -> Self {
        let more = json!({ "http": { "request": { "method": method } }, "url": { "path": path } });
        self.line("request-allowed", ("fhir", "http"), who, &more)
    }

    pub(crate) fn message(self, who: &Somebody, kind: &str, application: &str) -> Self {
        let sending = json!({ "application": application, "facility": "MAIN" });
        let more = json!({ "myelin": { "hl7": { "type": kind, "sending": sending } } });
        self.line("message-allowed", ("adt", "mllp"), who, &more)
    }

    pub(crate) fn association(self, who: &Somebody, calling: &str, classes: &[&str]) -> Self {
        let contexts: Vec<_> = classes.iter().map(|c| json!({ "abstract_syntax": c })).collect();
        let dicom = json!({ "calling_ae": calling, "called_ae": "PACS", "contexts": contexts });
        let more = json!({ "myelin": { "dicom": dicom } });
        self.line("association-allowed", ("pacs", "dicom"), who, &more)
    }

    /// Something that is no record.
    pub(crate) fn scribble(mut self, text: &str) -> Self {
        self.lines.push(text.to_owned());
        self
    }

    /// Puts it into a directory below `dir`.
    pub(crate) fn put(&self, dir: &Path) -> PathBuf {
        let dir = dir.join("audit");
        std::fs::create_dir_all(&dir).unwrap();
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.join("trail-20261101T000000Z-1.jsonl"), text).unwrap();
        dir
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}
