//! EST servers that say no, or nonsense: each is told from the others, and with the mend.
