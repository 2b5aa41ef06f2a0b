//! What became of a FHIR request, in the shape of IHE BALP 1.1.4: a RESTful operation between a client and a server.

use serde_json::Value as Json;

use super::codes::{APPLICATION, DESTINATION, SOURCE};
use super::event::Event;
use super::fhir::{agent, coding, details, head, hl7, policy, source, system_object};
use super::fields::status;
use super::happened::{Happened, How, Of};
use super::object::Object;
use super::participant::Participant;
use crate::audit::read::{Recorded, RecordedFhir};

/// The codes of FHIR's interactions, as far as records have them.
const INTERACTIONS: &str = "http://hl7.org/fhir/restful-interaction";

/// A FHIR request that is over.
pub(super) struct Rest<'a> {
    fhir: &'a RecordedFhir,
    outcome: &'static str,
}

impl<'a> Rest<'a> {
    pub(super) fn of(recorded: &'a Recorded) -> Option<Self> {
        let is_over = Happened::of(recorded) == Happened { of: Of::Request, how: How::Ended };
        let fhir = recorded.myelin.fhir.as_ref().filter(|_| is_over)?;
        let outcome = match status(recorded) {
            Some(100..=399) => "0",
            Some(400..=499) => "4",
            _ => "8", // the server's fault, or no answer
        };
        Some(Self { fhir, outcome })
    }

    pub(super) fn resource(&self, event: &Event<'_>, recorded: &Recorded) -> Object {
        let interaction = self.fhir.interaction.as_str();
        let subtype = Object::new()
            .with("system", INTERACTIONS)
            .with("code", interaction)
            .with("display", interaction);
        let kind = hl7("audit-event-type", "rest", "RESTful Operation");
        head(kind, vec![subtype.into()], event, recorded)
            .with("action", self.action())
            .with("outcome", self.outcome)
            .with("agent", self.agents(event, recorded))
            .with("source", source(recorded))
            .with("entity", self.entities(event))
    }

    fn action(&self) -> &'static str {
        match self.fhir.interaction.as_str() {
            "create" => "C",
            "read" | "vread" | "history-instance" | "history-type" | "history-system"
            | "capabilities" => "R",
            "update" | "patch" => "U",
            "delete" => "D",
            _ => "E",
        }
    }

    /// The client and the server. Of what is read the server is the source, of all else the client (BALP 3).
    fn agents(&self, event: &Event<'_>, recorded: &Recorded) -> Vec<Json> {
        let (client_type, server_type) = match self.action() {
            "R" => (coding(&DESTINATION), coding(&SOURCE)),
            "D" => {
                (coding(&APPLICATION), hl7("provenance-participant-type", "custodian", "Custodian"))
            }
            _ => (coding(&SOURCE), coding(&DESTINATION)),
        };
        let service = service(event, recorded);
        let peer = event.peer.as_ref().unwrap_or(&service);
        let (client, server) =
            if recorded.is_outbound() { (&service, peer) } else { (peer, &service) };
        let rule = recorded.rule.as_ref().map(|rule| policy(&rule.name));
        let client = agent(client, client_type, true).maybe("policy", rule);
        [client, agent(server, server_type, false)].map(Json::from).into()
    }

    fn entities(&self, event: &Event<'_>) -> Vec<Json> {
        let role = || hl7("object-role", "4", "Domain Resource");
        let mut entities: Vec<Object> = (self.fhir.subject.iter())
            .map(|pseudonym| {
                let identifier = Object::new()
                    .with("system", "urn:myelin:pseudonym")
                    .with("value", pseudonym.as_str());
                Object::new()
                    .maybe("type", self.fhir.resource.as_deref())
                    .with("identifier", identifier)
            })
            .map(|what| system_object(what, role()))
            .collect();
        if entities.is_empty() {
            let what = Object::new()
                .with("display", self.fhir.resource.as_deref().unwrap_or("FHIR server"));
            let what = what.maybe("type", self.fhir.resource.as_deref());
            entities.push(system_object(what, role()));
        }
        let first = entities.remove(0).with("detail", details(event));
        [first].into_iter().chain(entities).map(Json::from).collect()
    }
}

/// The service that the sidecar stands beside: the client or the server that is ours.
fn service<'a>(event: &Event<'a>, recorded: &'a Recorded) -> Participant<'a> {
    let name = recorded.service.name.as_str();
    Participant { user: name.into(), name: Some(name), ..event.us.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::audit::forms::Form;
    use crate::audit::forms::fixture::recorded;

    fn told(status: u16, fhir: &str) -> Value {
        let (line, recorded) = recorded(
            r#"{"action":"request-completed","outcome":"success","reason":"finished"}"#,
            &format!(
                r#""network":{{"direction":"ingress","protocol":"http"}},"source":{{"ip":"10.0.0.1"}},
                   "http":{{"request":{{"method":"GET"}},"response":{{"status_code":{status}}}}},"#
            ),
            &format!(r#""listener":"fhir","identity":"spiffe://h.example/billing","fhir":{fhir}"#),
        );
        let mut out = Vec::new();
        Form::Fhir.tell(&line, &recorded, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn roles(told: &Value) -> [&str; 2] {
        [0, 1].map(|agent| told["agent"][agent]["type"]["coding"][0]["code"].as_str().unwrap())
    }

    #[test]
    fn who_is_source_and_who_destination_goes_by_the_interaction() {
        for (interaction, action, expected) in [
            ("read", "R", ["110152", "110153"]),
            ("create", "C", ["110153", "110152"]),
            ("patch", "U", ["110153", "110152"]),
            ("delete", "D", ["110150", "custodian"]),
            ("search-type", "E", ["110153", "110152"]),
        ] {
            let told =
                told(200, &format!(r#"{{"interaction":"{interaction}","resource":"Patient"}}"#));
            assert_eq!(
                (told["action"].as_str(), roles(&told)),
                (Some(action), expected),
                "{interaction}"
            );
        }
    }

    #[test]
    fn the_outcome_is_the_status_s() {
        for (status, outcome) in [(200, "0"), (304, "0"), (404, "4"), (503, "8")] {
            assert_eq!(told(status, r#"{"interaction":"read"}"#)["outcome"], outcome, "{status}");
        }
    }

    #[test]
    fn resources_are_known_by_their_pseudonyms() {
        let told =
            told(200, r#"{"interaction":"read","resource":"Patient","subject":["p1","p2"]}"#);

        let what: Vec<_> = told["entity"].as_array().unwrap().iter().map(|e| &e["what"]).collect();
        let named = |value| json!({ "type": "Patient", "identifier": { "system": "urn:myelin:pseudonym", "value": value } });
        assert_eq!(what, [&named("p1"), &named("p2")]);
        assert!(told["entity"][0]["detail"].is_array() && told["entity"][1]["detail"].is_null());
    }
}
