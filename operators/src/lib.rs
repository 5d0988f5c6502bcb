//! The spouts and bolts of Isobar: everything that knows an outside system or a transformation.

pub mod kafka;
