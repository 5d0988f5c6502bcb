//! Tells the program which revision of its source it was built from, where git knows.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    // Unpacked inside of some other repository, the answer would be about that one.
    let ours = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix == "deploy/");
    let revision = ours
        .then(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .flatten();
    match &revision {
        Some(revision) => {
            println!("cargo:rustc-env=ISOBAR_REVISION={revision}");
            println!("cargo:rustc-env=ISOBAR_VERSION={version} (revision {revision})");
        }
        None => println!("cargo:rustc-env=ISOBAR_VERSION={version}"),
    }
    // Grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|_| ours) {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
