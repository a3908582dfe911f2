//! The Economy screen: what comes over the town from outside, and what it costs and holds.
//!
//! Owns where its two panes stand. Rule: "Screens".

mod goods;
mod perturbations;
#[cfg(test)]
mod tests;

use ratatui::layout::{Constraint, Layout, Rect};

pub use goods::Goods;
pub use perturbations::PerturbationsPane;

/// Columns from which on the panes stand side by side.
const WIDE: u16 = 160;

/// PerturbationsPane and goods side by side, or one above the other.
pub fn layout(area: Rect) -> Vec<Rect> {
    let halves = [Constraint::Ratio(1, 2); 2];
    let [shocks, goods] =
        if area.width >= WIDE { Layout::horizontal(halves).areas(area) } else { Layout::vertical(halves).areas(area) };
    vec![shocks, goods]
}
