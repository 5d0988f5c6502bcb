//! The `isobar` program.

fn main() {}
