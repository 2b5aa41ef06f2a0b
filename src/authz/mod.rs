//! Who may do what. Pure: no I/O, no clock of its own, no lock.
