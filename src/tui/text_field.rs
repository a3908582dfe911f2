//! Single-line text input: the console line, filters, searches and prompts.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use tui_textarea::{CursorMove, TextArea};

use super::theme::Theme;

/// A single-line editor with the usual keys of a shell.
#[derive(Clone, Debug, Default)]
pub struct TextField {
    area: TextArea<'static>,
}

impl TextField {
    /// Contains `text`, with the cursor at its end.
    pub fn with(text: &str) -> Self {
        let mut field = Self::default();
        field.set(text);
        field
    }

    /// Shows a dot for every character.
    pub fn masked() -> Self {
        let mut field = Self::default();
        field.area.set_mask_char('•');
        field
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.area.lines().first().map_or("", String::as_str)
    }

    /// The text before the cursor.
    pub fn before(&self) -> &str {
        let column = self.area.cursor().1;
        let text = self.text();
        &text[..text.char_indices().nth(column).map_or(text.len(), |(at, _)| at)]
    }

    /// Replaces the text and moves the cursor to its end.
    pub fn set(&mut self, text: &str) {
        self.area.clear();
        self.paste(text);
    }

    /// Inserts pasted text: line breaks and tabs become spaces, other control characters are dropped.
    pub fn paste(&mut self, text: &str) {
        // Terminals send the end of a line as a carriage return.
        let text = text.replace("\r\n", " ");
        let clean = text.chars().map(|character| if matches!(character, '\r' | '\n' | '\t') { ' ' } else { character });
        let clean: String = clean.filter(|character| !character.is_control()).collect();
        self.area.insert_str(clean);
    }

    /// Handles a key. Returns whether the text changed.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter | KeyCode::Tab | KeyCode::BackTab | KeyCode::Esc => false,
            KeyCode::Char('m' | 'j') if control => false,
            KeyCode::Char('u') if control => self.area.delete_line_by_head(),
            _ => self.area.input(key),
        }
    }

    /// Handles a key while it is a filter, which esc and ctrl-c empty. Returns whether the filter is finished.
    pub fn filter_key(&mut self, key: KeyEvent) -> bool {
        let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        let finished = ctrl_c || matches!(key.code, KeyCode::Enter | KeyCode::Esc);
        if !finished {
            self.key(key);
        } else if key.code != KeyCode::Enter {
            self.set("");
        }
        finished
    }

    /// The text as a filter: in lower case, without blanks around it.
    pub fn filter(&self) -> String {
        self.text().trim().to_lowercase()
    }

    /// Moves the cursor to the end.
    pub fn end(&mut self) {
        self.area.move_cursor(CursorMove::End);
    }

    /// Draws the text and the cursor, scrolled so that the cursor is visible.
    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        self.area.set_style(theme.text);
        self.area.set_cursor_line_style(theme.text);
        frame.render_widget(&self.area, area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(field: &mut TextField, code: KeyCode, modifiers: KeyModifiers) -> bool {
        field.key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn line_breaks_are_never_inserted() {
        let mut field = TextField::with("ab");
        assert!(!press(&mut field, KeyCode::Enter, KeyModifiers::NONE));
        assert!(!press(&mut field, KeyCode::Char('m'), KeyModifiers::CONTROL));
        field.paste("c\rd\u{1b}[2J");
        assert_eq!(field.text(), "abc d[2J");
        press(&mut field, KeyCode::Home, KeyModifiers::NONE);
        assert_eq!(field.before(), "");
        press(&mut field, KeyCode::Right, KeyModifiers::NONE);
        assert_eq!(field.before(), "a");
        assert!(press(&mut field, KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(field.text(), "bc d[2J");
    }
}
