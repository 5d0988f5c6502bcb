//! The one place that reads the environment: variables, files of variables, cores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isobar_topology::spec::read_value_file;

use crate::env_file;
use crate::exit::Failure;
use crate::substitute::Outside;

/// Looks a variable up.
type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What the process was started with.
pub struct Environment {
    variable: Box<Variables>,
    /// From files; the process's own variables come first.
    of_files: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::new(|name| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads variables"
            )]
            std::env::var(name).ok()
        })
    }

    /// An environment with other variables.
    pub fn new(variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            variable: Box::new(variable),
            of_files: BTreeMap::new(),
        }
    }

    /// Adds variables of files as `--env-file` names them: later files win over earlier ones, and the
    /// environment over both.
    pub fn add_files(&mut self, files: &[PathBuf]) -> Result<(), Failure> {
        for file in files {
            let name = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{name}: cannot be read: {error}")))?;
            let variables = env_file::parse(&text).map_err(|problems| {
                let lines = problems.sorted().into_iter().map(|problem| {
                    let place = problem.place.unwrap_or_default();
                    format!("{name}:{}:{}: {problem}", place.line, place.column)
                });
                Failure::usage(lines.collect::<Vec<_>>().join("\n"))
            })?;
            self.of_files.extend(variables);
        }
        Ok(())
    }

    /// A variable, from the environment or a file.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).or_else(|| self.of_files.get(name).cloned())
    }

    /// What topology files may take values from.
    pub fn outside<T>(&self, then: impl FnOnce(&Outside<'_>) -> T) -> T {
        then(&Outside {
            variable: &|name| self.get(name),
            file: &|path: &Path| read_value_file(path),
        })
    }

    /// Whether the user wants no colours: <https://no-color.org>.
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some_and(|value| !value.is_empty())
    }
}

/// The number of processor cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_files_and_later_files_over_earlier_ones() {
        let directory = std::env::temp_dir().join(format!("isobar-env-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let files = [file("a", "A=1\nB=1\nC=1\n"), file("b", "B=2\nC=2\n")];
        let bad = file("bad", "A=1\nhunter2\n");
        let mut environment =
            Environment::new(|name| (name == "C").then(|| "environment".to_owned()));
        environment.add_files(&files).expect("sound");
        let refused = environment.add_files(&[bad, directory.join("missing")]);
        std::fs::remove_dir_all(&directory).expect("removed");
        let values = ["A", "B", "C", "D"].map(|name| environment.get(name));
        let values = values.map(Option::unwrap_or_default);
        assert_eq!(values, ["1", "2", "environment", ""]);
        let text = refused.expect_err("not a variable").error.to_string();
        assert!(
            text.ends_with("bad:2:1: not a variable; expected KEY=VALUE, or # before a comment"),
            "{text}"
        );
    }
}
