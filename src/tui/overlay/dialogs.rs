//! The confirmation, escalation and detail dialogs.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, buttons, draw_prompt, is_cancel, outer_window, window};
use crate::format::styled_lines;
use crate::keymap::Action;
use crate::pane::{Confirmation, DetailCard, ReasonPrompt};
use crate::text_drawing::{draw_scrolled, draw_text, wrapped};
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_wire::Request;

/// Commands of one confirmation that the shard is asked about.
const MAX_EFFECTS: usize = 8;

/// A confirmation. *Cancel* has the focus first, or the reason if nothing else is asked.
#[derive(Debug)]
pub(crate) struct ConfirmDialog {
    confirmation: Confirmation,
    focus: Focus,
    reason: Option<ReasonField>,
    /// The pane and the action that asked.
    origin: Option<(usize, Action)>,
    /// Whether it was typed: then its text is the line and what it would do.
    typed: bool,
    /// Line → what it would do by the shard, while the figures of the text are old.
    effects: Option<BTreeMap<String, String>>,
    /// Where the buttons were drawn.
    buttons: [Rect; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Reason,
    Cancel,
    Confirm,
}

/// The reason of the commands. The first letter replaces a suggestion.
#[derive(Debug)]
struct ReasonField {
    field: TextField,
    suggested: bool,
    required: bool,
    /// Reasons given before, newest first.
    history: Vec<String>,
    at: Option<usize>,
    /// Whether it was needed and missing.
    missing: bool,
}

impl ReasonField {
    fn key(&mut self, key: KeyEvent) {
        let step = |at: Option<usize>| match (key.code, at) {
            (KeyCode::Up, at) => Some(at.map_or(0, |at| at + 1).min(self.history.len().saturating_sub(1))),
            (_, at) => at.and_then(|at| at.checked_sub(1)),
        };
        self.missing = false;
        if matches!(key.code, KeyCode::Up | KeyCode::Down) {
            self.at = step(self.at);
            let text = self.at.and_then(|at| self.history.get(at)).cloned().unwrap_or_default();
            self.field.set(&text);
            self.suggested = !text.is_empty();
            return;
        }
        if std::mem::take(&mut self.suggested) && matches!(key.code, KeyCode::Char(_) | KeyCode::Backspace) {
            self.field.set("");
        }
        self.field.key(key);
    }

    fn lines(&self) -> Line<'static> {
        let note = match (self.required, self.history.is_empty()) {
            (true, true) => "required",
            (true, false) => "required · ↑ earlier ones",
            (false, true) => "optional",
            (false, false) => "optional · ↑ earlier ones",
        };
        Line::raw(format!("Reason for the audit log ({note}):"))
    }
}

/// A command line with a reason.
fn with_reason(line: &str, reason: &str) -> String {
    let reason = reason.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{line} --reason \"{reason}\"")
}

impl ConfirmDialog {
    /// A confirmation that asks for no reason.
    pub(crate) const fn new(confirmation: Confirmation) -> Self {
        Self {
            confirmation,
            focus: Focus::Cancel,
            reason: None,
            origin: None,
            typed: false,
            effects: None,
            buttons: [Rect::ZERO; 2],
        }
    }

    /// The same for a typed line, which is its first text, before what it would do.
    pub(crate) fn typed(self) -> Self {
        Self { typed: true, ..self }
    }

    /// A confirmation of commands that take a reason; `history` has those given before, newest first.
    pub(crate) fn with_reason(confirmation: Confirmation, prompt: ReasonPrompt, history: Vec<String>) -> Self {
        let suggestion = if prompt == ReasonPrompt::Optional { "" } else { &confirmation.reason };
        let reason = ReasonField {
            field: TextField::with(suggestion),
            suggested: !suggestion.is_empty(),
            required: prompt == ReasonPrompt::Required,
            history,
            at: None,
            missing: false,
        };
        let focus = if confirmation.only_reason { Focus::Reason } else { Focus::Cancel };
        Self { focus, reason: Some(reason), ..Self::new(confirmation) }
    }

