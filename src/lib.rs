//! Townlet: the operator toolkit over towns of learning agents. The other crates of `src` do the work; `cli` joins them.

pub mod cli;
