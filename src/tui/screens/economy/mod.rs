//! The Economy screen: perturbations, and goods with their prices and stock. Rule: "Screens".

mod goods;
mod perturbations;
#[cfg(test)]
mod tests;

use ratatui::layout::{Constraint, Layout, Rect};

pub(crate) use goods::Goods;
pub(crate) use perturbations::PerturbationsPane;

/// Minimum width to put the panes side by side.
const WIDE: u16 = 160;

/// Perturbations and goods side by side, or stacked.
pub(crate) fn layout(area: Rect) -> Vec<Rect> {
    let halves = [Constraint::Ratio(1, 2); 2];
    let [perturbations, goods] =
        if area.width >= WIDE { Layout::horizontal(halves).areas(area) } else { Layout::vertical(halves).areas(area) };
    vec![perturbations, goods]
}
