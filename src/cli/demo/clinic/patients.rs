//! The patients of the sample clinic. All of them are made up, and all of their names are ASCII.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// More than anybody registers by hand.
const MOST: usize = 1000;
/// The first number for a patient who is registered while the clinic is open.
const NEXT: usize = 5000;

/// One patient.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    pub(super) id: String,
    pub(super) family: String,
    pub(super) given: String,
    pub(super) gender: String,
    pub(super) birth_date: String,
}

/// The register that the services share.
#[derive(Clone)]
pub(super) struct Patients(Arc<Mutex<Vec<Patient>>>);

impl Patients {
    pub(super) fn made_up() -> Self {
        let register = [
            ("4711", "Mustermann", "Erika", "female", "1964-08-12"),
            ("4712", "Mustermann", "Max", "male", "1961-02-03"),
            ("4713", "Sample", "Jane", "female", "1990-11-30"),
            ("4714", "Bloggs", "Joe", "male", "1978-05-17"),
        ];
        let patients = register.map(|(id, family, given, gender, birth_date)| Patient {
            id: id.to_owned(),
            family: family.to_owned(),
            given: given.to_owned(),
            gender: gender.to_owned(),
            birth_date: birth_date.to_owned(),
        });
        Self(Arc::new(Mutex::new(patients.to_vec())))
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Patient> {
        self.lock().iter().find(|patient| patient.id == id).cloned()
    }

    /// Those whose family name begins with `family`, in whatever case.
    pub(super) fn by_family(&self, family: &str) -> Vec<Patient> {
        let wanted = family.to_ascii_lowercase();
        let begins = |patient: &&Patient| patient.family.to_ascii_lowercase().starts_with(&wanted);
        self.lock().iter().filter(begins).cloned().collect()
    }

    /// Registers a patient under a number of our own; `None` when the register is full.
    pub(super) fn register(&self, resource: &Value) -> Option<Patient> {
        let mut patients = self.lock();
        if patients.len() >= MOST {
            return None;
        }
        let text = |pointer| resource.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown");
        let patient = Patient {
            id: (NEXT + patients.len()).to_string(),
            family: text("/name/0/family").to_owned(),
            given: text("/name/0/given/0").to_owned(),
            gender: text("/gender").to_owned(),
            birth_date: text("/birthDate").to_owned(),
        };
        patients.push(patient.clone());
        Some(patient)
    }

    /// Nothing is ever half registered, whoever panicked.
    fn lock(&self) -> MutexGuard<'_, Vec<Patient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patient {
    /// As a FHIR resource.
    pub(super) fn resource(&self) -> Value {
        json!({
            "resourceType": "Patient",
            "id": self.id,
            "name": [{ "use": "official", "family": self.family, "given": [self.given] }],
            "gender": self.gender,
            "birthDate": self.birth_date,
        })
    }
}
