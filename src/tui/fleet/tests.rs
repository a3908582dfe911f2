//! Tests of the fleet, at three sizes.

use std::sync::Arc;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::*;
use crate::app::AppOptions;
use crate::fixtures::crowded::{crowded, cut_texts};
use crate::fixtures::{hello, snapshot};
use crate::layouts::Layouts;
use crate::pane::Screen;
use crate::screenshot;
use townlet_source::{Link, SourceEvent, SourceInfo};
use townlet_wire::{Role, Snapshot};

fn app(name: &str, colour: &str, url: &str, view: Option<Snapshot>) -> App {
    let theme = Theme::named("dark", true).unwrap();
    let setup = AppOptions {
        settings: Settings::with_theme(theme),
        local_zone: TimeZone::UTC,
        hint: false,
        keymap: Keymap::default(),
        screen: Screen::Operations,
        console_history: Vec::new(),
        label: Some(ShardLabel { name: name.into(), style: Theme::label_style(colour, true).unwrap() }),
        fleet: true,
        layouts: Layouts::default(),
    };
    let hello = SourceInfo { link: Link::Connecting { url: url.into() }, ..hello(Role::Viewer) };
    let mut app = App::new(hello, setup);
    if let Some(view) = view {
        app.update(Message::SourceEvent(SourceEvent::Link(Link::Live { url: url.into() })));
        app.update(Message::SourceEvent(SourceEvent::View(Arc::new(view))));
    }
    app
}

/// The loss of a connection.
fn silent(url: &str, silent_seconds: Option<u64>, denied: bool) -> Message {
    let why = if denied { "E_UNAUTHORIZED  the token is not valid." } else { "connection refused" };
    Message::SourceEvent(SourceEvent::Link(Link::Reconnecting {
        url: url.into(),
        in_seconds: 3,
        silent_seconds,
        denied,
        stopped: false,
        why: why.into(),
    }))
}

