//! The mouse: scrolling, clicks, and drags along the timeline.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::App;
use crate::keymap::Action;
use crate::pane::Screen;

/// Target of a click outside the panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClickTarget {
    Screen(Screen),
    Pane(usize),
    /// The line of the timeline between its labels.
    Timeline,
}

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let at = Position::new(mouse.column, mouse.row);
        let (key, action) = match mouse.kind {
            MouseEventKind::ScrollUp => (KeyCode::Up, Action::Up),
            MouseEventKind::ScrollDown => (KeyCode::Down, Action::Down),
            MouseEventKind::Down(_) => return self.click(at),
            MouseEventKind::Drag(_) => return self.drag_timeline(at.x),
            _ => return,
        };
        if self.overlay.is_some() {
            self.dialog_key(KeyEvent::new(key, KeyModifiers::NONE));
        } else if let Some(index) = self.pane_at(at) {
            self.with_pane(index, |pane, cx| pane.act(action, cx));
        }
    }

    fn pane_at(&self, at: Position) -> Option<usize> {
        self.panes.iter().position(|pane_state| pane_state.area.contains(at))
    }

    fn click(&mut self, at: Position) {
        self.status = None;
        self.end_drag();
        if let Some(overlay) = &mut self.overlay {
            let result = overlay.click(at);
            return self.dialog_result(result);
        }
        if self.line_open
            && let Some(dry_run) = self.line.click(at, &self.hello.commands)
        {
            return self.preview(dry_run);
        }
        if let Some((_, spot)) = self.click_targets.iter().find(|(area, _)| area.contains(at)) {
            match *spot {
                ClickTarget::Screen(screen) => self.show(screen),
                ClickTarget::Pane(index) => self.focus_pane(index),
                ClickTarget::Timeline => self.click_timeline(at.x),
            }
        } else if let Some(index) = self.pane_at(at) {
            self.focus_pane(index);
            self.with_pane(index, |pane, cx| pane.click(at.x, at.y, cx));
        }
    }
}
