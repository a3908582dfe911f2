//! The Economy screen: perturbations, and goods with their prices and stock. Rule: "Screens".

mod goods;
mod perturbations;
#[cfg(test)]
mod tests;

use ratatui::layout::{Constraint, Direction, Rect};

use crate::layouts::Layouts;
use crate::pane::Tiling;
pub(crate) use goods::Goods;
pub(crate) use perturbations::PerturbationsPane;

/// Minimum width to put the panes side by side.
const WIDE: u16 = 160;

/// Perturbations and goods side by side, or stacked.
pub(crate) fn layout(area: Rect, layouts: &Layouts) -> Tiling {
    let halves = [Constraint::Ratio(1, 2); 2];
    Tiling::of(if area.width >= WIDE {
        layouts.divide("economy columns", Direction::Horizontal, area, &halves)
    } else {
        layouts.divide("economy rows", Direction::Vertical, area, &halves)
    })
}
