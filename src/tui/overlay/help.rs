//! The help screen: all keys of the keymap, versions and paths, with a search.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Dialog, DialogResult, draw_search, is_cancel};
use crate::format::{clip, pad, width};
use crate::keymap::{ACTIONS, GROUPS, Keymap};
use crate::pane::PANES;
use crate::text_field::TextField;
use crate::theme::Theme;

/// Keys of the console line. They are fixed.
const LINE_KEYS: [(&str, &str); 6] = [
    ("tab  shift-tab", "complete, next or previous completion"),
    ("up  down", "history"),
    ("enter", "send and close"),
    ("ctrl-a  ctrl-e", "move to start, move to end"),
    ("ctrl-w  ctrl-u", "delete a word, delete to the start"),
    ("esc", "close"),
];

/// Heading and rows of a section: key or label, and description.
type Section = (&'static str, Vec<(String, String)>);

#[derive(Debug)]
pub(crate) struct Help {
    sections: Vec<Section>,
    search: TextField,
    offset: u16,
    max_offset: u16,
}

impl Help {
    /// `here`: title and keys of the focused pane, listed first. `facts`: versions and paths.
    pub(crate) fn new(keymap: &Keymap, here: Section, facts: &[(String, String)]) -> Self {
        let mut sections = vec![here];
        for (group, title) in GROUPS {
            let rows = ACTIONS.iter().filter(|row| row.group == group);
            sections.push((title, rows.map(|row| (keymap.labels(row.action), row.help.to_owned())).collect()));
        }
        let panes =
            PANES.iter().map(|pane| (pane.key.to_string(), format!("{} on {}", pane.title, pane.screen.title())));
        sections.push(("Pane shortcuts", panes.collect()));
        let line = LINE_KEYS.iter().map(|(keys, what)| ((*keys).to_owned(), (*what).to_owned()));
        sections.push(("Console line", line.collect()));
        sections.push(("Versions and paths", facts.to_vec()));
        Self { sections, search: TextField::default(), offset: 0, max_offset: 0 }
    }

    fn lines(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let wanted = self.search.text().to_lowercase();
        let keys =
            self.sections.iter().flat_map(|(_, rows)| rows).map(|(key, _)| width(key)).max().unwrap_or(0).min(18);
        let mut lines: Vec<Line<'static>> = Vec::new();
        for (title, rows) in &self.sections {
            let named = title.to_lowercase().contains(&wanted);
            let fits = |(key, what): &&(String, String)| {
                named || key.to_lowercase().contains(&wanted) || what.to_lowercase().contains(&wanted)
            };
            let rows: Vec<_> = rows.iter().filter(fits).collect();
            if rows.is_empty() {
                continue;
            }
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.push(Line::styled(*title, theme.head));
            lines.extend(rows.iter().map(|(key, what)| {
                let what = clip(what, columns.saturating_sub(keys + 4));
                Line::from(vec![
                    Span::styled(format!("  {}  ", pad(key, keys)), theme.key),
                    Span::styled(what, theme.text),
                ])
            }));
        }
        if lines.is_empty() {
            lines.push(Line::styled("No help matches the search.", theme.dim));
        }
        lines
    }
}

impl Dialog for Help {
    fn paste(&mut self, text: &str) {
        self.search.paste(text);
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        self.offset = match key.code {
            _ if is_cancel(key) || key.code == KeyCode::Enter => return DialogResult::Closed,
            KeyCode::Char('?') if self.search.text().is_empty() => return DialogResult::Closed,
            KeyCode::Up => self.offset.saturating_sub(1),
            KeyCode::Down => self.offset + 1,
            KeyCode::PageUp => self.offset.saturating_sub(10),
            KeyCode::PageDown => self.offset + 10,
            _ => {
                self.search.key(key);
                0
            }
        }
        .min(self.max_offset);
        DialogResult::Open
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (92, area.height.saturating_sub(2));
        let words = ("Help", "type to search · ↑↓ scroll · esc close", "search › ");
        let list = draw_search(frame, area, size, words, &mut self.search, theme);
        let lines = self.lines(list.width.into(), theme);
        self.max_offset = (lines.len() as u16).saturating_sub(list.height);
        self.offset = self.offset.min(self.max_offset);
        frame.render_widget(Paragraph::new(lines).scroll((self.offset, 0)), list);
    }
}
