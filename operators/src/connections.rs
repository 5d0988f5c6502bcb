//! The types of outside systems that `connections:` can name.

use isobar_topology::ConnectionType;

pub(crate) fn list() -> Vec<ConnectionType> {
    vec![]
}
