//! What is wrong with a configuration, and where.

/// One thing that is wrong, or that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1. 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are wrong, from `column` on.
    pub length: usize,
    /// The key it is about, like `inbound[0].listen`.
    pub key: String,
    /// What is wrong, lower-case, without a trailing period.
    pub text: String,
    /// How to mend it, where that is known.
    pub hint: Option<String>,
}
