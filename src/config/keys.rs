//! Every key of the configuration, mapping by mapping.
//!
//! The readers, `config/myelin.schema.json` and `config/myelin.yaml` are held to these lists by tests.

/// The keys of one mapping.
#[derive(Debug)]
pub(super) struct Section {
    /// Those of this release.
    pub(super) keys: &'static [&'static str],
    /// Those that must be there, and how their values may look.
    pub(super) required: &'static [(&'static str, &'static str)],
    /// Those that are planned, and what to do instead. They are refused, never passed over.
    pub(super) later: &'static [(&'static str, &'static str)],
}

/// The file itself.
pub(super) static FILE: Section = Section {
    keys: &[
        "version",
        "service",
        "trust_domain",
        "identity",
        "tls",
        "peers",
        "groups",
        "inbound",
        "outbound",
        "policy",
        "audit",
        "admin",
        "runtime",
        "limits",
    ],
    required: &[
        ("version", "1"),
        ("service", "ehr"),
        ("trust_domain", "hospital.example"),
        ("identity", "{ embedded: { dir: /var/lib/myelin/authority } }"),
    ],
    later: &[],
};

/// `identity`
pub(super) static IDENTITY: Section =
    Section { keys: &["embedded", "files", "est", "vault", "spiffe"], required: &[], later: &[] };

/// `identity.embedded`
pub(super) static EMBEDDED: Section = Section {
    keys: &["dir", "ttl", "key_types"],
    required: &[("dir", "/var/lib/myelin/authority")],
    later: &[],
};

/// `identity.files`
pub(super) static FILES: Section = Section {
    keys: &["cert", "key", "pkcs12", "passphrase_file", "trust_bundle", "crls", "others"],
    required: &[("trust_bundle", "ca.crt")],
    later: &[],
};

/// An item of `identity.files.others`
pub(super) static PAIR: Section =
    Section { keys: &["cert", "key", "pkcs12", "passphrase_file"], required: &[], later: &[] };

/// `identity.est`
pub(super) static EST: Section = Section {
    keys: &[
        "url",
        "trust_bundle",
        "fingerprint",
        "token_file",
        "username",
        "dir",
        "key_types",
        "crl_urls",
    ],
    required: &[("url", "https://ca.hospital.example/.well-known/est")],
    later: &[],
};

/// `identity.vault`
pub(super) static VAULT: Section = Section {
    keys: &[
        "address",
        "namespace",
        "mount",
        "role",
        "trust_bundle",
        "auth",
        "ttl",
        "common_name",
        "key_types",
        "dir",
    ],
    required: &[
        ("address", "https://bao.hospital.example:8200"),
        ("role", "sidecar"),
        ("auth", "{ token_file: /run/secrets/vault-token }"),
    ],
    later: &[],
};

/// `identity.vault.auth`
pub(super) static VAULT_AUTH: Section =
    Section { keys: &["token_file", "approle", "kubernetes", "cert"], required: &[], later: &[] };

/// `identity.vault.auth.approle`
pub(super) static APPROLE: Section = Section {
    keys: &["mount", "role_id", "secret_id_file"],
    required: &[("role_id", "7f1c…"), ("secret_id_file", "/run/secrets/vault-secret-id")],
    later: &[],
};

/// `identity.vault.auth.kubernetes`
pub(super) static KUBERNETES: Section = Section {
    keys: &["mount", "role", "token_file"],
    required: &[("role", "sidecar")],
    later: &[],
};

/// `identity.vault.auth.cert`
pub(super) static CERT_AUTH: Section = Section {
    keys: &["mount", "role", "cert", "key"],
    required: &[("cert", "machine.crt"), ("key", "machine.key")],
    later: &[],
};

/// `identity.spiffe`
pub(super) static SPIFFE: Section = Section {
    keys: &["socket"],
    required: &[("socket", "unix:///run/spire/agent.sock")],
    later: &[],
};

/// `tls`
pub(super) static TLS: Section = Section {
    keys: &["profile", "fips", "cipher_suites", "crl_expired"],
    required: &[],
    later: &[],
};

/// An entry of `peers`
pub(super) static PEER: Section = Section {
    keys: &[
        "spiffe",
        "dns",
        "subject",
        "pin",
        "spki",
        "expires",
        "review_by",
        "limits",
        "owner",
        "ticket",
        "purpose",
        "note",
    ],
    required: &[],
    later: &[],
};

/// `limits` of an entry of `peers` or of a rule
pub(super) static QUOTA: Section =
    Section { keys: &["rate", "burst", "concurrency"], required: &[], later: &[] };

/// `subject` of an entry of `peers`
pub(super) static SUBJECT: Section =
    Section { keys: &["cn", "o", "ou"], required: &[], later: &[] };

