//! Relay miners, run for a while in memory and in virtual time.
