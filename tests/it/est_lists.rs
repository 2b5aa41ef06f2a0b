//! Revocation lists beside EST: fetched where they are published, and kept.
