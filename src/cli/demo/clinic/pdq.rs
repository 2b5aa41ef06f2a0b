//! A SOAP 1.1 service after IHE's patient demographics query: a family name in, patients out.

use std::fmt::Write;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::Journal;
use super::http::{reply, vouched};
use super::patients::{Patient, Patients};

/// The `SOAPAction` of its one operation: that of PDQv3's query (IHE ITI-47).
pub(in super::super) const FIND_PATIENTS: &str = "urn:hl7-org:v3:PRPA_IN201305UV02";
const NAMESPACE: &str = "urn:sample-clinic:pdq";
const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const WSDL: &str = include_str!("pdq.wsdl");
const XML: &str = "text/xml; charset=utf-8";

/// A call that asks for everybody of a family.
pub(in super::super) fn find_patients(family: &str) -> String {
    let family = escaped(family);
    envelope(&format!(
        "<FindPatients xmlns=\"{NAMESPACE}\"><family>{family}</family></FindPatients>"
    ))
}

/// Who answers.
pub(super) struct Desk {
    patients: Patients,
    journal: Journal,
}

impl Desk {
    pub(super) fn new(patients: Patients, journal: Journal) -> Self {
        Self { patients, journal }
    }

    pub(super) fn answer(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        let (method, uri) = (request.method(), request.uri());
        self.journal.note(format!("{method} {}", uri.path()), vouched(request.headers()));
        match (method, uri.path(), uri.query()) {
            (&Method::GET, "/pdq", Some("wsdl" | "WSDL")) => {
                reply(StatusCode::OK, XML, wsdl(request))
            }
            (&Method::POST, "/pdq", _) => match self.call(request) {
                Ok(answer) => reply(StatusCode::OK, XML, answer),
                Err(why) => reply(StatusCode::INTERNAL_SERVER_ERROR, XML, fault(why)),
            },
            _ => reply(StatusCode::NOT_FOUND, "text/plain", "POST /pdq, or GET /pdq?wsdl\n"),
        }
    }

    fn call(&self, request: &Request<Bytes>) -> Result<String, &'static str> {
        let action = request.headers().get("soapaction").and_then(|value| value.to_str().ok());
        if action.map(|action| action.trim_matches('"')) != Some(FIND_PATIENTS) {
            return Err("no such SOAPAction");
        }
        let body = std::str::from_utf8(request.body()).map_err(|_no_text| "not UTF-8")?;
        let call = content(body, "FindPatients").ok_or("the body is no FindPatients")?;
        let family = content(call, "family").ok_or("no family name")?;
        Ok(found(&self.patients.by_family(unescaped(family).trim())))
    }
}

/// The description, with the address under which it was asked for.
fn wsdl(request: &Request<Bytes>) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let location = format!("http://{}/pdq", escaped(host.unwrap_or("localhost")));
    WSDL.replace("{action}", FIND_PATIENTS).replace("{location}", &location)
}

fn found(patients: &[Patient]) -> String {
    let mut list = String::new();
    for Patient { id, family, given, gender, birth_date } in patients {
        let [id, family, given] = [id, family, given].map(|text| escaped(text));
        let [gender, birth_date] = [gender, birth_date].map(|text| escaped(text));
        // Writing to a string cannot fail.
        let _always = write!(
            list,
            "<patient><id>{id}</id><family>{family}</family><given>{given}</given>\
             <gender>{gender}</gender><birthDate>{birth_date}</birthDate></patient>"
        );
    }
    envelope(&format!("<FindPatientsResponse xmlns=\"{NAMESPACE}\">{list}</FindPatientsResponse>"))
}

fn fault(why: &str) -> String {
    envelope(&format!(
        "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>{why}</faultstring></soap:Fault>"
    ))
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soap:Envelope xmlns:soap=\"{ENVELOPE}\"><soap:Body>{body}</soap:Body></soap:Envelope>\n"
    )
}

/// What the first element of that local name contains. As legacy services do: by the letter, for what
/// known clients send.
fn content<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (tag, after) = from.split_once('>')?;
        let qualified = tag.split_ascii_whitespace().next()?;
        if local(qualified) == name && !tag.ends_with('/') {
            return after.split_once(&format!("</{qualified}>")).map(|(content, _)| content);
        }
        rest = after;
    }
}

fn local(qualified: &str) -> &str {
    qualified.split_once(':').map_or(qualified, |(_prefix, local)| local)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn call(action: &str, body: String) -> (StatusCode, String) {
        let desk = Desk::new(Patients::made_up(), Journal::default());
        let request = Request::post("/pdq").header("soapaction", format!("\"{action}\""));
        let response = desk.answer(&request.body(body.into()).unwrap());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_family_is_found_by_its_name() {
        let (status, body) = call(FIND_PATIENTS, find_patients("Mustermann")).await;

        assert_eq!(status, 200);
        assert!(body.contains("<given>Erika</given>") && body.contains("<given>Max</given>"));
        assert!(!body.contains("Bloggs"));
    }

    #[tokio::test]
    async fn prefixes_are_the_clients_own_affair() {
        let body = find_patients("Bloggs")
            .replace("<FindPatients xmlns=", "<ns0:FindPatients xmlns:ns0=")
            .replace("</FindPatients>", "</ns0:FindPatients>")
            .replace("family>", "ns0:family>");

        assert!(call(FIND_PATIENTS, body).await.1.contains("<given>Joe</given>"));
    }

    #[tokio::test]
    async fn what_it_does_not_know_is_a_fault() {
        let (status, body) = call("urn:other", find_patients("Bloggs")).await;
        assert_eq!((status.as_u16(), body.contains("no such SOAPAction")), (500, true));

        let (status, body) = call(FIND_PATIENTS, "<FindPatients".to_owned()).await;
        assert_eq!((status.as_u16(), body.contains("no FindPatients")), (500, true));
    }
}