    fn send(&mut self) -> DialogResult {
        let mut requests = std::mem::take(&mut self.confirmation.requests);
        if requests.is_empty() {
            return if self.confirmation.quits { DialogResult::Quit } else { DialogResult::Closed };
        }
        if let Some(reason) = &mut self.reason {
            let text = reason.field.text().trim();
            if text.is_empty() && reason.required {
                (reason.missing, self.focus, self.confirmation.requests) = (true, Focus::Reason, requests);
                return DialogResult::Open;
            }
            if !text.is_empty() {
                for request in &mut requests {
                    request.command = with_reason(&request.command, text);
                }
            }
        }
        DialogResult::Send(requests)
    }

    /// What the shard says that the commands would do now, a paragraph each.
    fn effects_in_words(&self) -> Vec<String> {
        let Some(effects) = &self.effects else { return Vec::new() };
        let say = |line: String| match effects.get(&line) {
            Some(effect) => format!("The shard says: {effect}"),
            None => "Asking the shard what it would do now.".into(),
        };
        let mut words: Vec<String> = self.lines_for_shard().into_iter().map(say).collect();
        let more = self.confirmation.requests.len() - words.len();
        if more > 0 {
            words.push(format!("It is not asked about the {more} others."));
        }
        words
    }

    fn move_focus(&mut self, forward: bool) {
        let order: &[Focus] = if self.reason.is_some() {
            &[Focus::Reason, Focus::Cancel, Focus::Confirm]
        } else {
            &[Focus::Cancel, Focus::Confirm]
        };
        let at = order.iter().position(|focus| *focus == self.focus).unwrap_or(0);
        self.focus = order[(at + if forward { 1 } else { order.len() - 1 }) % order.len()];
    }

    fn draw_reason(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let Some(reason) = &mut self.reason else { return };
        let [label, field] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        let label_style = if reason.missing { theme.bad } else { theme.dim };
        draw_text(frame, label, reason.lines().style(label_style));
        let focused = self.focus == Focus::Reason;
        let mark = if focused { Span::styled("›", theme.key) } else { Span::raw(" ") };
        draw_text(frame, field, mark);
        let text = Rect { x: field.x + 2, width: field.width.saturating_sub(2), ..field };
        if focused {
            reason.field.draw(frame, text, theme);
        } else {
            draw_text(frame, text, Span::styled(reason.field.text().to_owned(), theme.text));
        }
    }
}

impl Dialog for ConfirmDialog {
    fn asks_about_the_town(&self) -> bool {
        true
    }

    fn origin(&self) -> Option<(usize, Action)> {
        self.origin
    }

    fn set_origin(&mut self, origin: (usize, Action)) {
        self.origin = Some(origin);
    }

    /// What is left of the commands is asked for; no other command takes the place of one that is gone.
    fn renew(&mut self, asked: Confirmation) -> bool {
        let before = &self.confirmation.requests;
        let is_known = |request: &Request| before.iter().any(|other| other.command == request.command);
        let same = asked.about == self.confirmation.about && !asked.requests.is_empty();
        if !(same && asked.requests.iter().all(is_known)) {
            return false;
        }
        let only_reason = self.confirmation.only_reason;
        self.confirmation = Confirmation { only_reason, ..asked };
        true
    }

    fn ask_shard(&mut self, ask: bool) {
        if ask && !self.typed {
            self.effects.get_or_insert_default();
        } else {
            self.effects = None;
        }
    }

    fn lines_for_shard(&self) -> Vec<String> {
        if self.typed {
            return self.confirmation.text.first().cloned().into_iter().collect();
        }
        let requests = self.confirmation.requests.iter().filter(|_| self.effects.is_some());
        requests.take(MAX_EFFECTS).map(|request| request.command.clone()).collect()
    }

    fn renew_effect(&mut self, line: &str, effect: String) {
        if self.typed {
            self.confirmation.text.truncate(1);
            self.confirmation.text.push(effect);
        } else if let Some(effects) = &mut self.effects {
            effects.insert(line.to_owned(), effect);
        }
    }

