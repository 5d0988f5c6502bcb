//! Files whose text is the value of an option.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Longest file that is a value, in bytes: certificates and keys are shorter.
pub const VALUE_FILE_MAX: u64 = 64 * 1024;

/// Reads a file for `${file:...}`, up to [`VALUE_FILE_MAX`].
pub fn read_value_file(path: &Path) -> io::Result<String> {
    let text = read_text(path, VALUE_FILE_MAX + 1)?;
    if text.len() as u64 > VALUE_FILE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "file too large",
        ));
    }
    Ok(text)
}

/// The text of a file without the line break at its end, which editors and `echo` put there and which is no
/// part of a password.
pub fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        let _ = text.pop();
        if text.ends_with('\r') {
            let _ = text.pop();
        }
    }
    text
}

/// Reads the first `bytes_max` bytes of a file of text. Fails with the line of what is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let _ = File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    let too_large = bytes.len() as u64 == bytes_max;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // The cut may have parted a character; the size is what counts.
        Err(error) if too_large => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {line} is not UTF-8"),
            ))
        }
    }
}
