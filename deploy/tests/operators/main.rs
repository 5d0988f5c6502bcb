//! Every operator by its own example: read as YAML, planned, and, where it needs no outside system, run
//! on the real runtime under a paused clock.

mod corpus;
mod dead_letters;
mod examples;
mod probe;
mod source;
mod suite;
mod world;