    fn paste(&mut self, text: &str) {
        if let Some(reason) = &mut self.reason {
            if std::mem::take(&mut reason.suggested) {
                reason.field.set("");
            }
            reason.field.paste(text.trim());
            (self.focus, reason.missing) = (Focus::Reason, false);
        }
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let asks = self.reason.is_some();
        match (key.code, self.focus) {
            _ if is_cancel(key) => return DialogResult::Closed,
            (KeyCode::Char('n' | 'q'), _) if !asks => return DialogResult::Closed,
            (KeyCode::Tab, _) => self.move_focus(true),
            (KeyCode::BackTab, _) => self.move_focus(false),
            (KeyCode::Left | KeyCode::Right, Focus::Cancel) | (KeyCode::Enter, Focus::Reason)
                if !(key.code == KeyCode::Enter && self.confirmation.only_reason) =>
            {
                self.focus = Focus::Confirm;
            }
            (KeyCode::Left | KeyCode::Right, Focus::Confirm) => self.focus = Focus::Cancel,
            (KeyCode::Char('h' | 'l'), _) if !asks => self.move_focus(true),
            (KeyCode::Enter, Focus::Cancel) => return DialogResult::Closed,
            (KeyCode::Enter, Focus::Confirm | Focus::Reason) => return self.send(),
            _ => {
                if let Some(reason) = &mut self.reason {
                    self.focus = Focus::Reason;
                    reason.key(key);
                }
            }
        }
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        match self.buttons.iter().position(|button| button.contains(at)) {
            Some(0) => DialogResult::Closed,
            Some(_) => self.send(),
            None => DialogResult::Open,
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let width = 64.min(area.width.saturating_sub(4));
        let columns = usize::from(width.saturating_sub(4));
        let mut lines: Vec<Line<'_>> = vec![Line::default()];
        for text in self.confirmation.text.iter().chain(&self.effects_in_words()) {
            lines.extend(styled_lines(text, columns, theme.text));
        }
        let reason_rows = if self.reason.is_some() { 3 } else { 0 };
        let size = (width, lines.len() as u16 + 5 + reason_rows);
        let foot = match (self.focus, self.confirmation.only_reason) {
            (Focus::Reason, true) => "enter send · esc cancel",
            (Focus::Reason, false) => "enter next · esc cancel",
            _ => "← → select · enter confirm · esc cancel",
        };
        let inside = window(frame, area, size, &self.confirmation.title, foot, theme);
        // Reason and buttons stay visible, however long the text is.
        let rows = [1, reason_rows, 1, 1].map(Constraint::Length);
        let rows = [&[Constraint::Fill(1)], &rows[..]].concat();
        let [text, _, reason, bottom, _] = Layout::vertical(rows).areas(inside);
        draw_text(frame, text, lines);
        if self.reason.is_some() {
            self.draw_reason(frame, Rect { height: 2.min(reason.height), ..reason }, theme);
        }
        let focused = match self.focus {
            Focus::Cancel => 0,
            Focus::Confirm => 1,
            Focus::Reason => 2,
        };
        let words = ["cancel", self.confirmation.verb.as_str()];
        let (line, areas) = buttons(bottom, words, focused, theme);
        self.buttons = areas;
        draw_text(frame, bottom, line);
    }
}

/// Asks for the token (masked) or the reason of `escalate`.
#[derive(Debug)]
pub(crate) struct EscalateDialog {
    field: TextField,
    token: bool,
}

impl EscalateDialog {
    /// `token`: whether the shard requires a token.
    pub(crate) fn escalate(token: bool) -> Self {
        Self { field: if token { TextField::masked() } else { TextField::default() }, token }
    }
}

impl Dialog for EscalateDialog {
    fn paste(&mut self, text: &str) {
        self.field.paste(text.trim());
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        let typed = self.field.text().trim();
        match key.code {
            _ if is_cancel(key) => DialogResult::Closed,
            KeyCode::Enter if typed.is_empty() => DialogResult::Open,
            KeyCode::Enter if self.token => {
                DialogResult::Send(vec![Request { secret: Some(typed.to_owned()), ..Request::line("escalate") }])
            }
            KeyCode::Enter => DialogResult::Send(vec![Request::line(with_reason("escalate", typed))]),
            _ => {
                self.field.key(key);
                DialogResult::Open
            }
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let text = if self.token {
            "Admins can change the town. Enter an admin token. It is masked and not stored."
        } else {
            "Admins can change the town. Every change is logged with your name. Enter a reason."
        };
        let width = 66.min(area.width.saturating_sub(4));
        let lines = styled_lines(text, usize::from(width.saturating_sub(4)), theme.text).collect();
        let title = if self.token { "Become admin: token" } else { "Become admin: reason" };
        draw_prompt(frame, area, width, (title, "enter send · esc cancel"), lines, &mut self.field, theme);
    }
}

/// Says why what was open is closed. It takes the keys that were meant for it, also `enter`, until the operator closes it.
#[derive(Debug)]
pub(crate) struct ClosedDialog {
    text: String,
}

impl ClosedDialog {
    /// With this reason.
    pub(crate) const fn new(text: String) -> Self {
        Self { text }
    }
}

impl Dialog for ClosedDialog {
    fn key(&mut self, key: KeyEvent) -> DialogResult {
        if is_cancel(key) { DialogResult::Closed } else { DialogResult::Open }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let width = 64.min(area.width.saturating_sub(4));
        let text = crate::format::capital(&self.text);
        let lines: Vec<Line<'_>> = styled_lines(&text, usize::from(width.saturating_sub(4)), theme.text).collect();
        let inside = window(frame, area, (width, lines.len() as u16 + 4), "Closed", "esc closes", theme);
        draw_text(frame, Rect { y: inside.y + 1, ..inside }.intersection(inside), lines);
    }
}

#[derive(Debug)]
pub(crate) struct DetailDialog {
    card: DetailCard,
    origin: Option<(usize, Action)>,
    /// Whether what it shows is gone.
    past: bool,
    offset: u16,
    max_offset: u16,
    /// Where it was drawn.
    window: Rect,
}

impl DetailDialog {
    /// Scrolled to the top.
    pub(crate) const fn new(card: DetailCard) -> Self {
        Self { card, origin: None, past: false, offset: 0, max_offset: 0, window: Rect::ZERO }
    }
}

impl Dialog for DetailDialog {
    fn origin(&self) -> Option<(usize, Action)> {
        self.origin.filter(|_| self.card.live)
    }

