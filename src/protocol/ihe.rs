//! IHE's transactions over SOAP: the actions that name them, and what their requests begin with.

/// A transaction of IHE that is a SOAP request.
#[derive(Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in the technical framework, like `ITI-47`.
    pub name: &'static str,
    /// The URIs that requests name it by.
    pub actions: &'static [&'static str],
    /// Local names of the elements that the bodies of its requests begin with. As many as there are
    /// actions: one each, in the same order. Otherwise each action has all of them.
    pub bodies: &'static [&'static str],
    /// Its name in words.
    pub title: &'static str,
}

impl Transaction {
    /// Local names with which the body of a request with this action may begin.
    pub fn bodies_of(&self, action: &str) -> &'static [&'static str] {
        let Some(place) = self.actions.iter().position(|known| *known == action) else {
            return &[];
        };
        if self.bodies.len() == self.actions.len() {
            self.bodies.get(place..=place).unwrap_or_default()
        } else {
            self.bodies
        }
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

/// Local names with which the body of a request with this action may begin; empty for an unknown one.
pub fn bodies(uri: &str) -> &'static [&'static str] {
    with_action(uri).next().map_or(&[], |transaction| transaction.bodies_of(uri))
}

fn with_action(uri: &str) -> impl Iterator<Item = &'static Transaction> {
    ALL.iter().filter(move |transaction| transaction.actions.contains(&uri))
}

/// All of them.
pub static ALL: &[Transaction] = &[
    Transaction {
        name: "ITI-18",
        actions: &["urn:ihe:iti:2007:RegistryStoredQuery"],
        bodies: &["AdhocQueryRequest"],
        title: "Registry Stored Query",
    },
    Transaction {
        name: "ITI-38",
        actions: &["urn:ihe:iti:2007:CrossGatewayQuery"],
        bodies: &["AdhocQueryRequest"],
        title: "Cross Gateway Query",
    },
    Transaction {
        name: "ITI-39",
        actions: &["urn:ihe:iti:2007:CrossGatewayRetrieve"],
        bodies: &["RetrieveDocumentSetRequest"],
        title: "Cross Gateway Retrieve",
    },
    Transaction {
        name: "ITI-41",
        actions: &["urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"],
        bodies: &["ProvideAndRegisterDocumentSetRequest"],
        title: "Provide and Register Document Set-b",
    },
    Transaction {
        name: "ITI-42",
        actions: &["urn:ihe:iti:2007:RegisterDocumentSet-b"],
        bodies: &["SubmitObjectsRequest"],
        title: "Register Document Set-b",
    },
    Transaction {
        name: "ITI-43",
        actions: &["urn:ihe:iti:2007:RetrieveDocumentSet"],
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
        bodies: &["PRPA_IN201301UV02", "PRPA_IN201302UV02", "PRPA_IN201304UV02"],
        title: "Patient Identity Feed HL7 V3",
    },
    Transaction {
        name: "ITI-45",
        actions: &["urn:hl7-org:v3:PRPA_IN201309UV02"],
        bodies: &["PRPA_IN201309UV02"],
        title: "PIXV3 Query",
    },
    Transaction {
        name: "ITI-46",
        actions: &["urn:hl7-org:v3:PRPA_IN201302UV02"],
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
        bodies: &["PRPA_IN201305UV02", "QUQI_IN000003UV01", "QUQI_IN000003UV01_Cancel"],
        title: "Patient Demographics Query HL7 V3",
    },
    Transaction {
        name: "ITI-48",
        actions: &["urn:ihe:iti:2008:RetrieveValueSet"],
        bodies: &["RetrieveValueSetRequest"],
        title: "Retrieve Value Set",
    },
    Transaction {
        name: "ITI-51",
        actions: &["urn:ihe:iti:2009:MultiPatientStoredQuery"],
        bodies: &["AdhocQueryRequest"],
        title: "Multi-Patient Stored Query",
    },
    Transaction {
        name: "ITI-55",
        actions: &[
            "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery",
            "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery",
        ],
        bodies: &["PRPA_IN201305UV02"],
        title: "Cross Gateway Patient Discovery",
    },
    Transaction {
        name: "ITI-56",
        actions: &["urn:ihe:iti:2009:PatientLocationQuery"],
        bodies: &["PatientLocationQueryRequest"],
        title: "Patient Location Query",
    },
    Transaction {
        name: "ITI-57",
        actions: &["urn:ihe:iti:2010:UpdateDocumentSet"],
        bodies: &["SubmitObjectsRequest"],
        title: "Update Document Set",
    },
    Transaction {
        name: "ITI-61",
        actions: &["urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"],
        bodies: &["SubmitObjectsRequest"],
        title: "Register On-Demand Document Entry",
    },
    Transaction {
        name: "ITI-62",
        actions: &["urn:ihe:iti:2010:DeleteDocumentSet"],
        bodies: &["RemoveObjectsRequest"],
        title: "Remove Metadata",
    },
    Transaction {
        name: "ITI-63",
        actions: &["urn:ihe:iti:2011:CrossGatewayFetch"],
        bodies: &["AdhocQueryRequest"],
        title: "Cross Gateway Fetch",
    },
    Transaction {
        name: "ITI-80",
        actions: &["urn:ihe:iti:2015:CrossGatewayDocumentProvide"],
        bodies: &["ProvideAndRegisterDocumentSetRequest"],
        title: "Cross-Gateway Document Provide",
    },
    Transaction {
        name: "ITI-86",
        actions: &["urn:ihe:iti:2017:RemoveDocuments"],
        bodies: &["RemoveDocumentsRequest"],
        title: "Remove Documents",
    },
    Transaction {
        name: "ITI-92",
        actions: &["urn:ihe:iti:2018:RestrictedUpdateDocumentSet"],
        bodies: &["SubmitObjectsRequest"],
        title: "Restricted Update Document Set",
    },
    Transaction {
        name: "RAD-69",
        actions: &["urn:ihe:rad:2009:RetrieveImagingDocumentSet"],
        bodies: &["RetrieveImagingDocumentSetRequest"],
        title: "Retrieve Imaging Document Set",
    },
    Transaction {
        name: "RAD-75",
        actions: &["urn:ihe:rad:2011:CrossGatewayRetrieveImagingDocumentSet"],
        bodies: &["RetrieveImagingDocumentSetRequest"],
        title: "Cross Gateway Retrieve Imaging Document Set",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(bodies(revised), ["PRPA_IN201302UV02"]);
    }

    #[test]
    fn each_action_has_the_bodies_that_belong_to_it() {
        let feed = find("ITI-44").unwrap();
        assert_eq!(feed.bodies_of("urn:hl7-org:v3:PRPA_IN201304UV02"), ["PRPA_IN201304UV02"]);
        let discovery = find("ITI-55").unwrap();
        for action in discovery.actions {
            assert_eq!(discovery.bodies_of(action), ["PRPA_IN201305UV02"]);
        }
        assert!(discovery.bodies_of("urn:x").is_empty() && bodies("urn:x").is_empty());
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
