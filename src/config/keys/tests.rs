use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const SCHEMA: &str = include_str!("../../../config/myelin.schema.json");
const REFERENCE: &str = include_str!("../../../config/myelin.yaml");

/// Every mapping, by the place of its schema.
fn sections() -> Vec<(&'static str, &'static Section)> {
    vec![
        ("", &FILE),
        ("/$defs/identity", &IDENTITY),
        ("/$defs/embedded", &EMBEDDED),
        ("/$defs/files", &FILES),
        ("/$defs/pair", &PAIR),
        ("/$defs/est", &EST),
        ("/$defs/vault", &VAULT),
        ("/$defs/vault_auth", &VAULT_AUTH),
        ("/$defs/approle", &APPROLE),
        ("/$defs/kubernetes", &KUBERNETES),
        ("/$defs/cert_auth", &CERT_AUTH),
        ("/$defs/spiffe", &SPIFFE),
        ("/$defs/tls", &TLS),
        ("/$defs/peer", &PEER),
        ("/$defs/subject", &SUBJECT),
        ("/$defs/quota", &QUOTA),
        ("/$defs/inbound", &INBOUND),
        ("/$defs/route", &ROUTE),
        ("/$defs/fhir", &FHIR),
        ("/$defs/message", &MESSAGE),
        ("/$defs/sender", &SENDER),
        ("/$defs/association", &ASSOCIATION),
        ("/$defs/outbound", &OUTBOUND),
        ("/$defs/destination", &DESTINATION),
        ("/$defs/redirect", &REDIRECT),
        ("/$defs/policy", &POLICY),
        ("/$defs/audit", &AUDIT),
        ("/$defs/export", &EXPORT),
        ("/$defs/syslog", &SYSLOG),
        ("/$defs/fhir_export", &FHIR_EXPORT),
        ("/$defs/otlp", &OTLP),
        ("/$defs/pseudonyms", &PSEUDONYMS),
        ("/$defs/legal_hold", &LEGAL_HOLD),
        ("/$defs/checkpoints", &CHECKPOINTS),
        ("/$defs/telemetry", &TELEMETRY),
        ("/$defs/traces", &TRACES),
        ("/$defs/admin", &ADMIN),
        ("/$defs/probe", &PROBE),
        ("/$defs/runtime", &RUNTIME),
        ("/$defs/limits", &LIMITS),
    ]
}

#[test]
fn the_schema_and_the_readers_know_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();

    for (pointer, section) in sections() {
        let object = schema.pointer(pointer).unwrap_or_else(|| panic!("no schema {pointer}"));
        let properties = object["properties"].as_object().unwrap();
        let described: BTreeSet<_> = properties.keys().map(String::as_str).collect();
        let known: BTreeSet<_> = section.keys.iter().copied().collect();
        assert_eq!(described, known, "{pointer}");
        assert_eq!(object["additionalProperties"], Value::Bool(false), "{pointer}");
        for (key, property) in properties {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{pointer}/{key} has no description");
        }
    }
}

#[test]
fn the_schema_and_the_readers_require_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();

    for (pointer, section) in sections() {
        let object = schema.pointer(pointer).unwrap();
        let named = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let described: BTreeSet<_> = named.iter().filter_map(Value::as_str).collect();
        let known: BTreeSet<_> = section.required.iter().map(|(key, _)| *key).collect();
        assert_eq!(described, known, "{pointer}");
    }
}

#[test]
fn the_schema_describes_no_mapping_that_the_readers_do_not_know() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let known: BTreeSet<_> = sections().into_iter().map(|(pointer, _)| pointer).collect();

    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let pointer = format!("/$defs/{name}");
        assert!(definition["properties"].is_null() || known.contains(&*pointer), "{pointer}");
    }
}

#[test]
fn the_reference_file_shows_every_key() {
    for (pointer, section) in sections() {
        for key in section.keys {
            assert!(REFERENCE.contains(&format!("{key}:")), "{pointer}: {key}");
        }
    }
}
