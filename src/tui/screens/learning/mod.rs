//! The Learning screen: training progress, and promotion of the candidate. Rule: "Training log", "Screens".

mod candidate;
#[cfg(test)]
mod tests;
mod training;
pub(crate) mod training_metrics;

use ratatui::layout::{Constraint, Layout, Rect};

pub(crate) use candidate::Candidate;
pub(crate) use training::Training;

/// Minimum width to put the panes side by side.
const WIDE: u16 = 160;

/// Training and candidate side by side, or stacked.
pub(crate) fn layout(area: Rect) -> Vec<Rect> {
    if area.width >= WIDE {
        let [training, candidate] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(area.width * 2 / 5)]).areas(area);
        return vec![training, candidate];
    }
    let candidate = (area.height / 3).max(11);
    let [training, candidate] = Layout::vertical([Constraint::Fill(1), Constraint::Length(candidate)]).areas(area);
    vec![training, candidate]
}
