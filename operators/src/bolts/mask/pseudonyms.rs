//! Pseudonyms of values: keyed hashes, which nobody without the key can compute or find out by trying.
//!
//! HMAC with SHA-256 (<https://www.rfc-editor.org/rfc/rfc2104>), of which the first half is kept: no two
//! of 2^32 values have the same, but for one chance in 2^64.

use openssl::sha::{Sha256, sha256};

use crate::dead_letter::hexadecimal;

/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// Gives pseudonyms by one key.
pub(super) struct Pseudonyms {
    /// What was hashed of the key already, for the inner and the outer hash.
    inner: Sha256,
    outer: Sha256,
}

impl Pseudonyms {
    /// Shortest key, in bytes: those of a pseudonym.
    pub(super) const KEY_LEAST: usize = 16;

    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block[..32].copy_from_slice(&sha256(key)),
        }
        let keyed = |pad: u8| {
            let mut hash = Sha256::new();
            hash.update(&block.map(|byte| byte ^ pad));
            hash
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5C),
        }
    }

    /// The pseudonym of a text: 32 hexadecimal digits.
    pub(super) fn of(&self, text: &[u8]) -> String {
        hexadecimal(&self.code(text)[..16])
    }

    fn code(&self, text: &[u8]) -> [u8; 32] {
        let (mut inner, mut outer) = (self.inner.clone(), self.outer.clone());
        inner.update(text);
        outer.update(&inner.finish());
        outer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of <https://www.rfc-editor.org/rfc/rfc4231>, section 4: test cases 1, 2, 6 and 7.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (key, text, code) in [
            (
                vec![0x0B; 20],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xAA; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                vec![0xAA; 131],
                "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            let pseudonyms = Pseudonyms::new(&key);
            assert_eq!(hexadecimal(&pseudonyms.code(text.as_bytes())), code);
            assert_eq!(pseudonyms.of(text.as_bytes()), code[..32]);
        }
    }
}
