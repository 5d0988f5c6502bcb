//! A topology file on its way from a path to a plan.

#[cfg(test)]
mod tests;

use std::path::Path as FilePath;

use isobar_topology::spec::{Node, Problems, Spec};
use isobar_topology::{Plan, Registry, plan_after};

use crate::substitute::Outside;
pub use crate::yaml_file::Refused;
use crate::yaml_file::YamlFile;

/// A topology file as far as it could be read.
#[derive(Debug)]
pub struct TopologyFile {
    file: YamlFile,
    spec: Spec,
}

impl TopologyFile {
    /// Reads a file. Never fails: what is wrong is found by [`TopologyFile::spec`] and
    /// [`TopologyFile::plan`], together with everything else that is.
    pub fn load(path: &FilePath, outside: &Outside<'_>) -> Self {
        Self::of(YamlFile::load(path, outside))
    }

    /// Reads a text; `path` names it in problems, and relative paths in it start beside that.
    pub fn from_text(path: &FilePath, text: String, outside: &Outside<'_>) -> Self {
        Self::of(YamlFile::from_text(path, text, outside))
    }

    fn of(mut file: YamlFile) -> Self {
        let (mut spec, problems) = Spec::read_all(&file.tree);
        // What is wrong with a value leaves its place in the tree; keys and parts can be gone.
        let unreadable = file.tree.unreadable();
        spec.is_torn |= file.problems.iter().any(|problem| {
            problem
                .place
                .is_none_or(|place| !unreadable.contains(&place))
        });
        let directory = file.path.parent().unwrap_or(FilePath::new(""));
        spec.directory = directory.to_owned();
        file.problems.append(problems);
        Self { file, spec }
    }

    /// The specification; refused when the file has a problem.
    pub fn spec(&self) -> Result<&Spec, Refused> {
        match self.file.problems.is_empty() {
            true => Ok(&self.spec),
            false => Err(self.refuse(Problems::default())),
        }
    }

    /// Where the file is, as it was given.
    pub fn path(&self) -> &FilePath {
        &self.file.path
    }

    /// The values of the file, with what variables and files gave.
    pub fn tree(&self) -> &Node {
        &self.file.tree
    }

    /// Plans the topology for `cores` lanes unless it says how many. Refused with every problem of the
    /// file and of its components.
    pub fn plan(&self, registry: &Registry, cores: usize) -> Result<Plan, Refused> {
        self.plan_part(&self.spec, registry, cores)
    }

    /// As [`TopologyFile::plan`], for a part of the topology that was made of its specification.
    pub fn plan_part(
        &self,
        part: &Spec,
        registry: &Registry,
        cores: usize,
    ) -> Result<Plan, Refused> {
        plan_after(
            self.file.problems.clone(),
            part,
            registry,
            cores,
            &self.spec.directory,
        )
        // A plan says more of problems of the file: nothing is to be said twice.
        .map_err(|problems| self.file.refuse_all(problems))
    }

    /// Makes the answer out of the file's problems and `more`, which commands find on their own.
    pub fn refuse(&self, more: Problems) -> Refused {
        self.file.refuse(more)
    }
}
