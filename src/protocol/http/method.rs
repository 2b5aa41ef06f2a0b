//! Methods of requests that reach rules.

use http::Method;

/// Why no request of this method reaches a rule that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMethod {
    /// It is no token.
    #[error("write it as a request does, like GET or POST")]
    Token,
    /// Servers tell upper from lower case, and those of the standards are upper-case.
    #[error("methods are upper-case; did you mean {0}?")]
    LowerCase(String),
    /// It opens a tunnel, or echoes.
    #[error(
        "CONNECT and TRACE are not carried; such a request is refused before any rule is asked"
    )]
    NotCarried,
}

/// Whether a proxy of this kind carries requests with `method`.
pub fn is_carried(method: &Method) -> bool {
    !matches!(*method, Method::CONNECT | Method::TRACE)
}

/// A method that rules and questions may name.
///
/// # Errors
///
/// No request with it reaches a rule.
pub fn method(text: &str) -> Result<Method, NotAMethod> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_error| NotAMethod::Token)?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(NotAMethod::LowerCase(text.to_ascii_uppercase()));
    }
    if is_carried(&method) { Ok(method) } else { Err(NotAMethod::NotCarried) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_an_upper_case_token_that_is_carried() {
        assert_eq!(method("GET"), Ok(Method::GET));
        assert_eq!(method("PROPFIND").unwrap().as_str(), "PROPFIND");
        assert_eq!(method("get"), Err(NotAMethod::LowerCase("GET".to_owned())));
        for wrong in ["", "GET /", "G\nT", "ÄNDERN"] {
            assert_eq!(method(wrong), Err(NotAMethod::Token), "{wrong}");
        }
        for wrong in ["CONNECT", "TRACE"] {
            assert_eq!(method(wrong), Err(NotAMethod::NotCarried), "{wrong}");
        }
    }
}
