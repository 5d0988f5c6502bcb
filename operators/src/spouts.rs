//! The list of spouts. A new one is a file in `spouts/`, its `mod` line and its entry here.

use isobar_topology::SpoutType;

pub(crate) fn list() -> Vec<SpoutType> {
    vec![]
}
