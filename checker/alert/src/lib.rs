//! Pages people: the plan, the retries and the receivers.
