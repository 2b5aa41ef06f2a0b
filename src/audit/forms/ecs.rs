//! Elastic Common Schema 9 and nothing else: for an index whose mapping takes no other fields.
//!
//! Lines of the trail are ECS but for `myelin` and `rule.line`. What is in these goes into `labels`, where ECS has
//! room for texts of one's own, as far as one searches for it.

use serde_json::{Map, Value as Json};

use super::fields::Field;
use super::object::{Object, write};
use crate::audit::line::encode::hash;
use crate::audit::read::Recorded;

/// Which version the fields are of.
const VERSION: &str = "9.0.0";
/// What has no place in ECS, by the names of fields.
const LABELS: [&str; 15] = [
    "listener",
    "connection",
    "peer",
    "phi",
    "endpoint",
    "operation",
    "resource",
    "claimed_from",
    "claimed_to",
    "result",
    "count",
    "differs",
    "nearest",
    "would_deny",
    "policy",
];

/// Appends the record.
pub(super) fn tell(line: &[u8], recorded: &Recorded, out: &mut Vec<u8>) {
    // It was read as a record before, so it is an object.
    let mut fields: Map<String, Json> = serde_json::from_slice(line).unwrap_or_default();
    fields.shift_remove("myelin");
    if let Some(Json::Object(rule)) = fields.get_mut("rule") {
        rule.shift_remove("line");
    }
    if let Some(Json::Object(event)) = fields.get_mut("event") {
        let digest = hex::encode(hash(line));
        event.insert("id".into(), digest.clone().into());
        event.insert("hash".into(), digest.into());
        event.insert("module".into(), "myelin".into());
        event.insert("dataset".into(), "myelin.audit".into());
    }
    if let (Some(Json::Object(user)), Some(peer)) = (fields.get_mut("user"), &recorded.myelin.peer)
    {
        user.insert("name".into(), peer.as_str().into());
    }
    let object = Object::from(fields)
        .with("ecs", Object::new().with("version", VERSION))
        .maybe("labels", labels(recorded).unless_empty())
        .maybe("related", related(recorded).unless_empty());
    write(object, out);
}

fn labels(recorded: &Recorded) -> Object {
    let named = LABELS.iter().filter_map(|name| Field::named(name));
    named.fold(Object::new(), |labels, field| {
        labels.maybe(field.name(), Some(field.of(recorded).to_string()))
    })
}

/// All addresses, users and digests of a record in one place, as searches of SIEMs want them.
fn related(recorded: &Recorded) -> Object {
    let sides = [&recorded.source, &recorded.destination];
    let ips = sides.into_iter().flatten().filter_map(|side| side.ip).map(|ip| ip.to_string());
    let users = recorded.myelin.identity.iter().chain(&recorded.myelin.peer).cloned();
    let digests = recorded.presented().map(|end| end.hash.sha256.clone());
    Object::new()
        .maybe("ip", list(ips))
        .maybe("user", list(users))
        .maybe("hash", list(digests.into_iter()))
}

fn list(texts: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let mut texts: Vec<_> = texts.collect();
    texts.dedup();
    (!texts.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::forms::fixture::recorded;

    #[test]
    fn nothing_of_our_own_is_left_but_labels() {
        let (line, recorded) = recorded(
            r#"{"action":"connection-denied"}"#,
            r#""rule":{"name":"fhir","version":"sha256:11","line":12},"user":{"id":"spiffe://h.example/lab"},
               "source":{"ip":"10.0.0.1","port":1},"#,
            r#""listener":"fhir","peer":"lab","identity":"spiffe://h.example/lab","differs":"peer""#,
        );
        let mut out = Vec::new();

        tell(&line, &recorded, &mut out);

        let told: Json = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["rule"], json!({ "name": "fhir", "version": "sha256:11" }));
        assert_eq!(told["user"], json!({ "id": "spiffe://h.example/lab", "name": "lab" }));
        assert_eq!(told["labels"]["listener"], "fhir");
        assert_eq!(told["labels"]["differs"], "peer");
        assert_eq!(told["related"]["ip"], json!(["10.0.0.1"]));
        assert_eq!(told["event"]["hash"], hex::encode(hash(&line)));
        assert_eq!((told.get("myelin"), told["ecs"]["version"].as_str()), (None, Some("9.0.0")));
    }
}
