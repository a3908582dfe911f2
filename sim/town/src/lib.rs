//! The town: state, rules, KPIs, digest and snapshot. Pure and deterministic.
//!
//! No I/O, no clock, no threads; whoever runs a town brings those.

pub mod config;
pub mod fixed;