fn fleet() -> Fleet {
    let mut calm = snapshot();
    (calm.shard, calm.alerts, calm.employment.pending_count) = ("orchard".into(), Vec::new(), 0);
    calm.employment.pending.clear();
    let mut newer = snapshot();
    (newer.schema_version, newer.shard) = ("0.3.0".into(), "e\u{1b}[31mvil".into());
    let mut lost = app("staging", "yellow", "https://staging.example", None);
    lost.update(silent("https://staging.example", None, false));
    let apps = vec![
        app("production", "red", "https://towns.example", Some(snapshot())),
        app("test", "green", "http://127.0.0.1:7420", Some(calm)),
        lost,
        app("next", "cyan", "http://127.0.0.1:7421", Some(newer)),
    ];
    Fleet::new(apps, Keymap::default(), &Settings::with_theme(Theme::named("dark", true).unwrap()))
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
fn shards_with_similar_names_stay_apart() {
    let names = ["production-eu-west-1-harbour", "production-eu-west-2-harbour"];
    let apps = names.map(|name| app(name, "red", "http://127.0.0.1:7420", Some(snapshot())));
    let settings = Settings::with_theme(Theme::named("dark", true).unwrap());
    let mut fleet = Fleet::new(apps.into(), Keymap::default(), &settings);
    for size in [(80, 24), (120, 40), (200, 60)] {
        let text = screenshot::text(&picture(&mut fleet, size));
        for end in ["1-harbour", "2-harbour"] {
            assert!(text.lines().any(|line| line.contains(end) && line.contains("live")), "{text}");
        }
    }
    press(&mut fleet, "down enter");
    for (size, name) in [((80, 24), "2-harbour"), ((200, 60), names[1])] {
        let text = screenshot::text(&picture(&mut fleet, size));
        let header = text.lines().next().unwrap_or_default();
        assert!(header.contains(name) && header.contains("live"), "{text}");
    }
    // A question says which shard it is about.
    fleet.apps[1].update(Message::SourceEvent(SourceEvent::Session(crate::fixtures::session(Role::Admin))));
    press(&mut fleet, "a");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(text.contains("Approve exit · production-eu-west-2-harbour"), "{text}");
    // One that was given by its address alone has the name that it says.
    press(&mut fleet, "esc");
    let label = fleet.apps[1].label.take();
    press(&mut fleet, "a");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(text.contains(&format!("Approve exit · {}", snapshot().shard)), "{text}");
    fleet.apps[1].label = label;
    press(&mut fleet, "esc :");
    for letter in "kill ada".chars() {
        press(&mut fleet, &if letter == ' ' { "space".to_owned() } else { letter.to_string() });
    }
    press(&mut fleet, "enter");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(text.contains("This cannot be undone · production-eu-west-2-harbour"), "{text}");
}

#[test]
fn a_paused_town_says_so_at_every_size() {
    let mut paused = snapshot();
    paused.clock.speed = "paused".into();
    let mut fleet = fleet();
    fleet.apps.push(app("still", "red", "http://127.0.0.1:7422", Some(paused)));
    for size in [(80, 24), (120, 40), (200, 60)] {
        let text = screenshot::text(&picture(&mut fleet, size));
        let row = text.lines().find(|line| line.contains(" still ")).unwrap_or_default();
        assert!(row.contains("live, paused"), "{text}");
    }
    // The last known speed of a shard that is not heard is not shown as true.
    fleet.apps[4].update(silent("http://127.0.0.1:7422", Some(12), false));
    let text = screenshot::text(&picture(&mut fleet, (80, 24)));
    assert!(!text.contains("paused"), "{text}");
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
fn settings_and_the_trouble_of_the_webhook_are_those_of_every_shard() {
    let mut fleet = fleet();
    let text = |fleet: &mut Fleet| screenshot::text(&picture(fleet, (120, 40)));
    press(&mut fleet, ", right");
    assert!(text(&mut fleet).contains("‹ light › changed"));
    let tasks = press(&mut fleet, "enter");
    let [(0, Task::KeepSettings(changed))] = tasks.as_slice() else { panic!("{tasks:?}") };
    assert_eq!((changed.before.theme.name, changed.after.theme.name), ("dark", "light"));
    press(&mut fleet, "enter ,");
    assert!(text(&mut fleet).contains("‹ light ›"));
    press(&mut fleet, "esc 0");
    fleet.set_webhook_trouble(Some("webhook hooks.example: no answer within 5 s; trying again"));
    assert!(text(&mut fleet).contains("no answer within 5 s"));
    press(&mut fleet, "down up enter");
    assert!(text(&mut fleet).contains("no answer within 5 s"), "the banner of the shard");
    fleet.set_webhook_trouble(None);
    assert!(!text(&mut fleet).contains("no answer within 5 s"));
}

#[test]
fn a_single_shard_has_no_list() {
    let mut fleet = Fleet::new(
        vec![app("one", "red", "http://x", Some(snapshot()))],
        Keymap::default(),
        &Settings::with_theme(Theme::named("dark", true).unwrap()),
    );
    assert_eq!(fleet.open, Some(0));
    press(&mut fleet, "esc 0");
    assert_eq!(fleet.open, Some(0));
}

#[test]
fn a_shard_that_is_not_heard_is_never_shown_as_well() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut fleet = fleet();
        let row = |fleet: &mut Fleet, row: usize| {
            let text = screenshot::text(&picture(fleet, size));
            (text.lines().nth(3 + row).unwrap().to_owned(), text)
        };
        assert!(row(&mut fleet, 1).0.contains("✓ ok"));
        for (link, words) in [
            (silent("http://127.0.0.1:7420", Some(12), false), "no answer for 12 s, trying again in 3 s: connection"),
            (silent("http://127.0.0.1:7420", Some(12), true), "token refused, not tried again: E_UNAUTHORIZED"),
            (
                Message::SourceEvent(SourceEvent::Link(Link::Stale { url: "x".into(), seconds: 12 })),
                "no answer for 12 s",
            ),
            (Message::SourceEvent(SourceEvent::Ended("the thread has ended".into())), "ended: the thread has ended"),
        ] {
            fleet.deliver(1, link);
            press(&mut fleet, "home down");
            let (line, text) = row(&mut fleet, 1);
            assert!(line.contains("? unknown") && !line.contains("✓ ok"), "{text}");
            assert!(text.contains(words) && !text.contains("no problems and no alerts"), "{words}\n{text}");
            assert!(text.contains("3 of 4 shards live") || text.contains("2 of 4 shards live"), "{text}");
            assert!(words.starts_with("ended") || text.contains("the values above are 12 s old"), "{text}");
        }
    }
}

