//! The cost of a frame of the terminal interface: from a new view of the town to the bytes for the terminal.
//!
//! The town runs at full speed in this process. The terminal discards its input, so its own latency is not included.
//! Rule: "Performance targets".

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tempfile::TempDir;
use townlet_town::Sources;

use super::shard::start;
use super::timing::{milliseconds, percentile};
use super::{Row, Target};
use townlet_shard::Speed;
use townlet_source::{Local, Source, SourceEvent, SourceInfo};
use townlet_tui::app::{App, AppOptions, Message};
use townlet_tui::keymap::Keymap;
use townlet_tui::pane::Screen;
use townlet_tui::settings::Settings;
use townlet_tui::theme::Theme;
use townlet_tui::view_exchange::ViewExchange;

/// Columns and rows of a large terminal.
pub(super) const LARGE: (u16, u16) = (200, 60);
/// Frames per screen before the next one.
const FRAMES_PER_SCREEN: usize = 10;
/// Longest wait for a view; at full speed there is one every few milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A terminal that only counts bytes.
pub(super) struct NullTerminal(Arc<AtomicU64>);

impl Write for NullTerminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The interface of a source.
pub(super) fn app(source: SourceInfo) -> Result<App> {
    let theme = Theme::named("dark", true).context("the theme is missing")?;
    let setup = AppOptions {
        settings: Settings::with_theme(theme),
        local_zone: TimeZone::UTC,
        hint: false,
        keymap: Keymap::default(),
        screen: Screen::Operations,
        console_history: Vec::new(),
        label: None,
        fleet: false,
        layouts: townlet_tui::layouts::Layouts::default(),
    };
    Ok(App::new(source, setup))
}

/// A terminal of this size that counts the bytes written.
pub(super) fn null_terminal(
    (columns, rows): (u16, u16),
    written: &Arc<AtomicU64>,
) -> io::Result<Terminal<CrosstermBackend<NullTerminal>>> {
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, columns, rows)) };
    Terminal::with_options(CrosstermBackend::new(NullTerminal(Arc::clone(written))), options)
}

/// The key that shows a screen.
pub(super) fn key_of(screen: Screen) -> Message {
    let key = KeyCode::Char(char::from(b'0' + screen.number()));
    Message::Key(KeyEvent::new(key, KeyModifiers::NONE))
}

/// Starts a source as the interface does. The receiver gets its events, `None` for a view.
pub(super) fn watch(source: &mut dyn Source) -> (Arc<ViewExchange>, Receiver<Option<SourceEvent>>) {
    let (sender, events) = channel();
    // Sending fails only after the measurement.
    let views = ViewExchange::start(source, move |event| drop(sender.send(event)));
    (views, events)
}

/// Passes an event of a source to its interface.
pub(super) fn pass_on(event: Option<SourceEvent>, views: &ViewExchange, app: &mut App) {
    if let Some(message) = event.map(Message::SourceEvent).or_else(|| views.take().map(Message::View)) {
        app.update(message);
        views.give_back(app.take_used_view());
    }
}

/// Times of frames on all screens in turn, in milliseconds, in ascending order.
pub(super) struct FrameTimes {
    /// From a new view to the bytes for the terminal.
    pub(super) views: Vec<f64>,
    /// From a key that moves the selection to the bytes.
    pub(super) keys: Vec<f64>,
    /// The longest of the first, and its screen.
    slowest: (f64, u8),
    /// Bytes of a frame.
    bytes: f64,
}

impl FrameTimes {
    /// The 99th percentile of frames with a new view, and of those after a key.
    pub(super) fn p99(&self) -> [f64; 2] {
        [&self.views, &self.keys].map(|times| percentile(times, 0.99))
    }
}

/// The frames of a large terminal.
pub(super) fn frames(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Row> {
    let times = measure(sources, folder, budget, LARGE)?;
    let (columns, rows) = LARGE;
    let note = format!(
        "{} frames of {columns} × {rows} on all screens, each with a new view; p50 {:.2} ms, longest {:.2} on screen {}; {:.0} bytes each",
        times.views.len(),
        percentile(&times.views, 0.5),
        times.slowest.0,
        times.slowest.1,
        times.bytes,
    );
    Ok(Row::new("terminal: frame, p99", times.p99()[0], "ms", Target::AtMost(2.0), note))
}

/// Draws the screens of a town at full speed on a terminal of this size.
pub(super) fn measure(sources: &Sources, folder: &TempDir, budget: Duration, size: (u16, u16)) -> Result<FrameTimes> {
    let shard = Arc::new(start(sources, folder, false, Speed::Max, false)?);
    let mut source = Local::new(shard, "bench".into(), false, Vec::new());
    let mut app = app(source.hello())?;
    let written = Arc::new(AtomicU64::new(0));
    let mut terminal = null_terminal(size, &written)?;
    let (views, notices) = watch(&mut source);
    let (mut times, mut keys, mut slowest, mut screens) = (Vec::new(), Vec::new(), (0.0, 0), Screen::all().cycle());
    let mut screen = 0;
    let begun = Instant::now();
    while begun.elapsed() < budget {
        if times.len() % FRAMES_PER_SCREEN == 0
            && let Some(next) = screens.next()
        {
            screen = next.number();
            app.update(key_of(next));
        }
        let first = notices.recv_timeout(TIMEOUT).context("the town sends no view")?;
        let began = Instant::now();
        for notice in std::iter::once(first).chain(notices.try_iter()) {
            pass_on(notice, &views, &mut app);
        }
        terminal.draw(|frame| app.draw(frame))?;
        let took = milliseconds(began.elapsed());
        if took > slowest.0 {
            slowest = (took, screen);
        }
        times.push(took);
        let down = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
        let began = Instant::now();
        app.update(Message::Key(down));
        terminal.draw(|frame| app.draw(frame))?;
        keys.push(milliseconds(began.elapsed()));
    }
    source.close();
    times.sort_by(f64::total_cmp);
    keys.sort_by(f64::total_cmp);
    let bytes = written.load(Ordering::Relaxed) as f64 / (2 * times.len()).max(1) as f64;
    Ok(FrameTimes { views: times, keys, slowest, bytes })
}
