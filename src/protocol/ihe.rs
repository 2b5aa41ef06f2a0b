//! IHE's transactions over SOAP: the actions that name them, and what their requests begin with.

use super::soap::Element;

/// Messages of HL7 V3.
const HL7: &str = "urn:hl7-org:v3";
/// Queries of ebXML's registry.
const QUERY: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0";
/// What is submitted to ebXML's registry, or removed from it.
const LIFE_CYCLE: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0";
/// Documents.
const XDS: &str = "urn:ihe:iti:xds-b:2007";
/// Images.
const IMAGING: &str = "urn:ihe:rad:xdsi-b:2009";

/// A transaction of IHE that is a SOAP request.
#[derive(Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in the technical framework, like `ITI-47`.
    pub name: &'static str,
    /// The URIs that requests name it by.
    pub actions: &'static [&'static str],
    /// The namespace of these elements.
    pub namespace: &'static str,
    /// Local names of the elements that the bodies of its requests begin with. As many as there are
    /// actions: one each, in the same order. Otherwise each action has all of them.
    pub bodies: &'static [&'static str],
    /// Its name in words.
    pub title: &'static str,
}

impl Transaction {
    /// The elements with which the body of a request with this action may begin.
    pub fn bodies_of(&self, action: &str) -> impl Iterator<Item = Element> {
        let place = self.actions.iter().position(|known| *known == action);
        let own = self.bodies.len() == self.actions.len();
        let bodies = match place {
            Some(place) if own => self.bodies.get(place..=place).unwrap_or_default(),
            Some(_) => self.bodies,
            None => &[],
        };
        bodies.iter().map(|name| Element::new(Some(self.namespace), name))
    }
}

/// The transaction with this name, in any case.
pub fn find(name: &str) -> Option<&'static Transaction> {
    ALL.iter().find(|transaction| transaction.name.eq_ignore_ascii_case(name))
}

/// The only transaction that has this action. `None` for one that several have, like the revision of a
/// patient, which is both fed (`ITI-44`) and notified (`ITI-46`).
pub fn by_action(uri: &str) -> Option<&'static Transaction> {
    let mut found = with_action(uri);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The elements with which the body of a request with this action may begin; none for an unknown one.
pub fn bodies(uri: &str) -> impl Iterator<Item = Element> {
    with_action(uri).take(1).flat_map(move |transaction| transaction.bodies_of(uri))
}

/// Whether a transaction has this action.
pub fn is_action(uri: &str) -> bool {
    with_action(uri).next().is_some()
}

/// Whether the body of a transaction begins with an element of this local name.
pub fn is_body(name: &str) -> bool {
    ALL.iter().any(|transaction| transaction.bodies.contains(&name))
}

fn with_action(uri: &str) -> impl Iterator<Item = &'static Transaction> {
    ALL.iter().filter(move |transaction| transaction.actions.contains(&uri))
}

