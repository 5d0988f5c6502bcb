//! Files of unit tests: a directory of its own for each test, removed at its end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is removed with everything in it when it is dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("isobar-operators-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a whole file in the place of one that may be there, at once.
    pub(crate) fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = self.path.join("new");
        std::fs::write(&new, text).expect("room for a file");
        std::fs::rename(new, self.path.join(name)).expect("in one directory");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path.join(name)).expect("a file of text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever looks after temporary files removes what is left.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
