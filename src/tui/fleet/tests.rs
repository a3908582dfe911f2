//! Tests of the fleet, at three sizes.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::*;
use crate::app::AppOptions;
use crate::fixtures::{hello, snapshot};
use crate::pane::{ReasonPrompt, Screen};
use crate::screenshot;
use townlet_source::{SourceEvent, SourceInfo};
use townlet_wire::Snapshot;

fn app(name: &str, colour: &str, url: &str, view: Option<Snapshot>) -> App {
    let theme = Theme::named("dark", true).unwrap();
    let setup = AppOptions {
        theme,
        keymap: Keymap::default(),
        screen: Screen::Operations,
        console_history: Vec::new(),
        label: Some(ShardLabel { name: name.into(), style: Theme::label_style(colour, true).unwrap() }),
        fleet: true,
        reason: ReasonPrompt::default(),
    };
    let hello = SourceInfo { link: Link::Connecting { url: url.into() }, ..hello(Role::Viewer) };
    let mut app = App::new(hello, setup);
    if let Some(view) = view {
        app.update(Message::SourceEvent(SourceEvent::Link(Link::Live { url: url.into() })));
        app.update(Message::SourceEvent(SourceEvent::View(Arc::new(view))));
    }
    app
}

fn fleet() -> Fleet {
    let mut calm = snapshot();
    (calm.shard, calm.alerts, calm.employment.pending_count) = ("orchard".into(), Vec::new(), 0);
    calm.employment.pending.clear();
    let mut newer = snapshot();
    (newer.schema_version, newer.shard) = ("0.3.0".into(), "e\u{1b}[31mvil".into());
    let mut lost = app("staging", "yellow", "https://staging.example", None);
    lost.update(Message::SourceEvent(SourceEvent::Link(Link::Reconnecting {
        url: "https://staging.example".into(),
        in_seconds: 4,
        why: "connection refused".into(),
    })));
    let apps = vec![
        app("production", "red", "https://towns.example", Some(snapshot())),
        app("test", "green", "http://127.0.0.1:7420", Some(calm)),
        lost,
        app("next", "cyan", "http://127.0.0.1:7421", Some(newer)),
    ];
    Fleet::new(apps, Keymap::default(), &Theme::named("dark", true).unwrap())
}

fn picture(fleet: &mut Fleet, size: (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| fleet.draw(frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn press(fleet: &mut Fleet, keys: &str) -> Vec<(usize, Task)> {
    keys.split(' ').flat_map(|key| fleet.update(Message::Key(Key::parse(key).unwrap().event()))).collect()
}

#[test]
fn the_fleet_at_three_sizes() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let text = screenshot::text(&picture(&mut fleet(), size));
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
        insta::assert_snapshot!(format!("fleet_{}x{}", size.0, size.1), text);
    }
}

#[test]
fn enter_opens_a_shard_and_esc_returns_to_it() {
    let mut fleet = fleet();
    assert_eq!(fleet.open, None);
    press(&mut fleet, "down enter");
    assert_eq!(fleet.open, Some(1));
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(text.lines().next().unwrap().contains(" test "), "the shard's name stays on screen\n{text}");
    assert!(text.contains("Orchard · live"), "{text}");
    // What is open in the shard closes first.
    press(&mut fleet, "? esc");
    assert_eq!(fleet.open, Some(1));
    press(&mut fleet, "esc");
    assert_eq!(fleet.open, None);
    press(&mut fleet, "enter backspace");
    assert_eq!(fleet.open, None);
    assert_eq!(press(&mut fleet, "q"), [(0, Task::Quit)]);
}

#[test]
fn source_events_and_commands_stay_with_their_shard() {
    let mut fleet = fleet();
    press(&mut fleet, "enter");
    let tasks = press(&mut fleet, ": k p i enter");
    assert!(tasks.iter().all(|(shard, _)| *shard == 0) && !tasks.is_empty(), "{tasks:?}");
    let mut view = snapshot();
    view.shard = "moved".into();
    fleet.deliver(1, Message::SourceEvent(SourceEvent::View(Arc::new(view))));
    assert!(!screenshot::text(&picture(&mut fleet, (120, 40))).contains("Moved"));
    press(&mut fleet, "0");
    assert!(screenshot::text(&picture(&mut fleet, (120, 40))).contains("Moved"));
}

#[test]
fn a_single_shard_has_no_list() {
    let mut fleet = Fleet::new(
        vec![app("one", "red", "http://x", Some(snapshot()))],
        Keymap::default(),
        &Theme::named("dark", true).unwrap(),
    );
    assert_eq!(fleet.open, Some(0));
    press(&mut fleet, "esc 0");
    assert_eq!(fleet.open, Some(0));
}

#[test]
fn labels_keep_their_colours() {
    let picture = picture(&mut fleet(), (120, 40));
    let styles: std::collections::BTreeSet<String> = (3..7).map(|row| format!("{:?}", picture[(4, row)].bg)).collect();
    assert_eq!(styles.len(), 4, "{styles:?}");
}
