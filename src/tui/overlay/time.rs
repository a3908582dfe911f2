//! Dialogs about moments of a run: which one to go to, the note of a bookmark, the list of marks and bookmarks.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{Dialog, DialogResult, clicked_row, draw_prompt, draw_search, is_cancel, outer_window};
use crate::bookmarks::{Bookmark, MAX_NOTE};
use crate::format::{pad, pad_left, styled_lines, thousands, width};
use crate::moment_input::{EXAMPLES, RunTime};
use crate::text_drawing::draw_text;
use crate::text_field::TextField;
use crate::theme::Theme;
use crate::timeline::Sign;
use townlet_wire::escape;
use townlet_wire::history::Mark;

/// Asks which moment to show.
#[derive(Debug)]
pub(crate) struct MomentDialog {
    field: TextField,
    time: RunTime,
    refused: Option<String>,
}

impl MomentDialog {
    pub(crate) fn new(time: RunTime) -> Self {
        Self { field: TextField::default(), time, refused: None }
    }
}

impl Dialog for MomentDialog {
    fn paste(&mut self, text: &str) {
        self.field.paste(text.trim());
        self.refused = None;
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        if is_cancel(key) {
            return DialogResult::Closed;
        }
        if key.code == KeyCode::Enter {
            match self.time.parse(self.field.text()) {
                Ok(tick) => return DialogResult::Seek(tick),
                Err(why) => self.refused = Some(why),
            }
        } else if self.field.key(key) {
            self.refused = None;
        }
        DialogResult::Open
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let wide = 76.min(area.width.saturating_sub(4));
        let columns = usize::from(wide.saturating_sub(4));
        let [first, last] = [self.time.first, self.time.last].map(|tick| self.time.named(tick));
        let range = format!("The run has {first} to {last}.");
        let mut lines: Vec<Line<'_>> = styled_lines(&range, columns, theme.text).collect();
        match &self.refused {
            Some(why) => lines.extend(styled_lines(why, columns, theme.bad)),
            None => lines.extend(styled_lines(EXAMPLES, columns, theme.dim)),
        }
        let words = ("Go to a moment", "enter go · esc cancel");
        draw_prompt(frame, area, wide, words, lines, &mut self.field, theme);
    }
}

/// Asks for the note of a bookmark.
#[derive(Debug)]
pub(crate) struct NoteDialog {
    field: TextField,
    tick: u64,
    moment: String,
}

impl NoteDialog {
    /// For the bookmark of a tick, whose day and clock are `moment`, with the note it has.
    pub(crate) fn new(tick: u64, moment: String, note: &str) -> Self {
        Self { field: TextField::with(note), tick, moment }
    }
}

impl Dialog for NoteDialog {
    fn paste(&mut self, text: &str) {
        self.field.paste(text.trim());
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        match key.code {
            _ if is_cancel(key) => DialogResult::Closed,
            KeyCode::Enter => {
                let note: String = self.field.text().trim().chars().take(MAX_NOTE).collect();
                DialogResult::Bookmark(self.tick, note)
            }
            _ => {
                self.field.key(key);
                DialogResult::Open
            }
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let wide = 66.min(area.width.saturating_sub(4));
        let columns = usize::from(wide.saturating_sub(4));
        let text = format!("Bookmark at tick {} ({}). Enter a note, or nothing.", thousands(self.tick), self.moment);
        let lines = styled_lines(&text, columns, theme.text).collect();
        let words = ("Bookmark", "enter keep · esc cancel");
        draw_prompt(frame, area, wide, words, lines, &mut self.field, theme);
    }
}

/// A row of the list of marks.
#[derive(Debug)]
struct Row {
    tick: u64,
    sign: Sign,
    moment: String,
    text: String,
}

/// The marks and bookmarks of a run, newest first.
#[derive(Debug)]
pub(crate) struct MarksDialog {
    rows: Vec<Row>,
    search: TextField,
    at: usize,
    /// What is missing in the list.
    note: String,
    /// Where the rows were drawn, the first of them, and the window.
    list: Rect,
    first: usize,
    window: Rect,
}

impl MarksDialog {
    /// With the row selected that is at or before the tick on screen; `note` says what is missing in the list.
    pub(crate) fn new(marks: &[Mark], bookmarks: &[Bookmark], time: RunTime, note: String) -> Self {
        let row = |tick: u64, sign: Sign, text: &str| Row {
            tick,
            sign,
            moment: time.day_and_clock(tick),
            text: escape(text),
        };
        let marks = marks.iter().map(|mark| row(mark.tick, Sign::Mark(mark.kind), &mark.text));
        let bookmarks = bookmarks.iter().map(|bookmark| row(bookmark.tick, Sign::Bookmark, &bookmark.note));
        let mut rows: Vec<Row> = marks.chain(bookmarks).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.tick));
        let at = rows.iter().position(|row| row.tick <= time.at).unwrap_or(rows.len().saturating_sub(1));
        Self { rows, search: TextField::default(), at, note, list: Rect::ZERO, first: 0, window: Rect::ZERO }
    }

    /// The rows that contain every word of the search.
    fn matches(&self) -> Vec<&Row> {
        let wanted = self.search.text().to_lowercase();
        let fits = |row: &&Row| {
            let text = format!("{} {} {} {}", row.moment, row.sign.word(), row.text, row.tick).to_lowercase();
            wanted.split_whitespace().all(|word| text.contains(word))
        };
        self.rows.iter().filter(fits).collect()
    }

    fn step(&mut self, step: isize) {
        let last = self.matches().len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(step).min(last);
    }

    fn remove(&mut self) -> DialogResult {
        let chosen = self.matches().get(self.at).filter(|row| row.sign == Sign::Bookmark).map(|row| row.tick);
        let Some(tick) = chosen else { return DialogResult::Open };
        self.rows.retain(|row| !(row.sign == Sign::Bookmark && row.tick == tick));
        self.step(0);
        DialogResult::RemoveBookmark(tick)
    }
}

