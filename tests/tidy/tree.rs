//! The files of the repository, without what is built or fetched.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests lies in the root").to_owned()
}

/// A text file.
pub struct Text {
    /// Relative to the root, with `/` between its parts.
    pub path: String,
    pub content: String,
}

/// All text files whose names end in one of these.
pub fn texts(endings: &[&str]) -> Vec<Text> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    let root = root();
    let mut texts: Vec<Text> = found
        .into_iter()
        .filter_map(|file| {
            let path = file.strip_prefix(&root).expect("it lies below");
            let path = path.to_str().expect("names of files are text").to_owned();
            let wanted = endings.iter().any(|ending| path.ends_with(ending));
            let content = std::fs::read_to_string(&file).ok().filter(|_| wanted)?;
            Some(Text { path, content })
        })
        .collect();
    assert!(!texts.is_empty(), "no file ends in {endings:?}");
    texts.sort_by(|a, b| a.path.cmp(&b.path));
    texts
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("directories can be read") {
        let path = entry.expect("entries can be read").path();
        let name = path.file_name().and_then(|name| name.to_str());
        // Hidden ones are git's, editors' and fetched services; `.ci` holds one line.
        let skipped = name.is_none_or(|name| name.starts_with('.') || name == "target");
        if skipped || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Fails with all complaints at once.
pub fn check(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n{}", complaints.join("\n"));
}
