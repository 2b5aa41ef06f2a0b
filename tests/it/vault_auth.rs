//! The ways to log in to OpenBao, and what is said when one leads nowhere.
