//! Rules for the mistakes that are to be planted in the core: they fit its sources of today.

use crate::tree::{Text, check, root, texts};

#[test]
fn mistakes_to_be_planted_fit_the_sources() {
    let mut complaints = Vec::new();
    for patch in texts(&[".patch"]) {
        complaints.extend(misfits(&patch));
    }
    check(
        "a patch says what it plants, `Told:` by which words that is found, and each of its hunks is once in its file",
        &complaints,
    );
}

fn misfits(patch: &Text) -> Vec<String> {
    let Text { path, content } = patch;
    let (head, body) = content.split_once("\n--- a/").unwrap_or((content, ""));
    let (file, hunks) = body.split_once('\n').unwrap_or_default();
    let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let mut misfits = Vec::new();
    if !head.contains("\nTold: ") || hunks.is_empty() {
        misfits.push(format!("{path}: is not told or plants nothing"));
    }
    for hunk in hunks.split("\n@@ ").skip(1) {
        let lines = hunk.lines().skip(1);
        let sound: Vec<&str> = lines
            .filter(|line| !line.starts_with('+'))
            .map(|line| line.get(1..).unwrap_or_default())
            .collect();
        if source.matches(&sound.join("\n")).count() != 1 {
            misfits.push(format!("{path}: {file} does not have its lines once"));
        }
    }
    misfits
}
