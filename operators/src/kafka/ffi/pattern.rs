//! Patterns of topic names, read as librdkafka reads them: with regcomp(3), POSIX extended.
//!
//! With another dialect, lag would be shown for other topics than those that are read.

#![expect(
    unsafe_code,
    reason = "the dialect must be the one of librdkafka, which calls the same functions"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;

/// A compiled pattern.
pub(in crate::kafka) struct Pattern {
    // Boxed, since the C library may keep pointers into it.
    compiled: Box<libc::regex_t>,
}

impl Pattern {
    /// Compiles a pattern; says what is wrong with it otherwise.
    pub(in crate::kafka) fn new(text: &str) -> Result<Self, String> {
        let text = CString::new(text).map_err(|_| "it contains a zero byte".to_owned())?;
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: the pattern is zero-terminated, and `compiled` has the size that the C library
        // of this platform wants. It is initialised when the call returns 0.
        let code = unsafe { regcomp(compiled.as_mut_ptr(), text.as_ptr(), EXTENDED | NO_GROUPS) };
        if code != 0 {
            return Err(reason(code));
        }
        // SAFETY: initialised above.
        let compiled = unsafe { compiled.assume_init() };
        Ok(Self { compiled })
    }

    /// Tells whether a topic's name has a match.
    pub(in crate::kafka) fn matches(&self, name: &str) -> bool {
        let Ok(name) = CString::new(name) else {
            return false;
        };
        // SAFETY: the pattern was compiled and is not freed yet; no groups are asked for.
        let code = unsafe {
            regexec(
                &raw const *self.compiled,
                name.as_ptr(),
                0,
                std::ptr::null_mut(),
                0,
            )
        };
        code == 0
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: compiled once, freed once.
        unsafe { regfree(&raw mut *self.compiled) }
    }
}

fn reason(code: c_int) -> String {
    let mut text = [0u8; 128];
    // SAFETY: the buffer has the stated length, and the call leaves it zero-terminated. No pattern
    // is needed for the text of a code.
    let _ = unsafe { regerror(code, std::ptr::null(), text.as_mut_ptr().cast(), text.len()) };
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).into_owned()
}

// `regex.h` of glibc and musl: both give these flags the same values.
const EXTENDED: c_int = 1;
const NO_GROUPS: c_int = 8;

// SAFETY: the signatures of POSIX; `regmatch_t` is never written, so any pointer type stands for it.
unsafe extern "C" {
    fn regcomp(compiled: *mut libc::regex_t, pattern: *const c_char, flags: c_int) -> c_int;
    fn regexec(
        compiled: *const libc::regex_t,
        text: *const c_char,
        groups: usize,
        group: *mut c_void,
        flags: c_int,
    ) -> c_int;
    fn regerror(
        code: c_int,
        compiled: *const libc::regex_t,
        text: *mut c_char,
        length: usize,
    ) -> usize;
    fn regfree(compiled: *mut libc::regex_t);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_posix_extended() {
        let pattern = Pattern::new("^logs\\.(web|db)[[:digit:]]+$").expect("it is sound");
        assert!(pattern.matches("logs.web01"));
        for other in ["logs.web", "xlogs.web01", "logs-web01", "logs.web01\0"] {
            assert!(!pattern.matches(other), "{other}");
        }
        for broken in ["^logs(", "^[a", "^a\0"] {
            let reason = Pattern::new(broken).err().expect("it is not sound");
            assert!(!reason.is_empty(), "{broken}");
        }
    }
}