impl Dialog for MarksDialog {
    fn paste(&mut self, text: &str) {
        self.search.paste(text);
        self.at = 0;
    }

    fn key(&mut self, key: KeyEvent) -> DialogResult {
        match key.code {
            _ if is_cancel(key) => return DialogResult::Closed,
            KeyCode::Enter => {
                return self.matches().get(self.at).map_or(DialogResult::Open, |row| DialogResult::Seek(row.tick));
            }
            KeyCode::Up | KeyCode::BackTab => self.step(-1),
            KeyCode::Down | KeyCode::Tab => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Delete => return self.remove(),
            _ if self.search.key(key) => self.at = 0,
            _ => {}
        }
        DialogResult::Open
    }

    fn click(&mut self, at: Position) -> DialogResult {
        match clicked_row(at, self.window, self.list, self.first) {
            Ok(row) => self.matches().get(row).map_or(DialogResult::Open, |row| DialogResult::Seek(row.tick)),
            Err(beside) => beside,
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (92, area.height.saturating_sub(2).min(26));
        let words = (
            "Marks and bookmarks",
            "type to filter · ↑↓ select · enter go · delete a bookmark · esc close",
            "filter › ",
        );
        let inside = draw_search(frame, area, size, words, &mut self.search, theme);
        self.window = outer_window(Rect { y: inside.y.saturating_sub(2), height: inside.height + 2, ..inside });
        let note: Vec<Line<'_>> = match self.note.as_str() {
            "" => Vec::new(),
            note => styled_lines(note, usize::from(inside.width), theme.dim).collect(),
        };
        let below = (note.len() as u16).min(inside.height / 2);
        let list = Rect { height: inside.height - below, ..inside };
        draw_text(frame, Rect { y: list.bottom(), height: below, ..inside }, note);
        let height = usize::from(list.height).max(1);
        (self.list, self.first) = (list, (self.at + 1).saturating_sub(height));
        let matches = self.matches();
        let moment = matches.iter().map(|row| width(&row.moment)).max().unwrap_or(0);
        let tick = matches.first().map_or(0, |row| width(&thousands(row.tick)));
        let line = |(index, row): (usize, &&Row)| {
            let chosen = index == self.at;
            let style = |style| if chosen { theme.selected } else { style };
            let (sign, of_sign, _) = row.sign.appearance(theme);
            let before = moment + tick + 23;
            Line::from(vec![
                Span::styled(if chosen { "▸ " } else { "  " }, style(theme.key)),
                Span::styled(pad(&row.moment, moment), style(theme.text)),
                Span::styled(format!("  {}  ", pad_left(&thousands(row.tick), tick)), style(theme.dim)),
                Span::styled(format!("{sign} "), style(of_sign)),
                Span::styled(pad(&row.sign.word(), 13), style(theme.dim)),
                Span::styled(pad(&row.text, usize::from(list.width).saturating_sub(before)), style(theme.text)),
            ])
        };
        let lines: Vec<Line<'_>> = matches.iter().enumerate().skip(self.first).take(height).map(line).collect();
        let missing = if self.rows.is_empty() { "There are no marks yet." } else { "No mark matches the filter." };
        let lines = if lines.is_empty() { vec![Line::styled(missing, theme.dim)] } else { lines };
        draw_text(frame, list, lines);
    }
}