    fn set_origin(&mut self, origin: (usize, Action)) {
        self.origin = Some(origin);
    }

    fn renew_details(&mut self, card: Option<DetailCard>) {
        match card.filter(|card| card.title == self.card.title) {
            Some(card) => (self.card, self.past) = (card, false),
            None => self.past = true,
        }
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        self.offset = match key.code {
            _ if is_cancel(key) => return DialogResult::Closed,
            KeyCode::Enter | KeyCode::Char('q') => return DialogResult::Closed,
            KeyCode::Up | KeyCode::Char('k') => self.offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset + 1,
            KeyCode::PageUp => self.offset.saturating_sub(10),
            KeyCode::PageDown | KeyCode::Char(' ') => self.offset + 10,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => u16::MAX,
            _ => self.offset,
        }
        .min(self.max_offset);
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        if self.window.contains(at) { DialogResult::Open } else { DialogResult::Closed }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let widest = self.card.lines.iter().map(Line::width).max().unwrap_or(0) as u16;
        let width = (widest + 4).max(44).min(area.width.saturating_sub(4));
        let mut lines = wrapped(&self.card.lines, width.saturating_sub(4).into());
        if self.past {
            lines.insert(0, Line::styled("! this is past: it is not in the list any more", theme.warn));
        }
        let rows = lines.len() as u16;
        let height = (rows + 2).min(area.height.saturating_sub(2));
        self.max_offset = (rows + 2).saturating_sub(height);
        self.offset = self.offset.min(self.max_offset);
        let foot = if self.max_offset > 0 { "↑↓ scroll · esc or q close" } else { "esc or q close" };
        let inside = window(frame, area, (width, height), &self.card.title, foot, theme);
        self.window = outer_window(inside);
        draw_scrolled(frame, inside, lines, self.offset);
    }
}
