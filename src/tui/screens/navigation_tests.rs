//! Tests of navigation between the screens.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::app::{App, AppOptions, Message};
use crate::fixtures;
use crate::keymap::{Key, Keymap};
use crate::pane::Screen;
use crate::screenshot;
use crate::settings::Settings;
use crate::theme::Theme;
use townlet_source::SourceEvent;
use townlet_wire::Role;

fn open() -> App {
    let theme = Theme::named("dark", true).expect("there is a dark theme");
    let setup = AppOptions {
        settings: Settings::with_theme(theme),
        local_zone: TimeZone::UTC,
        hint: false,
        keymap: Keymap::default(),
        screen: Screen::Town,
        console_history: Vec::new(),
        label: None,
        fleet: false,
        layouts: crate::layouts::Layouts::default(),
    };
    let mut app = App::new(fixtures::hello(Role::Viewer), setup);
    app.update(Message::SourceEvent(SourceEvent::View(Arc::new(fixtures::snapshot()))));
    app
}

/// Presses the keys, then looks.
fn after(app: &mut App, keys: &str) -> String {
    for key in keys.split_whitespace() {
        app.update(Message::Key(Key::parse(key).expect("a key").event()));
    }
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a test terminal opens");
    terminal.draw(|frame| app.draw(frame)).expect("and draws");
    screenshot::text(terminal.backend().buffer())
}

#[track_caller]
fn shows(screen: &str, text: &str) {
    assert!(screen.contains(text), "`{text}` is not on\n{screen}");
}

#[test]
fn enter_on_the_map_opens_the_resident_and_esc_the_table() {
    let mut app = open();
    shows(&after(&mut app, ""), "Map · following Ada");
    shows(&after(&mut app, "f"), "Map · following Ben");
    shows(&after(&mut app, "enter"), "Residents · Ben (2 of 8)");
    shows(&after(&mut app, "esc"), "Residents · 8 · by resident");
    shows(&after(&mut app, "s s"), "by activity");
}

#[test]
fn esc_closes_details_before_it_clears_the_filter() {
    let mut app = open();
    shows(&after(&mut app, "6"), "following newest");
    after(&mut app, "/");
    for character in "status:rejected".chars() {
        app.update(Message::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE)));
    }
    shows(&after(&mut app, "enter"), "1 match");
    shows(&after(&mut app, "enter"), "status     ✗ rejected");
    shows(&after(&mut app, "esc"), "1 match");
    let screen = after(&mut app, "esc");
    assert!(!screen.contains("match"), "{screen}");
    shows(&screen, "employment_exit defer");
}
