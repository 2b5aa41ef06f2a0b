//! SOAP 1.1 and 1.2: the action that a request claims, and what its body really begins with.
