//! The names that searches are made of: R4, R4B and R5, and what well-known servers add for paging.

/// Names of search parameters, of parameters for the result, and of modifiers; sorted.
#[rustfmt::skip]
const NAMES: [&str; 563] = [
    "_at", "_bundletype", "_contained", "_containedType", "_content", "_count", "_elements", "_filter",
    "_format", "_getpages", "_getpagesoffset", "_graph", "_has", "_id", "_in", "_include", "_language",
    "_lastUpdated", "_list", "_maxresults", "_offset", "_outputFormat", "_page", "_page_token", "_pretty",
    "_profile", "_query", "_revinclude", "_score", "_security", "_since", "_skip", "_sort", "_source",
    "_summary", "_tag", "_text", "_total", "_type", "_typeFilter", "abatement-age", "abatement-date",
    "abatement-string", "above", "abstract", "accession", "account", "achievement-status", "action",
    "active", "activity", "activity-code", "activity-date", "activity-reference", "activity-scheduled-date",
    "activity-scheduled-string", "actor", "actual", "actuality", "additive", "address", "address-city",
    "address-country", "address-postalcode", "address-state", "address-use", "adherence", "administered-by",
    "agent", "agent-name", "agent-role", "agent-type", "altid", "appointment", "appointment-type",
    "asserter", "assessor", "attester", "authenticator", "author", "authored", "authored-on", "authoredon",
    "authority", "base", "base-path", "based-on", "basedon", "below", "beneficiary", "biological",
    "biological-source", "birthdate", "body-site", "bodysite", "business-status", "care-manager",
    "care-team", "case", "case-type", "category", "characteristic", "characteristic-type",
    "characteristic-value", "chromosome", "chromosome-variant-coordinate", "chromosome-window-coordinate",
    "claim", "class", "class-type", "class-value", "classification", "classification-type",
    "clinical-status", "code", "code-reference", "code-text", "code-value-concept", "code-value-date",
    "code-value-quantity", "code-value-string", "collected", "collector", "combo-code",
    "combo-code-value-concept", "combo-code-value-quantity", "combo-data-absent-reason", "combo-date",
    "combo-value-concept", "combo-value-quantity", "communication", "component", "component-code",
    "component-code-value-concept", "component-code-value-quantity", "component-data-absent-reason",
    "component-value-concept", "component-value-quantity", "composed-of", "composition", "conclusion",
    "condition", "confidentiality", "connection-type", "consentor", "contact", "contained-item",
    "container", "container-id", "container-identifier", "contains", "content-mode", "content-type",
    "contenttype", "context", "context-quantity", "context-type", "context-type-quantity",
    "context-type-value", "contraindication", "contraindication-reference", "controller", "country",
    "coverage", "coverage-area", "created", "creation", "criteria", "criticality", "custodian", "data",
    "data-absent-reason", "date", "datetime", "datewritten", "death-date", "deceased", "definition",
    "dependent", "depends-on", "dependson", "derivation", "derived-from", "derived-or-self", "description",
    "destination", "destination-uri", "detail-udi", "device", "device-name", "diagnosis", "dicom-class",
    "disposition", "doc-status", "domain", "dose-form", "dose-status", "doseform", "effect",
    "effect-reference", "effective", "effective-time", "email", "empty-reason", "encounter", "endpoint",
    "entered-date", "enterer", "entity", "entity-name", "entity-role", "entity-type", "entry",
    "episode-of-care", "evaluated-resource", "event", "event-date", "evidence", "evidence-detail", "exact",
    "exclude", "expansion", "experimental", "expiration-date", "expiry", "ext-context", "facility",
    "factor-override", "family", "fhirversion", "finding-code", "finding-ref", "focus", "for", "form",
    "form-of", "format", "formula", "function", "gender", "general-practitioner", "given", "global", "goal",
    "grantee", "group", "group-identifier", "guarantor", "guide", "has-member", "holder", "id-type",
    "identified", "identifier", "immunization-event", "implicated", "in", "incoming-referral", "indication",
    "indication-reference", "individual", "information", "information-provider", "ingredient",
    "ingredient-code", "input-profile", "instance", "instantiates", "instantiates-canonical",
    "instantiates-uri", "insurance", "insurer", "intended-dispenser", "intended-performer",
    "intended-performertype", "intent", "interaction", "interpreter", "investigation", "is-derived",
    "issued", "issuer", "item", "item-code", "item-subject", "item-udi", "iterate", "jurisdiction",
    "keyword", "kind", "language", "last-date", "length", "lifecycle-status", "link", "location",
    "location-period", "logical", "lot-number", "manager", "managing-entity", "manifestation",
    "manifestation-code", "manifestation-reference", "manufacture-date", "manufactured-item",
    "manufacturer", "marketingauthorizationholder", "master-file", "measure", "media", "medication",
    "medium", "member", "message", "method", "missing", "modality", "mode", "model", "modified",
    "monitoring-program-name", "monitoring-program-type", "monograph", "monograph-type", "morphology",
    "name", "name-language", "near", "network", "not", "not-in", "notes", "nutrition", "occurrence",
    "of-type", "onset", "onset-age", "onset-date", "onset-info", "operational-status", "operator",
    "oraldiet", "organization", "other", "outcome", "output-profile", "owned-by", "owner", "package",
    "package-for", "packaging-cost", "packaging-cost-concept", "parent", "part-of", "part-status",
    "participant", "participant-role", "participant-type", "participating-organization", "partof", "path",
    "patient", "payee", "payload", "payload-type", "payment-date", "payment-issuer", "payment-status",
    "payor", "performer", "performer-actor", "performer-function", "performer-type",
    "performing-organization", "period", "phone", "phonetic", "policy", "policy-holder", "policy-uri",
    "practitioner", "predecessor", "prescriber", "prescription", "previous", "price-override",
    "primary-organization", "principalinvestigator", "prior-request", "priority", "probability", "problem",
    "procedure-udi", "product", "product-classification", "product-type", "program", "protocol", "provider",
    "publisher", "purpose", "quantity", "questionnaire", "questionnaire-code", "reaction", "reaction-date",
    "reason", "reason-code", "reason-given", "reason-given-code", "reason-not-given", "reason-reference",
    "received", "receiver", "recipient", "recorded", "recorded-date", "recorder", "recruitment_actual",
    "recruitment_target", "recurse", "reference", "referenceseqid", "referenceseqid-variant-coordinate",
    "referenceseqid-window-coordinate", "referrer", "region", "related", "related-id", "related-ref",
    "relatedperson", "relatesto", "relation", "relationship", "replaces", "report", "reporter", "request",
    "requested-period", "requester", "requesting-organization", "requestor", "requisition", "resource",
    "resource-profile", "response", "response-id", "responsible", "responsibleparty", "result",
    "resultingcondition", "results-interpreter", "risk", "role", "route", "schedule", "scope",
    "scope-artifact", "scope-artifact-conformance", "scope-artifact-phase", "section", "security-label",
    "security-service", "sender", "sent", "serial-number", "series", "seriousness", "service",
    "service-category", "service-provider", "service-type", "setting", "severity", "sex", "signature-type",
    "signer", "site", "slot", "software", "source", "source-code", "source-cost", "source-reference",
    "source-system", "source-uri", "special-arrangement", "specialty", "specimen", "sponsor", "stage",
    "start", "start-date", "started", "status", "status-reason", "study", "study-uid", "subdetail-udi",
    "subject", "subject-status", "subject-type", "subject_state", "subscriber", "substance",
    "substance-code", "substance-definition", "substance-reference", "subtype", "successor", "supplement",
    "supplements", "supplier", "support", "supported-profile", "supporting-info", "system", "target",
    "target-code", "target-date", "target-disease", "target-species", "target-system", "target-uri",
    "telecom", "tester", "testscript", "testscript-capability", "text", "text-advanced", "timestamp",
    "title", "topic", "totalgross", "totalnet", "trigger-description", "type", "type-tested", "udi-carrier",
    "udi-di", "url", "use", "vaccine-code", "vaccine-type", "value", "value-concept", "value-date",
    "value-quantity", "value-string", "valueset", "variant-end", "variant-start", "verification-status",
    "verified", "verified-date", "version", "view", "when", "whenhandedover", "whenprepared", "window-end",
    "window-start",
];

/// Whether a standard, and not a peer, has made up this name.
pub(super) fn is_known(name: &str) -> bool {
    known(name).is_some()
}

/// The name of a standard that this is.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let at = NAMES.binary_search(&name).ok()?;
    NAMES.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|name| !name.contains(char::is_whitespace)));
        assert!(["_id", "birthdate", "patient", "identifier", "exact"].into_iter().all(is_known));
        assert!(!is_known("Mueller") && !is_known("") && !is_known("4711"));
    }
}
