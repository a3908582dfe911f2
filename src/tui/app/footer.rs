//! The footer: the keys of the focused pane, and the global keys or a status message.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Clear;

use super::{App, Tone};
use crate::format::{width, wrap};
use crate::keymap::{Action, Keymap};
use crate::pane::{KeyHint, check_allowed};
use crate::text_drawing::draw_text;
use crate::text_field::TextField;
use crate::theme::Theme;

impl App {
    /// Keys of the focused pane.
    pub(super) fn pane_hints(&self) -> Vec<KeyHint> {
        self.hints_of(self.focused_pane())
    }

    /// Keys of a pane.
    pub(super) fn hints_of(&self, index: usize) -> Vec<KeyHint> {
        let Some(view) = &self.view else { return Vec::new() };
        let pane_state = &self.panes[index];
        pane_state.pane.bindings(&self.context(view, &pane_state.filter, true))
    }

    fn global_hints(&self) -> Vec<KeyHint> {
        let view = self.live_view().map(|view| &**view);
        let paused = view.is_some_and(|view| view.clock.speed == "paused" && view.clock.stepping.is_none());
        let may = |name: &str| match (self.past_refusal(), view) {
            (Some(why), _) => Err(why.to_owned()),
            (None, Some(view)) => check_allowed(&self.session, &self.hello.commands, view, name),
            (None, None) => Err("waiting for the first data from the shard".to_owned()),
        };
        // A pace command is not kept until the shard is back.
        let may_pace =
            |name: &str| if self.is_connected() { may(name) } else { Err("the shard is not connected".to_owned()) };
        let mut hints = vec![
            KeyHint::new(Action::Help, "help"),
            KeyHint::new(Action::Quit, "quit"),
            KeyHint::new(Action::Console, "console"),
            KeyHint::new(Action::NextPane, "pane"),
            if paused {
                KeyHint::when(Action::Pause, "resume", may_pace("resume"))
            } else {
                KeyHint::when(Action::Pause, "pause", may_pace("pause"))
            },
            KeyHint::when(Action::Step, "step", may_pace("step")),
            KeyHint::when(Action::Faster, "speed", may_pace("speed")),
            KeyHint::when(Action::Slower, "speed", may_pace("speed")),
            KeyHint::new(Action::Filter, "filter"),
            KeyHint::new(Action::Zoom, if self.zoomed { "unzoom" } else { "zoom" }),
            KeyHint::new(Action::Palette, "palette"),
            KeyHint::new(Action::Search, "search"),
            KeyHint::new(Action::Save, "save"),
            KeyHint::new(Action::Export, "export"),
            KeyHint::new(Action::Columns, "columns"),
        ];
        if self.past_refusal().is_some() || self.is_recording() {
            let word = if self.is_recording() { "end" } else { "live" };
            let time = [
                KeyHint::new(Action::Live, word),
                KeyHint::new(Action::PreviousTick, "tick"),
                KeyHint::new(Action::NextTick, "tick"),
                KeyHint::new(Action::PreviousMark, "mark"),
                KeyHint::new(Action::NextMark, "mark"),
                KeyHint::new(Action::Goto, "go to"),
            ];
            hints.splice(2..2, time);
        } else {
            hints.push(KeyHint::new(Action::PreviousTick, "past"));
        }
        if !self.unconfirmed().is_empty() {
            hints.insert(2, KeyHint::new(Action::Unconfirmed, "not confirmed"));
        }
        if self.panes[self.focused_pane()].pane.table().is_none() {
            hints.retain(|hint| hint.action != Action::Columns);
        }
        if self.visible_panes().len() == 1 {
            hints.retain(|hint| !matches!(hint.action, Action::NextPane | Action::Zoom));
        }
        hints
    }

    /// Two rows: the pane's keys; and the global keys, the status message or the filter input.
    pub(super) fn draw_footer(&mut self, frame: &mut Frame<'_>, area: Rect) {
        frame.buffer_mut().set_style(area, self.theme.bar);
        let [upper, lower] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        // Global keys do not work while an overlay or the console line has the focus.
        let taken = self.overlay.is_some() || self.line_open;
        if self.overlay.is_some() {
            draw_text(frame, upper, Line::styled(" esc closes the window", self.theme.dim));
        } else if self.line_open {
            let keys = " tab complete · ↑↓ ctrl-r history · enter send and close · esc close";
            draw_text(frame, upper, Line::styled(keys, self.theme.dim));
        } else {
            let hints = [self.pane_hints(), self.other_panes_hints()].concat();
            draw_text(frame, upper, hint_line(&hints, upper.width, &self.keymap, &self.theme));
        }
        if let Some(field) = &mut self.filtering {
            draw_filter_field(frame, lower, field, &self.theme);
        } else if let Some(status) = &self.status {
            let style = match status.tone {
                Tone::Plain => self.theme.warn,
                Tone::Good => self.theme.good,
                Tone::Bad => self.theme.bad,
            };
            // A long message uses both rows, so that the audit location is never cut off.
            let lines = wrap(&status.text, usize::from(lower.width.saturating_sub(2)));
            let room = if lines.len() > 1 { area } else { lower };
            let lines: Vec<Line<'_>> = lines.into_iter().map(|line| Line::styled(format!(" {line}"), style)).collect();
            frame.render_widget(Clear, room);
            draw_text(frame, room, Text::from(lines).style(self.theme.bar));
        } else if !taken {
            draw_text(frame, lower, hint_line(&self.global_hints(), lower.width, &self.keymap, &self.theme));
        }
    }
}

/// The filter while it is typed.
pub(crate) fn draw_filter_field(frame: &mut Frame<'_>, area: Rect, field: &mut TextField, theme: &Theme) {
    let parts = [Constraint::Length(10), Constraint::Fill(1), Constraint::Length(29)];
    let [mark, text, hint] = Layout::horizontal(parts).areas(area);
    draw_text(frame, mark, Span::styled(" filter › ", theme.key));
    field.draw(frame, text, theme);
    draw_text(frame, hint, Span::styled("  enter apply · esc clear     ", theme.dim));
}

/// As many of `hints` as fit into `columns`. Disabled keys are in parentheses.
pub(crate) fn hint_line(hints: &[KeyHint], columns: u16, keymap: &Keymap, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    let mut used = 1;
    for (index, hint) in hints.iter().enumerate() {
        // Keys with the same label, such as the arrows, are shown as one.
        if index > 0 && hints[index - 1].label == hint.label {
            continue;
        }
        let same = hints[index..].iter().take_while(|next| next.label == hint.label);
        let key: String = same.map(|same| keymap.label(same.action)).collect();
        let enabled = hint.enabled.is_ok();
        let taken = width(&key) + width(hint.label) + if enabled { 3 } else { 5 };
        if used + taken > usize::from(columns) {
            continue;
        }
        used += taken;
        if enabled {
            let label = Span::styled(format!(" {} ", hint.label), theme.text);
            spans.extend([Span::raw(" "), Span::styled(key, theme.key), label]);
        } else {
            spans.push(Span::styled(format!(" ({key} {}) ", hint.label), theme.disabled));
        }
    }
    Line::from(spans)
}
