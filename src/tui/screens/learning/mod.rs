//! The Learning screen: training progress, and promotion of the candidate. Rule: "Training log", "Screens".

mod candidate;
#[cfg(test)]
mod tests;
mod training;
pub(crate) mod training_metrics;

use ratatui::layout::{Constraint, Direction, Rect};

use crate::layouts::Layouts;
use crate::pane::Tiling;
pub(crate) use candidate::Candidate;
pub(crate) use training::Training;

/// Minimum width to put the panes side by side.
const WIDE: u16 = 160;

/// Training and candidate side by side, or stacked.
pub(crate) fn layout(area: Rect, layouts: &Layouts) -> Tiling {
    let division = if area.width >= WIDE {
        let parts = [Constraint::Fill(1), Constraint::Length(area.width * 2 / 5)];
        layouts.divide("learning columns", Direction::Horizontal, area, &parts)
    } else {
        let parts = [Constraint::Fill(1), Constraint::Length((area.height / 3).max(11))];
        layouts.divide("learning rows", Direction::Vertical, area, &parts)
    };
    Tiling::of(division)
}
