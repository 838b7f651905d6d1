//! The watched systems in miniature, with faults that can be switched on.
