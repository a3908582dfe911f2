//! Townlet: the operator toolkit over towns of learning agents.
//!
//! The rooms stand in their order of dependence: each uses only what stands above it.

pub mod audit;
pub mod cli;
mod files;
pub mod server;
pub mod shard;
pub mod source;
pub mod tui;
pub mod wire;