/// All of them.
pub static ALL: &[Transaction] = &[
    Transaction {
        name: "ITI-18",
        actions: &["urn:ihe:iti:2007:RegistryStoredQuery"],
        namespace: QUERY,
        bodies: &["AdhocQueryRequest"],
        title: "Registry Stored Query",
    },
    Transaction {
        name: "ITI-38",
        actions: &["urn:ihe:iti:2007:CrossGatewayQuery"],
        namespace: QUERY,
        bodies: &["AdhocQueryRequest"],
        title: "Cross Gateway Query",
    },
    Transaction {
        name: "ITI-39",
        actions: &["urn:ihe:iti:2007:CrossGatewayRetrieve"],
        namespace: XDS,
        bodies: &["RetrieveDocumentSetRequest"],
        title: "Cross Gateway Retrieve",
    },
    Transaction {
        name: "ITI-41",
        actions: &["urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"],
        namespace: XDS,
        bodies: &["ProvideAndRegisterDocumentSetRequest"],
        title: "Provide and Register Document Set-b",
    },
    Transaction {
        name: "ITI-42",
        actions: &["urn:ihe:iti:2007:RegisterDocumentSet-b"],
        namespace: LIFE_CYCLE,
        bodies: &["SubmitObjectsRequest"],
        title: "Register Document Set-b",
    },
    Transaction {
        name: "ITI-43",
        actions: &["urn:ihe:iti:2007:RetrieveDocumentSet"],
        namespace: XDS,
        bodies: &["RetrieveDocumentSetRequest"],
        title: "Retrieve Document Set",
    },
    Transaction {
        name: "ITI-44",
        actions: &[
            "urn:hl7-org:v3:PRPA_IN201301UV02",
            "urn:hl7-org:v3:PRPA_IN201302UV02",
            "urn:hl7-org:v3:PRPA_IN201304UV02",
        ],
        namespace: HL7,
        bodies: &["PRPA_IN201301UV02", "PRPA_IN201302UV02", "PRPA_IN201304UV02"],
        title: "Patient Identity Feed HL7 V3",
    },
    Transaction {
        name: "ITI-45",
        actions: &["urn:hl7-org:v3:PRPA_IN201309UV02"],
        namespace: HL7,
        bodies: &["PRPA_IN201309UV02"],
        title: "PIXV3 Query",
    },
    Transaction {
        name: "ITI-46",
        actions: &["urn:hl7-org:v3:PRPA_IN201302UV02"],
        namespace: HL7,
        bodies: &["PRPA_IN201302UV02"],
        title: "PIXV3 Update Notification",
    },
    Transaction {
        name: "ITI-47",
        actions: &[
            "urn:hl7-org:v3:PRPA_IN201305UV02",
            "urn:hl7-org:v3:QUQI_IN000003UV01_Continue",
            "urn:hl7-org:v3:QUQI_IN000003UV01_Cancel",
        ],
        namespace: HL7,
        bodies: &["PRPA_IN201305UV02", "QUQI_IN000003UV01", "QUQI_IN000003UV01_Cancel"],
        title: "Patient Demographics Query HL7 V3",
    },
    Transaction {
        name: "ITI-48",
        actions: &["urn:ihe:iti:2008:RetrieveValueSet"],
        namespace: "urn:ihe:iti:svs:2008",
        bodies: &["RetrieveValueSetRequest"],
        title: "Retrieve Value Set",
    },
    Transaction {
        name: "ITI-51",
        actions: &["urn:ihe:iti:2009:MultiPatientStoredQuery"],
        namespace: QUERY,
        bodies: &["AdhocQueryRequest"],
        title: "Multi-Patient Stored Query",
    },
    Transaction {
        name: "ITI-55",
        actions: &[
            "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery",
            "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery",
        ],
        namespace: HL7,
        bodies: &["PRPA_IN201305UV02"],
        title: "Cross Gateway Patient Discovery",
    },
    Transaction {
        name: "ITI-56",
        actions: &["urn:ihe:iti:2009:PatientLocationQuery"],
        namespace: "urn:ihe:iti:xcpd:2009",
        bodies: &["PatientLocationQueryRequest"],
        title: "Patient Location Query",
    },
    Transaction {
        name: "ITI-57",
        actions: &["urn:ihe:iti:2010:UpdateDocumentSet"],
        namespace: LIFE_CYCLE,
        bodies: &["SubmitObjectsRequest"],
        title: "Update Document Set",
    },
    Transaction {
        name: "ITI-61",
        actions: &["urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"],
        namespace: LIFE_CYCLE,
        bodies: &["SubmitObjectsRequest"],
        title: "Register On-Demand Document Entry",
    },
    Transaction {
        name: "ITI-62",
        actions: &["urn:ihe:iti:2010:DeleteDocumentSet"],
        namespace: LIFE_CYCLE,
        bodies: &["RemoveObjectsRequest"],
        title: "Remove Metadata",
    },
    Transaction {
        name: "ITI-63",
        actions: &["urn:ihe:iti:2011:CrossGatewayFetch"],
        namespace: QUERY,
        bodies: &["AdhocQueryRequest"],
        title: "Cross Gateway Fetch",
    },
    Transaction {
        name: "ITI-80",
        actions: &["urn:ihe:iti:2015:CrossGatewayDocumentProvide"],
        namespace: XDS,
        bodies: &["ProvideAndRegisterDocumentSetRequest"],
        title: "Cross-Gateway Document Provide",
    },
    Transaction {
        name: "ITI-86",
        actions: &["urn:ihe:iti:2017:RemoveDocuments"],
        namespace: "urn:ihe:iti:rmd:2017",
        bodies: &["RemoveDocumentsRequest"],
        title: "Remove Documents",
    },
    Transaction {
        name: "ITI-92",
        actions: &["urn:ihe:iti:2018:RestrictedUpdateDocumentSet"],
        namespace: LIFE_CYCLE,
        bodies: &["SubmitObjectsRequest"],
        title: "Restricted Update Document Set",
    },
    Transaction {
        name: "RAD-69",
        actions: &["urn:ihe:rad:2009:RetrieveImagingDocumentSet"],
        namespace: IMAGING,
        bodies: &["RetrieveImagingDocumentSetRequest"],
        title: "Retrieve Imaging Document Set",
    },
    Transaction {
        name: "RAD-75",
        actions: &["urn:ihe:rad:2011:CrossGatewayRetrieveImagingDocumentSet"],
        namespace: IMAGING,
        bodies: &["RetrieveImagingDocumentSetRequest"],
        title: "Cross Gateway Retrieve Imaging Document Set",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(elements: impl Iterator<Item = Element>) -> Vec<String> {
        elements.map(|element| element.to_string()).collect()
    }

    #[test]
    fn transactions_are_found_by_name_in_any_case_and_by_action() {
        assert_eq!(find("iti-47").unwrap().title, "Patient Demographics Query HL7 V3");
        assert_eq!(find("ITI-470"), None);
        let query = by_action("urn:ihe:iti:2007:RegistryStoredQuery").unwrap();
        assert_eq!(query.name, "ITI-18");
        assert_eq!(by_action("urn:ihe:iti:2007:registrystoredquery"), None, "URIs are exact");
    }

    #[test]
    fn an_action_of_two_transactions_names_neither_and_still_has_its_body() {
        let revised = "urn:hl7-org:v3:PRPA_IN201302UV02";

        assert_eq!(by_action(revised), None);
        assert_eq!(names(bodies(revised)), ["{urn:hl7-org:v3}PRPA_IN201302UV02"]);
    }

    #[test]
    fn each_action_has_the_bodies_that_belong_to_it() {
        let feed = find("ITI-44").unwrap();
        assert_eq!(
            names(feed.bodies_of("urn:hl7-org:v3:PRPA_IN201304UV02")),
            ["{urn:hl7-org:v3}PRPA_IN201304UV02"]
        );
        let discovery = find("ITI-55").unwrap();
        for action in discovery.actions {
            assert_eq!(names(discovery.bodies_of(action)), ["{urn:hl7-org:v3}PRPA_IN201305UV02"]);
        }
        assert!(
            names(discovery.bodies_of("urn:x")).is_empty() && names(bodies("urn:x")).is_empty()
        );
    }

    #[test]
    fn the_table_has_no_name_twice_and_no_gap() {
        for (place, one) in ALL.iter().enumerate() {
            assert!(ALL[place + 1..].iter().all(|other| other.name != one.name), "{}", one.name);
            assert!(!one.actions.is_empty() && !one.bodies.is_empty(), "{}", one.name);
            let is_paired = one.bodies.len() == one.actions.len();
            assert!(is_paired || one.bodies.len() == 1, "{}", one.name);
        }
    }
}
