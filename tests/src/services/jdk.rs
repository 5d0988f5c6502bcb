//! Finds a JDK of a wanted age among the installed ones.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::setting;

/// The home of the oldest installed JDK whose feature version is in `wanted`: `JAVA_HOME` and
/// `/usr/lib/jvm/*` are looked through. Fails with what was found and what to install.
pub fn find(wanted: RangeInclusive<u32>) -> Result<PathBuf> {
    let mut homes: Vec<PathBuf> = setting("JAVA_HOME")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Ok(entries) = std::fs::read_dir("/usr/lib/jvm") {
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        homes.append(&mut found);
    }
    let versions: Vec<(u32, PathBuf)> = homes
        .into_iter()
        .filter_map(|home| Some((version(&home)?, home)))
        .collect();
    let fitting = versions
        .iter()
        .filter(|(version, _)| wanted.contains(version));
    match fitting.min_by_key(|(version, _)| *version) {
        Some((_, home)) => Ok(home.clone()),
        None => {
            let found: Vec<u32> = versions.iter().map(|(version, _)| *version).collect();
            bail!(
                "no JDK of version {} to {} in JAVA_HOME or /usr/lib/jvm (found {found:?}): install one, \
                 ./tests/run prerequisites says which",
                wanted.start(),
                wanted.end()
            )
        }
    }
}

fn version(home: &Path) -> Option<u32> {
    let output = Command::new(home.join("bin/java"))
        .arg("-version")
        .output()
        .ok()?;
    parse(&String::from_utf8_lossy(&output.stderr))
}

/// Reads `openjdk version "17.0.15" 2025-04-15`. Java 8 and older call themselves 1.8 and so on, which
/// reads as 1 and fits nothing.
fn parse(text: &str) -> Option<u32> {
    let quoted = text.split("version \"").nth(1)?;
    let digits: String = quoted.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_versions_are_read() {
        assert_eq!(parse("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(parse("openjdk version \"25\" 2025-09-16 LTS\n"), Some(25));
        assert_eq!(parse("java version \"1.8.0_402\"\n"), Some(1));
        assert_eq!(parse("Error: could not find libjvm.so"), None);
    }

    #[test]
    fn a_missing_jdk_is_an_error_that_says_what_to_do() {
        let error = find(9_000..=9_001).expect_err("no such Java").to_string();
        assert!(error.contains("./tests/run prerequisites"), "{error}");
    }
}
