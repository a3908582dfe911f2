//! The `townlet` command line over the other crates of this workspace.

pub mod cli;
