//! The screens, one folder or file each. Each brings its panes and where they stand; the tables are in [`super::pane`].

pub mod agents;
pub mod audit;
mod filter;
pub mod learning;
pub mod metrics;
pub mod operations;
mod promotion;
#[cfg(test)]
mod stage;
pub mod town;
#[cfg(test)]
mod walk;