/// An item of `inbound`
pub(super) static INBOUND: Section = Section {
    keys: &[
        "name",
        "listen",
        "forward",
        "forward_anywhere",
        "forward_protocol",
        "protocol",
        "phi",
        "mode",
        "enforce",
        "observe_paths",
        "until",
        "allow",
        "routes",
        "messages",
        "senders",
        "on_denied",
        "associations",
        "limits",
    ],
    required: &[
        ("name", "fhir"),
        ("listen", "0.0.0.0:8443"),
        ("forward", "127.0.0.1:8080"),
        ("protocol", "http"),
    ],
    later: &[],
};

/// An item of `routes`
pub(super) static ROUTE: Section = Section {
    keys: &[
        "name",
        "hosts",
        "methods",
        "path",
        "soap_action",
        "soap_body",
        "ihe",
        "fhir",
        "dicomweb",
        "respond",
        "phi",
        "allow",
        "expires",
        "limits",
    ],
    required: &[("name", "read-patient"), ("path", "/fhir/Patient/{id}")],
    later: &[],
};

/// `fhir` of an item of `routes`
pub(super) static FHIR: Section =
    Section { keys: &["interactions", "resources"], required: &[], later: &[] };

/// An item of `messages` that is more than a type
pub(super) static MESSAGE: Section = Section {
    keys: &["name", "types", "allow", "expires", "limits"],
    required: &[("name", "results"), ("types", "[\"ORU^*\"]")],
    later: &[],
};

/// An item of `senders`
pub(super) static SENDER: Section = Section {
    keys: &["name", "application", "facility", "allow", "expires"],
    required: &[],
    later: &[],
};

/// An item of `associations`
pub(super) static ASSOCIATION: Section = Section {
    keys: &["name", "calling_ae", "called_ae", "sop_classes", "allow", "expires", "limits"],
    required: &[],
    later: &[],
};

/// An item of `outbound`
pub(super) static OUTBOUND: Section = Section {
    keys: &["name", "listen", "listen_anywhere", "to", "expect", "protocol", "phi", "limits"],
    required: &[
        ("name", "to-lab"),
        ("listen", "127.0.0.1:9002"),
        ("to", "[lab.example:8443]"),
        ("expect", "[lab]"),
        ("protocol", "http"),
    ],
    later: &[],
};

/// `audit`
pub(super) static AUDIT: Section = Section {
    keys: &[
        "dir",
        "on_failure",
        "segment_size",
        "compress",
        "retention",
        "legal_hold",
        "pseudonyms",
        "checkpoints",
        "export",
    ],
    required: &[("dir", "/var/log/myelin/audit")],
    later: &[],
};

/// An item of `audit.export`
pub(super) static EXPORT: Section = Section {
    keys: &["syslog"],
    required: &[],
    later: &[
        ("fhir", "send by `syslog`, or let a log shipper follow `trail-*.jsonl` in `audit.dir`"),
        ("otlp", "send by `syslog`, or let a log shipper follow `trail-*.jsonl` in `audit.dir`"),
    ],
};

/// `syslog` of an item of `audit.export`
pub(super) static SYSLOG: Section = Section {
    keys: &[
        "name",
        "address",
        "format",
        "feed",
        "trust_bundle",
        "plaintext",
        "confirm",
        "keep_undelivered",
    ],
    required: &[("address", "arr.hospital.example:6514"), ("format", "atna")],
    later: &[],
};

/// `audit.legal_hold`
pub(super) static LEGAL_HOLD: Section = Section {
    keys: &["reason", "since"],
    required: &[("reason", "\"case 2026-114, legal department\"")],
    later: &[],
};

/// `audit.checkpoints`
pub(super) static CHECKPOINTS: Section = Section {
    keys: &["interval", "key_file", "algorithm", "key_lifetime"],
    required: &[],
    later: &[],
};

/// `audit.pseudonyms`
pub(super) static PSEUDONYMS: Section = Section {
    keys: &["key_file"],
    required: &[("key_file", "/etc/myelin/pseudonyms.key")],
    later: &[],
};

/// `policy`
pub(super) static POLICY: Section = Section {
    keys: &["rego", "data", "query", "timeout"],
    required: &[("rego", "[policy.rego]")],
    later: &[],
};

/// `admin`
pub(super) static ADMIN: Section =
    Section { keys: &["listen", "probe_listen", "probes"], required: &[], later: &[] };

/// An item of `admin.probes`
pub(super) static PROBE: Section =
    Section { keys: &["path", "http", "tcp"], required: &[("path", "/health/fhir")], later: &[] };

/// `runtime`
pub(super) static RUNTIME: Section = Section { keys: &["workers"], required: &[], later: &[] };

/// `limits`, of the file and of a listener
pub(super) static LIMITS: Section = Section {
    keys: &[
        "connections",
        "handshake_timeout",
        "connect_timeout",
        "idle_timeout",
        "drain_timeout",
        "header_timeout",
        "response_timeout",
        "header_bytes",
        "streams",
        "batch_messages",
    ],
    required: &[],
    later: &[],
};

#[cfg(test)]
mod tests;
