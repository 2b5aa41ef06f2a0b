use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::protocol::fhir::{Form, Unreadable};

fn form(lines: &[(HeaderName, &'static str)]) -> Result<Form, Unreadable> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_static(value));
    }
    Form::new(&headers)
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_form_is_what_it_says_it_is_and_in_utf_8() {
    for kind in [
        FORM,
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "application/x-www-form-urlencoded;charset=\"utf-8\"",
    ] {
        assert!(form(&[(CONTENT_TYPE, kind)]).is_ok(), "{kind}");
    }
    for kinds in [
        &[][..],
        &[(CONTENT_TYPE, FORM), (CONTENT_TYPE, FORM)],
        &[(CONTENT_TYPE, "application/json")],
        &[(CONTENT_TYPE, "multipart/form-data; boundary=x")],
        &[(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-16")],
        &[(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-7; charset=utf-8")],
    ] {
        assert_eq!(form(kinds).unwrap_err(), Unreadable::ContentType, "{kinds:?}");
    }
    let packed = [(CONTENT_TYPE, FORM), (CONTENT_ENCODING, "gzip")];
    assert_eq!(form(&packed).unwrap_err(), Unreadable::ContentEncoding);
}

#[test]
fn a_form_is_read_to_its_end_and_no_further_than_its_bound() {
    let form = form(&[(CONTENT_TYPE, FORM)]).unwrap();
    let most = vec![b'a'; 64 * 1024];

    assert_eq!(form.read(b"name=x&_incl", false), Ok(None));
    assert_eq!(form.read(b"name=x", true), Ok(Some("name=x")));
    assert_eq!(form.read(&most, true).map(|text| text.unwrap().len()), Ok(most.len()));
    assert_eq!(form.read(&[&most[..], b"a"].concat(), false), Err(Unreadable::TooLarge));
    assert_eq!(form.read("name=Müller".as_bytes(), true), Err(Unreadable::Encoding));
    assert_eq!(form.read(b"name=\xFF", true), Err(Unreadable::Encoding));
}
