//! The help screen: all keys of the keymap, versions and paths, with a search.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, draw_search, is_cancel, outer_window};
use crate::format::{clip, pad, width, wrap_in_full};
use crate::keymap::{ACTIONS, GROUPS, Keymap};
use crate::pane::PANES;
use crate::text_drawing::draw_scrolled;
use crate::text_field::TextField;
use crate::theme::Theme;
use townlet_wire::CommandSpec;

/// Keys of the console line. They are fixed.
const LINE_KEYS: [(&str, &str); 7] = [
    ("tab  shift-tab", "complete, next or previous completion"),
    ("up  down", "history"),
    ("ctrl-r", "search the history; again for an older line, enter to take it"),
    ("enter", "send and close"),
    ("ctrl-a  ctrl-e", "move to start, move to end"),
    ("ctrl-w  ctrl-u", "delete a word, delete to the start"),
    ("esc", "close"),
];

/// Signs of every screen.
const SIGNS: [(&str, &str); 8] = [
    ("✓  ✗  ·", "as it should be, not as it should be, not enough data"),
    ("!  ‼", "worth a look, urgent"),
    ("…", "asked for and not confirmed, or under way"),
    ("≈", "a dry run: what would happen"),
    ("–", "not known yet"),
    ("?", "last known: the shard is disconnected now"),
    ("▸", "the selected row"),
    ("▁▄█", "the past of a figure, newest at the right; ratios from 0 to 1, a constant in the middle"),
];

/// Heading and rows of a section: key or label, and description.
type Section = (&'static str, Vec<(String, String)>);

#[derive(Debug)]
pub(crate) struct Help {
    sections: Vec<Section>,
    search: TextField,
    offset: u16,
    max_offset: u16,
    /// Where it was drawn.
    window: Rect,
}

/// What `goto` does, for a shard that does not have it: only recordings can seek.
const GOTO: (&str, &str) =
    ("goto <tick>", "seek to a tick; only in a recording, opened with `townlet replay RUN --watch`");

fn signs() -> Vec<(String, String)> {
    SIGNS.iter().map(|(sign, what)| ((*sign).to_owned(), (*what).to_owned())).collect()
}

impl Help {
    /// `here`: title and keys of the focused pane, listed first. `map`: the signs of the map. `commands`: the shard's.
    /// `facts`: versions and paths.
    pub(crate) fn new(
        keymap: &Keymap,
        here: Section,
        map: Vec<(String, String)>,
        commands: &[CommandSpec],
        facts: &[(String, String)],
    ) -> Self {
        let mut sections = vec![here];
        for (group, title) in GROUPS {
            let rows = ACTIONS.iter().filter(|row| row.group == group);
            sections.push((title, rows.map(|row| (keymap.labels(row.action), row.help.to_owned())).collect()));
        }
        sections.push(("Signs", signs()));
        sections.push(("Map legend", map));
        let panes =
            PANES.iter().map(|pane| (pane.key.to_string(), format!("{} on {}", pane.title, pane.screen.title())));
        sections.push(("Pane shortcuts", panes.collect()));
        let line = LINE_KEYS.iter().map(|(keys, what)| ((*keys).to_owned(), (*what).to_owned()));
        sections.push(("Console line", line.collect()));
        sections.push(("Versions and paths", facts.to_vec()));
        let mut usages: Vec<_> = commands.iter().map(|spec| (spec.usage(), spec.help.clone())).collect();
        if !commands.is_empty() && commands.iter().all(|spec| spec.name != "goto") {
            usages.push((GOTO.0.to_owned(), GOTO.1.to_owned()));
        }
        sections.push(("Console commands", usages));
        Self { sections, search: TextField::default(), offset: 0, max_offset: 0, window: Rect::ZERO }
    }

    /// The keys of a list without panes: `here`, the signs and `facts`.
    pub(crate) fn of_list(here: Section, facts: &[(String, String)]) -> Self {
        let sections = vec![here, ("Signs", signs()), ("Versions and paths", facts.to_vec())];
        Self { sections, search: TextField::default(), offset: 0, max_offset: 0, window: Rect::ZERO }
    }

    fn lines(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let wanted = self.search.text().trim().to_lowercase();
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
            for (key, what) in rows {
                // A long usage has a line of its own.
                let (head, indent) = if width(key) > keys {
                    lines.push(Line::styled(format!("  {}", clip(key, columns.saturating_sub(2))), theme.key));
                    (String::new(), keys)
                } else {
                    (key.clone(), keys)
                };
                for (index, part) in wrap_in_full(what, columns.saturating_sub(indent + 4)).into_iter().enumerate() {
                    let head = if index == 0 { head.as_str() } else { "" };
                    lines.push(Line::from(vec![
                        Span::styled(format!("  {}  ", pad(head, indent)), theme.key),
                        Span::styled(part, theme.text),
                    ]));
                }
            }
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
            // Begins a search for `?`.
            KeyCode::Char('/') if self.search.text().is_empty() => {
                self.search.set(" ");
                0
            }
            KeyCode::Up => self.offset.saturating_sub(1),
            KeyCode::Down => self.offset + 1,
            KeyCode::PageUp => self.offset.saturating_sub(10),
            KeyCode::PageDown => self.offset + 10,
            KeyCode::Home => 0,
            KeyCode::End => self.max_offset,
            _ => {
                self.search.key(key);
                0
            }
        }
        .min(self.max_offset);
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        if self.window.contains(at) { DialogResult::Open } else { DialogResult::Closed }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (92, area.height.saturating_sub(2));
        let words = ("Help", "type to search · ↑↓ home end scroll · esc or ? close", "search › ");
        let list = draw_search(frame, area, size, words, &mut self.search, theme);
        self.window = outer_window(Rect { y: list.y.saturating_sub(2), height: list.height + 2, ..list });
        let lines = self.lines(list.width.into(), theme);
        self.max_offset = (lines.len() as u16).saturating_sub(list.height);
        self.offset = self.offset.min(self.max_offset);
        draw_scrolled(frame, list, lines, self.offset);
    }
}
