//! The screens with their panes and layouts. The tables of panes and screens are in [`super::pane`].

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod economy;
mod filter;
pub(crate) mod learning;
pub(crate) mod metrics;
#[cfg(test)]
mod navigation_tests;
pub(crate) mod operations;
pub(crate) mod promotion;
pub(crate) mod town;
