//! The names of librdkafka's settings, read from the library that is linked in.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate offers no list of setting names"
)]

use std::ffi::{CStr, c_char};

use rdkafka_sys as sys;

/// Returns the names of the client and topic settings of the linked librdkafka.
///
/// Settings without a default value (certificates, callbacks) are not among them.
pub(in crate::kafka) fn known_names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: both configurations are created here, dumped while alive and destroyed once; the
    // dumps are freed by `take`.
    unsafe {
        let mut len = 0;
        let conf = sys::rd_kafka_conf_new();
        take(sys::rd_kafka_conf_dump(conf, &raw mut len), len, &mut names);
        sys::rd_kafka_conf_destroy(conf);
        let conf = sys::rd_kafka_topic_conf_new();
        take(
            sys::rd_kafka_topic_conf_dump(conf, &raw mut len),
            len,
            &mut names,
        );
        sys::rd_kafka_topic_conf_destroy(conf);
    }
    names
}

/// Copies the names out of a dump of `len` strings (name, value, name, ...) and frees it.
///
/// # Safety
/// `dump` must come from one of librdkafka's dump functions with this `len` and not be used again.
unsafe fn take(dump: *mut *const c_char, len: usize, names: &mut Vec<String>) {
    if dump.is_null() {
        return;
    }
    // SAFETY: librdkafka filled `len` pointers to zero-terminated strings, which live until the
    // dump is freed below.
    unsafe {
        for name in std::slice::from_raw_parts(dump, len).iter().step_by(2) {
            if !name.is_null() {
                names.push(CStr::from_ptr(*name).to_string_lossy().into_owned());
            }
        }
        sys::rd_kafka_conf_dump_free(dump, len);
    }
}
