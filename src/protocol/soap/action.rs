//! The action that the head of a request claims.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::Unreadable;
use super::media_type::{MediaType, TYPED};

/// Media types that a SOAP message comes in.
pub(super) const XML: [&str; 4] =
    ["text/xml", "application/soap+xml", "application/xml", "application/xop+xml"];
/// The one of a message with attachments.
pub(super) const RELATED: &str = "multipart/related";

/// The action that a request claims: in `SOAPAction` (SOAP 1.1), in the content type (SOAP 1.2), or in
/// the content type of a multipart message (MTOM). `None` if it claims none; an empty one is none.
///
/// # Errors
///
/// Two claims that differ are no claim, nor is one that is no URI.
pub fn claimed(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Unreadable> {
    let mut claim = soap_action(headers)?.map(Cow::Borrowed);
    let Some(media) = content_type(headers)? else { return Ok(claim) };
    for action in named(&media)?.into_iter().flatten() {
        match &claim {
            Some(other) if *other != action => return Err(Unreadable::ActionsDiffer),
            Some(_) => {}
            None => claim = Some(action),
        }
    }
    Ok(claim)
}

/// The content type, if it is one that SOAP messages come in.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<MediaType<'_>>, Unreadable> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unreadable::ContentType);
    }
    let Ok(text) = value.to_str() else { return Err(Unreadable::ContentType) };
    let media = MediaType::new(text);
    let is_soap = media.is(RELATED) || XML.iter().any(|xml| media.is(xml));
    Ok(is_soap.then_some(media))
}

/// The actions that a media type names: its own, and that of what it says the root part is.
pub(super) fn named<'a>(media: &MediaType<'a>) -> Result<[Option<Cow<'a, str>>; 2], Unreadable> {
    let own = media.parameter("action")?.filter(|action| !action.is_empty());
    let mut inner = None;
    // `startinfo` is what the standard's own example says (XOP 1.0, example 2), `type` the root part.
    for wrapper in TYPED {
        let Some(text) = media.parameter(wrapper)? else { continue };
        let action = MediaType::new(&text).parameter("action")?.map(Cow::into_owned);
        let Some(action) = action.filter(|action| !action.is_empty()) else { continue };
        if inner.as_ref().is_some_and(|other| *other != action) {
            return Err(Unreadable::ActionsDiffer);
        }
        inner = Some(action);
    }
    let named = [own, inner.map(Cow::Owned)];
    let is_fit = named.iter().flatten().all(|action| is_uri(action));
    if is_fit { Ok(named) } else { Err(Unreadable::ActionSyntax) }
}

/// The value of `SOAPAction`, without the quotes that belong to it and that some leave out.
fn soap_action(headers: &HeaderMap) -> Result<Option<&str>, Unreadable> {
    let mut values = headers.get_all("soapaction").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unreadable::ActionRepeated);
    }
    let Ok(text) = value.to_str() else { return Err(Unreadable::ActionSyntax) };
    let text = text.trim_matches([' ', '\t']);
    let uri = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or(Unreadable::ActionSyntax)?,
        None => text,
    };
    if uri.is_empty() {
        return Ok(None);
    }
    if is_uri(uri) { Ok(Some(uri)) } else { Err(Unreadable::ActionSyntax) }
}

/// Why a text is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write it as SOAPAction has it between its quotes, like urn:hl7-org:v3:PRPA_IN201305UV02")]
pub struct NotAnAction;

/// Checks an action that a request may claim.
///
/// # Errors
///
/// A request that claims it is refused, or claims none.
pub fn check_action(text: &str) -> Result<(), NotAnAction> {
    if !text.is_empty() && is_uri(text) { Ok(()) } else { Err(NotAnAction) }
}

/// Characters that a URI may have. No comma: two headers that somebody joined would have one, and so
/// would a list.
fn is_uri(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\<>^`{|},".contains(&b))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const PDQ: &str = "urn:hl7-org:v3:PRPA_IN201305UV02";

    fn claim(lines: &[(&str, &str)]) -> Result<Option<String>, Unreadable> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        claimed(&headers).map(|claim| claim.map(Cow::into_owned))
    }

    #[test]
    fn soap_11_claims_it_in_a_header_with_or_without_quotes() {
        let quoted = format!("\"{PDQ}\"");

        assert_eq!(claim(&[("soapaction", &quoted)]), Ok(Some(PDQ.to_owned())));
        assert_eq!(claim(&[("soapaction", PDQ)]), Ok(Some(PDQ.to_owned())));
        for none in ["\"\"", "", "  "] {
            assert_eq!(claim(&[("soapaction", none)]), Ok(None), "{none:?}");
        }
        assert_eq!(claim(&[("content-type", "text/xml; charset=utf-8")]), Ok(None));
        assert_eq!(claim(&[]), Ok(None));
    }

    #[test]
    fn soap_12_claims_it_in_the_content_type() {
        let soap = format!("application/soap+xml; charset=utf-8; action=\"{PDQ}\"");

        assert_eq!(claim(&[("content-type", &soap)]), Ok(Some(PDQ.to_owned())));
        let both = [("content-type", &*soap), ("soapaction", PDQ)];
        assert_eq!(claim(&both), Ok(Some(PDQ.to_owned())));
        assert_eq!(claim(&[("content-type", "application/soap+xml; action=\"\"")]), Ok(None));
    }

    #[test]
    fn mtom_claims_it_outside_or_in_the_start_info() {
        let related = r#"multipart/related; type="application/xop+xml"; start="<r>"; boundary=b; "#;
        let outer = format!("{related}start-info=\"application/soap+xml\"; action=\"{PDQ}\"");
        let inner = format!(r#"{related}startinfo="application/soap+xml; action=\"{PDQ}\"""#);

        assert_eq!(claim(&[("content-type", &outer)]), Ok(Some(PDQ.to_owned())));
        assert_eq!(claim(&[("content-type", &inner)]), Ok(Some(PDQ.to_owned())));
        let two = format!(r#"{inner}; action="urn:other""#);
        assert_eq!(claim(&[("content-type", &two)]), Err(Unreadable::ActionsDiffer));
    }

    #[test]
    fn claims_that_differ_are_none() {
        let soap = format!("application/soap+xml; action=\"{PDQ}\"");
        let differ = [("content-type", &*soap), ("soapaction", "urn:other")];

        assert_eq!(claim(&differ), Err(Unreadable::ActionsDiffer));
        let twice = [("soapaction", PDQ), ("soapaction", PDQ)];
        assert_eq!(claim(&twice), Err(Unreadable::ActionRepeated));
        for broken in ["\"urn:x", "urn:x\"", "\"urn:x\", \"urn:y\"", "urn:x,urn:y", "urn:x urn:y"] {
            assert_eq!(claim(&[("soapaction", broken)]), Err(Unreadable::ActionSyntax), "{broken}");
        }
        let types = [("content-type", "text/xml"), ("content-type", &*soap)];
        assert_eq!(claim(&types), Err(Unreadable::ContentType));
    }

    #[test]
    fn what_is_no_soap_claims_nothing_and_breaks_nothing() {
        assert_eq!(claim(&[("content-type", "application/json; broken")]), Ok(None));
        assert_eq!(claim(&[("content-type", "text/plain; action=urn:x")]), Ok(None));
    }
}
