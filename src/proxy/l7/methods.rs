//! Methods as they may be written down.

use http::Method;

/// The registry of HTTP methods (IANA; RFC 9110, 16.1.1).
const REGISTERED: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// `method` as it may stand in records: any that is not registered is `OTHER`, because the peer chose
/// its text, and it could say anything.
pub fn known_method(method: &Method) -> Method {
    let is_registered = REGISTERED.binary_search(&method.as_str()).is_ok();
    if is_registered { method.clone() } else { Method::from_bytes(b"OTHER").unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_the_order_that_it_is_searched_in() {
        assert!(REGISTERED.is_sorted());
    }

    #[test]
    fn what_is_not_registered_is_not_written_down() {
        for method in REGISTERED {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(known_method(&method), method);
        }
        for text in ["get", "PATIENT-JANE-DOE", "GET2", "OTHER", "!"] {
            let method = Method::from_bytes(text.as_bytes()).unwrap();
            assert_eq!(known_method(&method).as_str(), "OTHER", "{text}");
        }
    }
}
