//! The `elasticsearch` bolt in a running topology, over real connections to the stand-in bulk server:
//! what each answer, fault and outage does to the records, counted at both ends.

mod credentials;
mod fault_mix;
mod items;
mod outcomes;
mod refused;
mod requests;
mod writing;
