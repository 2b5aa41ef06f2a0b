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
        "redirect",
        "policy",
        "audit",
        "telemetry",
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
};

/// `identity`
pub(super) static IDENTITY: Section =
    Section { keys: &["embedded", "files", "est", "vault", "spiffe"], required: &[] };

/// `identity.embedded`
pub(super) static EMBEDDED: Section = Section {
    keys: &["dir", "ttl", "key_types"],
    required: &[("dir", "/var/lib/myelin/authority")],
};

/// `identity.files`
pub(super) static FILES: Section = Section {
    keys: &["cert", "key", "pkcs12", "passphrase_file", "trust_bundle", "crls", "others"],
    required: &[("trust_bundle", "ca.crt")],
};

/// An item of `identity.files.others`
pub(super) static PAIR: Section =
    Section { keys: &["cert", "key", "pkcs12", "passphrase_file"], required: &[] };

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
};

/// `identity.vault.auth`
pub(super) static VAULT_AUTH: Section =
    Section { keys: &["token_file", "approle", "kubernetes", "cert"], required: &[] };

/// `identity.vault.auth.approle`
pub(super) static APPROLE: Section = Section {
    keys: &["mount", "role_id", "secret_id_file"],
    required: &[("role_id", "7f1c…"), ("secret_id_file", "/run/secrets/vault-secret-id")],
};

/// `identity.vault.auth.kubernetes`
pub(super) static KUBERNETES: Section =
    Section { keys: &["mount", "role", "token_file"], required: &[("role", "sidecar")] };

/// `identity.vault.auth.cert`
pub(super) static CERT_AUTH: Section = Section {
    keys: &["mount", "role", "cert", "key"],
    required: &[("cert", "machine.crt"), ("key", "machine.key")],
};

/// `identity.spiffe`
pub(super) static SPIFFE: Section =
    Section { keys: &["socket"], required: &[("socket", "unix:///run/spire/agent.sock")] };

/// `tls`
pub(super) static TLS: Section =
    Section { keys: &["profile", "fips", "cipher_suites", "crl_expired"], required: &[] };

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
};

/// `limits` of an entry of `peers` or of a rule
pub(super) static QUOTA: Section =
    Section { keys: &["rate", "burst", "concurrency"], required: &[] };

/// `subject` of an entry of `peers`
pub(super) static SUBJECT: Section = Section { keys: &["cn", "o", "ou"], required: &[] };

/// An item of `inbound`
pub(super) static INBOUND: Section = Section {
    keys: &[
        "name",
        "listen",
        "redirect_ports",
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
};

/// `fhir` of an item of `routes`
pub(super) static FHIR: Section = Section { keys: &["interactions", "resources"], required: &[] };

/// An item of `messages` that is more than a type
pub(super) static MESSAGE: Section = Section {
    keys: &["name", "types", "allow", "expires", "limits"],
    required: &[("name", "results"), ("types", "[\"ORU^*\"]")],
};

/// An item of `senders`
pub(super) static SENDER: Section =
    Section { keys: &["name", "application", "facility", "allow", "expires"], required: &[] };

/// An item of `associations`
pub(super) static ASSOCIATION: Section = Section {
    keys: &["name", "calling_ae", "called_ae", "sop_classes", "allow", "expires", "limits"],
    required: &[],
};

/// An item of `outbound`
pub(super) static OUTBOUND: Section = Section {
    keys: &[
        "name",
        "listen",
        "listen_anywhere",
        "to",
        "redirect",
        "destinations",
        "expect",
        "protocol",
        "phi",
        "limits",
    ],
    required: &[("name", "to-lab"), ("expect", "[lab]"), ("protocol", "http")],
};

/// An item of `destinations`
pub(super) static DESTINATION: Section =
    Section { keys: &["address", "name", "ports", "port"], required: &[] };

/// `redirect`
pub(super) static REDIRECT: Section = Section {
    keys: &["port", "include_ports", "exclude_ports", "exclude_addresses"],
    required: &[("port", "15001")],
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
};

/// An item of `audit.export`
pub(super) static EXPORT: Section = Section { keys: &["syslog", "fhir", "otlp"], required: &[] };

/// `fhir` of an item of `audit.export`
pub(super) static FHIR_EXPORT: Section = Section {
    keys: &["name", "url", "feed", "trust_bundle", "batch", "keep_undelivered"],
    required: &[("url", "https://arr.hospital.example/fhir/AuditEvent")],
};

/// `otlp` of an item of `audit.export`
pub(super) static OTLP: Section = Section {
    keys: &[
        "name",
        "endpoint",
        "protocol",
        "headers_file",
        "feed",
        "trust_bundle",
        "keep_undelivered",
    ],
    required: &[("endpoint", "https://otel.hospital.example:4317")],
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
};

/// `audit.legal_hold`
pub(super) static LEGAL_HOLD: Section = Section {
    keys: &["reason", "since"],
    required: &[("reason", "\"case 2026-114, legal department\"")],
};

/// `audit.checkpoints`
pub(super) static CHECKPOINTS: Section =
    Section { keys: &["interval", "key_file", "algorithm", "key_lifetime"], required: &[] };

/// `audit.pseudonyms`
pub(super) static PSEUDONYMS: Section =
    Section { keys: &["key_file"], required: &[("key_file", "/etc/myelin/pseudonyms.key")] };

/// `policy`
pub(super) static POLICY: Section =
    Section { keys: &["rego", "data", "query", "timeout"], required: &[("rego", "[policy.rego]")] };

/// `telemetry`
pub(super) static TELEMETRY: Section = Section { keys: &["traces"], required: &[] };

/// `telemetry.traces`
pub(super) static TRACES: Section = Section {
    keys: &["endpoint", "protocol", "sample", "trust_bundle", "headers_file"],
    required: &[("endpoint", "https://otel.hospital.example:4317"), ("sample", "0.01")],
};

/// `admin`
pub(super) static ADMIN: Section =
    Section { keys: &["listen", "probe_listen", "probes", "socket"], required: &[] };

/// An item of `admin.probes`
pub(super) static PROBE: Section =
    Section { keys: &["path", "http", "tcp"], required: &[("path", "/health/fhir")] };

/// `runtime`
pub(super) static RUNTIME: Section = Section { keys: &["workers", "sandbox"], required: &[] };

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
};

#[cfg(test)]
mod tests;
