//! From a node to the configuration struct of an operator.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::problem::{Path, Problem, Problems};
use super::schema;
use super::tree::Node;

/// Reads a configuration: first against the struct's JSON schema, which finds every problem with
/// its place, then by serde, which finds what a schema cannot say.
///
/// `path` is where `node` is in the topology file.
pub fn parse_config<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    path: &Path,
) -> Result<T, Problems> {
    let schema = schemars::schema_for!(T);
    let (node, problems) = schema::check(node, schema.as_value(), path);
    problems.or(())?;
    serde_json::from_value(node.to_json()).map_err(|error| {
        Problem::new(path.clone(), error.to_string())
            .at(node.place)
            .into()
    })
}
