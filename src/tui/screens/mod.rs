//! The screens with their panes and layouts. The tables of panes and screens are in [`super::pane`].

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
