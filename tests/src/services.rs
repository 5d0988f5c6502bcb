//! Real services for end-to-end tests: where they were fetched to, and which Java runs them. Each
//! service is a file below. Nothing is downloaded here: `tests/run fetch` does that.

pub mod jdk;
pub mod kafka;
pub mod prometheus;
pub mod rsyslog;
pub mod search;
pub mod search_client;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

pub use kafka::{Kafka, KafkaClient};
pub use prometheus::Prometheus;
pub use rsyslog::Rsyslog;
pub use search::{PASSWORD, Search, SearchVersion, USERS};
pub use search_client::SearchClient;

/// How long any service may take until it answers. The slowest needs 25 s on an idle two-core machine;
/// four times that leaves room for a build beside it.
pub const START_LIMIT: Duration = Duration::from_secs(120);

/// How long a service may take to end after SIGTERM before it is killed.
pub const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The directory of a fetched service. Fails, with what to run, when it is not there.
fn fetched(directory: &str) -> Result<PathBuf> {
    let path = root().join(directory);
    if !path.is_dir() {
        bail!(
            "{directory} is not in {}: run ./tests/run fetch",
            root().display()
        );
    }
    Ok(path)
}

/// Finds a program of a Debian package, also where only root's path leads.
fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let path = setting("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    for directory in directories {
        let candidate = directory.join(program);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!(
        "{program} is not installed: run ./tests/run prerequisites, or install the Debian package {package}"
    )
}

fn root() -> PathBuf {
    match setting("ISOBAR_SERVICES") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../.services"),
    }
}

/// The environment as the tests see it: the one place that reads it.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own settings, set by tests/run"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_fetched_is_an_error_that_says_what_to_run() {
        let error = fetched("no-such-service")
            .expect_err("it is not there")
            .to_string();
        assert!(error.contains("run ./tests/run fetch"), "{error}");
        let error = installed("no-such-program", "package")
            .expect_err("no such program")
            .to_string();
        assert!(error.contains("Debian package package"), "{error}");
    }

    #[test]
    fn everything_that_is_started_is_in_the_list_that_is_fetched() {
        let list = include_str!("../services.list");
        let listed: Vec<&str> = list
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let mut started = vec![kafka::DIRECTORY];
        started.extend(SearchVersion::ALL.map(SearchVersion::directory));
        assert_eq!(listed, started);
    }
}
