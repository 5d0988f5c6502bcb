//! The fuzzer: gives what libFuzzer makes up to the target that `ISOBAR_FUZZ_TARGET` names. One program
//! for all targets, since linking it takes long. `tests/fuzz/run` builds and starts it.

#![no_main]

mod against_serde;
mod asked;
mod bolt;
mod inside;
mod kept;
mod tables;
mod targets;

use std::sync::OnceLock;

use targets::{TARGETS, Target};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("ISOBAR_FUZZ_TARGET").unwrap_or_default();
        let known = TARGETS.iter().find(|target| target.name == wanted);
        known.expect("ISOBAR_FUZZ_TARGET names a target")
    });
    (target.run)(input);
});
