//! The Learning screen: how the training beside the town goes, and where the promotion of its candidate stands.
//!
//! Owns where its two panes stand. Rule: "Training log", "Screens".

mod candidate;
#[cfg(test)]
mod tests;
mod training;
pub(crate) mod training_metrics;

use ratatui::layout::{Constraint, Layout, Rect};

pub use candidate::Candidate;
pub use training::Training;

/// Columns from which on the panes stand side by side.
const WIDE: u16 = 160;

/// The training left and the candidate right; one above the other where that would make both narrow.
pub fn layout(area: Rect) -> Vec<Rect> {
    if area.width >= WIDE {
        let [training, candidate] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(area.width * 2 / 5)]).areas(area);
        return vec![training, candidate];
    }
    let candidate = (area.height / 3).max(11);
    let [training, candidate] = Layout::vertical([Constraint::Fill(1), Constraint::Length(candidate)]).areas(area);
    vec![training, candidate]
}
