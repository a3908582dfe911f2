//! The terminal of the prompt, which may go away at any time. A closed terminal is reported as an error at once.

use std::io::{Error, Result, Stdout, stdout};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crossterm::cursor;
use crossterm::terminal::window_size;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

/// How often the terminal is looked at while it has not said where its cursor is.
const POLL: Duration = Duration::from_millis(100);

/// Whether the window was closed.
pub(super) fn is_gone() -> bool {
    // Unsupported elsewhere.
    cfg!(unix) && window_size().is_err()
}

/// Standard output, as crossterm writes to it.
pub(super) struct PromptTerminal(CrosstermBackend<Stdout>);

impl PromptTerminal {
    pub(super) fn new() -> Self {
        Self(CrosstermBackend::new(stdout()))
    }
}

impl Backend for PromptTerminal {
    type Error = Error;

    /// Asks on a separate thread, because crossterm never returns when the terminal is closed meanwhile.
    fn get_cursor_position(&mut self) -> Result<Position> {
        let (sender, answer) = channel();
        std::thread::Builder::new().name("cursor".into()).spawn(move || sender.send(cursor::position()))?;
        loop {
            match answer.recv_timeout(POLL) {
                Ok(position) => return position.map(Position::from),
                Err(RecvTimeoutError::Timeout) if !is_gone() => {}
                Err(_) => return Err(Error::other("the terminal was closed")),
            }
        }
    }

    /// Not crossterm's `size`, which guesses when the terminal does not answer. A changed size makes ratatui ask for the cursor.
    fn size(&self) -> Result<Size> {
        if cfg!(unix) { window_size().map(|size| Size::new(size.columns, size.rows)) } else { self.0.size() }
    }

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<()> {
        self.0.draw(content)
    }

    fn append_lines(&mut self, count: u16) -> Result<()> {
        self.0.append_lines(count)
    }

    fn hide_cursor(&mut self) -> Result<()> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<()> {
        self.0.show_cursor()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> Result<()> {
        self.0.clear_region(region)
    }

    fn window_size(&mut self) -> Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> Result<()> {
        Backend::flush(&mut self.0)
    }
}
