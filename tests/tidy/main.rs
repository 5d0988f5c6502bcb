//! Rules of the repository that no lint knows: they read its files and need no service.
//!
//! A rule that has exceptions lists them here, each with its reason.

mod documents;
mod files;
mod manifests;
mod plants;
mod tree;