#[test]
fn a_shard_with_another_history_is_marked() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut fleet = fleet();
        let alarm = "THE AUDIT LOG OF THIS SHARD WAS SHORTENED: line 7 of run x was seen and is gone.";
        fleet.deliver(1, Message::SourceEvent(SourceEvent::History(vec![alarm.into()])));
        press(&mut fleet, "home down");
        let text = screenshot::text(&picture(&mut fleet, size));
        let row = text.lines().nth(4).unwrap();
        assert!(row.contains("‼ history") && !row.contains("✓ ok"), "{text}");
        assert!(text.contains("‼ THE AUDIT LOG OF THIS SHARD WAS SHORTENED"), "{text}");
    }
}

#[test]
fn the_list_searches_the_selected_shard_and_has_no_command_unconfirmed() {
    let mut fleet = fleet();
    press(&mut fleet, "u");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(fleet.open.is_none() && text.contains("every command is confirmed, on every shard"), "{text}");
    press(&mut fleet, "down ctrl-f");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(fleet.open == Some(1) && text.contains("╔ Search"), "{text}");
}

#[test]
fn a_list_that_is_not_shown_takes_no_key_but_quit() {
    let mut fleet = fleet();
    assert!(screenshot::text(&picture(&mut fleet, (59, 40))).contains("59 × 40 is too small"));
    press(&mut fleet, "down enter");
    assert_eq!(fleet.open, None);
    assert_eq!(press(&mut fleet, "q"), [(0, Task::Quit)]);
    picture(&mut fleet, (80, 24));
    press(&mut fleet, "enter");
    assert_eq!(fleet.open, Some(0));
}

fn type_in(fleet: &mut Fleet, text: &str) {
    for letter in text.chars() {
        press(fleet, &letter.to_string());
    }
}

#[test]
fn help_filter_palette_zoom_and_console_work_in_the_list() {
    let mut fleet = fleet();
    let text = |fleet: &mut Fleet| screenshot::text(&picture(fleet, (120, 40)));
    press(&mut fleet, "?");
    let help = text(&mut fleet);
    assert!(help.contains("open the selected shard") && !help.contains("Everywhere"), "{help}");
    let shown = text(&mut fleet);
    assert!(shown.contains("find a shard by name") && shown.contains("┌ Help") || shown.contains("Help"), "{shown}");
    press(&mut fleet, "?");
    assert!(!text(&mut fleet).contains("find a shard by name"));
    press(&mut fleet, "/");
    type_in(&mut fleet, "orchard");
    let shown = text(&mut fleet);
    assert!(shown.contains("Shards · 1 of 4") && !shown.contains("production"), "{shown}");
    press(&mut fleet, "enter enter");
    assert_eq!(fleet.open, Some(1), "the only row is the second shard");
    press(&mut fleet, "0 esc /");
    type_in(&mut fleet, "foo:bar");
    assert!(text(&mut fleet).contains("No shards match the filter."));
    press(&mut fleet, "enter enter : y");
    assert_eq!(fleet.open, None, "nothing is selected");
    press(&mut fleet, "esc z");
    assert!(!text(&mut fleet).contains("exit cap reached"));
    press(&mut fleet, "z home");
    assert!(text(&mut fleet).contains("exit cap reached"));
    press(&mut fleet, "ctrl-p");
    type_in(&mut fleet, "staging");
    press(&mut fleet, "enter");
    assert_eq!(fleet.open, Some(2));
    press(&mut fleet, "0 down :");
    assert_eq!(fleet.open, Some(3));
    type_in(&mut fleet, "kpi");
    assert!(text(&mut fleet).contains("› kpi"), "{}", text(&mut fleet));
}

