//! Values in the reasons of rejections.

use std::borrow::Cow;

/// Most characters that are shown.
const SHOWN_MAX: usize = 100;

/// The start of a raw value, for a sentence.
#[cold]
pub(crate) fn excerpt(raw: &[u8]) -> Cow<'_, str> {
    let shown = String::from_utf8_lossy(raw);
    match shown.char_indices().nth(SHOWN_MAX) {
        None => shown,
        Some((end, _)) => format!("{}…", &shown[..end]).into(),
    }
}
