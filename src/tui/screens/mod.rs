//! The screens, one folder or file each. Each brings its panes and where they stand; the tables are in [`super::pane`].

pub mod agents;
pub mod audit;
pub mod economy;
mod filter;
pub mod learning;
pub mod metrics;
#[cfg(test)]
mod navigation_tests;
pub mod operations;
#[cfg(test)]
mod pane_harness;
mod promotion;
pub mod town;