#[test]
fn a_click_beside_the_help_closes_it_and_a_click_on_a_shard_of_the_palette_opens_it() {
    use crossterm::event::{MouseButton, MouseEventKind};
    let mut fleet = fleet();
    let click = |fleet: &mut Fleet, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        fleet.update(Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    };
    press(&mut fleet, "?");
    picture(&mut fleet, (120, 40));
    click(&mut fleet, 60, 20);
    assert!(fleet.overlay.is_some());
    click(&mut fleet, 1, 1);
    assert!(fleet.overlay.is_none());
    press(&mut fleet, "ctrl-p");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    let row = text.lines().position(|line| line.contains("shard staging")).unwrap_or_else(|| panic!("{text}"));
    click(&mut fleet, 30, row as u16);
    assert_eq!((fleet.open, fleet.overlay.is_some()), (Some(2), false));
}

#[test]
fn every_shard_with_unconfirmed_commands_asks_before_quitting() {
    let mut fleet = fleet();
    for shard in [0, 2] {
        let command = townlet_source::UnconfirmedCommand {
            cmd_id: format!("id-{shard}"),
            command: "kill ada".into(),
            seconds: 3,
            retrying: true,
            maybe_received: false,
            expires_in: None,
            why: "connection refused".into(),
        };
        fleet.deliver(shard, Message::SourceEvent(SourceEvent::Unconfirmed(vec![command])));
    }
    let text = screenshot::text(&picture(&mut fleet, (80, 24)));
    assert!(text.lines().next().unwrap_or_default().contains("… 2 commands not confirmed"), "{text}");
    press(&mut fleet, "down down down u");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(fleet.open == Some(0) && text.contains("▸ … kill ada"), "{text}");
    press(&mut fleet, "esc 0 up");
    assert_eq!(fleet.open, None);
    assert_eq!(press(&mut fleet, "q"), []);
    assert_eq!(fleet.open, Some(0), "the first is opened and asks");
    assert_eq!(press(&mut fleet, "tab enter"), []);
    assert_eq!(fleet.open, Some(2));
    assert_eq!(press(&mut fleet, "enter"), [], "staying there stops it");
    let text = screenshot::text(&picture(&mut fleet, (120, 40)));
    assert!(text.contains("quitting was called off; no command was given up"), "{text}");
    assert_eq!(press(&mut fleet, "q tab enter"), []);
    assert_eq!(fleet.open, Some(0), "so everything is asked again");
    assert_eq!(press(&mut fleet, "tab enter"), [(0, Task::Quit)]);
    assert_eq!(fleet.given_up_lines(), ["kill ada # given up id-0", "kill ada # given up id-2"]);
}

#[test]
fn labels_keep_their_colours() {
    let picture = picture(&mut fleet(), (120, 40));
    let styles: std::collections::BTreeSet<String> = (3..7).map(|row| format!("{:?}", picture[(4, row)].bg)).collect();
    assert_eq!(styles.len(), 4, "{styles:?}");
}

#[test]
fn a_crowded_fleet_cuts_nothing_without_a_sign() {
    let mut view = crowded();
    view.alerts.iter_mut().for_each(|alert| alert.hint.push_str(" «end$»"));
    let apps = (0..40).map(|number| {
        let mut app =
            app(&format!("«^production-of-the-long-harbour-{number}$»"), "red", "https://«^towns.example$»", None);
        app.update(Message::SourceEvent(SourceEvent::Link(Link::Live { url: "https://«^towns.example$»".into() })));
        app.update(Message::SourceEvent(SourceEvent::View(Arc::new(view.clone()))));
        app
    });
    let mut fleet =
        Fleet::new(apps.collect(), Keymap::default(), &Settings::with_theme(Theme::named("dark", true).unwrap()));
    for size in [(80, 24), (120, 40), (200, 60)] {
        let buffer = picture(&mut fleet, size);
        let problems = cut_texts(&buffer, &[buffer.area]);
        assert!(problems.is_empty(), "{problems:#?}\n{}", screenshot::text(&buffer));
    }
}

#[test]
fn the_layout_of_one_shard_is_that_of_all() {
    let mut fleet = fleet();
    picture(&mut fleet, (120, 40));
    press(&mut fleet, "enter");
    picture(&mut fleet, (120, 40));
    press(&mut fleet, "ctrl-right");
    let changed = fleet.apps[0].layouts.clone();
    assert_ne!(changed, Layouts::default());
    assert!(fleet.apps.iter().all(|app| app.layouts == changed));
}
