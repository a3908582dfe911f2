//! The Operations screen.

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::tui::keymap::Action;
use crate::tui::pane::{Context, Hint, Pane, Reaction, empty, frame_block};

/// The pane.
#[derive(Default)]
pub struct Employment {}

impl Pane for Employment {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let block = frame_block("Employment", cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        empty(frame, inner, "Nothing here.", "Press 1 for Operations.", cx.theme);
    }

    fn act(&mut self, _action: Action, _cx: &Context<'_>) -> Reaction {
        Reaction::None
    }

    fn click(&mut self, _column: u16, _row: u16, _cx: &Context<'_>) -> Reaction {
        Reaction::None
    }

    fn bindings(&self, _cx: &Context<'_>) -> Vec<Hint> {
        Vec::new()
    }
}
