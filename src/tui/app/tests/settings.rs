//! The settings window, the first-run hint, and notifications of alerts.

use super::*;
use crate::notification::AlertState;
use jiff::tz::Offset;
use townlet_source::SourceInfo;
use townlet_wire::telemetry::Alert;

#[test]
fn a_theme_is_previewed_and_kept_or_restored() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let theme = |ui: &AppHarness| (ui.app.theme.name, ui.app.settings.theme.name);
    ui.press(", right");
    ui.shows("‹ light › changed");
    assert_eq!(theme(&ui), ("light", "light"));
    assert_eq!(ui.press("esc"), []);
    ui.hides("Settings");
    assert_eq!(theme(&ui), ("dark", "dark"));
    ui.press(", right");
    let tasks = ui.press("enter");
    let [Task::KeepSettings(changed)] = tasks.as_slice() else { panic!("{tasks:?}") };
    assert_eq!((changed.before.theme.name, changed.after.theme.name), ("dark", "light"));
    assert_eq!(theme(&ui), ("light", "light"));
    ui.hides("Settings");
    assert_eq!(ui.press(", enter"), [], "nothing changed");
}

#[test]
fn the_search_finds_settings_and_opens_them() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    for (name, value) in [("theme", "dark"), ("clock", "local")] {
        ui.press("ctrl-f");
        ui.type_in(&format!("setting {name}"));
        ui.press("enter");
        ui.shows(" Settings ");
        let screen = ui.screen();
        let row = screen.lines().find(|line| line.contains('▸') && line.contains(name));
        assert!(row.is_some_and(|row| row.contains(value)), "{screen}");
        ui.press("esc");
    }
}

#[test]
fn every_setting_has_values_that_come_round() {
    let mut ui = AppHarness::new(Role::Viewer, (80, 24));
    let before = ui.app.settings;
    ui.press(",");
    for row in 0..7 {
        ui.press("left right right");
        assert_ne!(ui.app.settings, before, "row {row}");
        ui.press("left");
        assert_eq!(ui.app.settings, before, "row {row}");
        let mut values = 0;
        while values == 0 || ui.app.settings != before {
            ui.press("space");
            values += 1;
            assert!(values < 9, "row {row} does not come round");
        }
        ui.press("down");
    }
    ui.shows("▸ clock         ‹ local ›");
    ui.shows("always have UTC.");
    insta::assert_snapshot!(ui.screen());
}

#[test]
fn settings_take_the_mouse_and_a_click_beside_restores() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(",");
    let screen = ui.screen();
    let row = screen.lines().position(|line| line.contains("reasons ")).unwrap() as u16;
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    ui.app.update(click(60, row));
    assert_eq!(ui.app.settings.reason, ReasonPrompt::Optional, "the first click selects");
    ui.app.update(click(60, row));
    assert_eq!(ui.app.settings.reason, ReasonPrompt::Required);
    ui.app.update(click(2, 2));
    ui.hides("Settings");
    assert_eq!(ui.app.settings.reason, ReasonPrompt::Optional);
}

#[test]
fn the_clock_is_local_or_utc() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.app.local_zone = TimeZone::fixed(Offset::constant(2));
    ui.app.apply_settings(&ui.app.settings.clone());
    ui.press("6");
    ui.shows(" UTC+2 ");
    ui.shows("11:38:03");
    ui.press(", down down down down down down right");
    ui.shows("‹ utc › changed");
    ui.press("enter");
    ui.hides("UTC+2");
    ui.shows("09:38:03");
}

#[test]
fn the_first_key_hides_the_hint_and_does_its_work() {
    let mut ui = AppHarness::new(Role::Viewer, (60, 18));
    ui.app.hint = true;
    ui.shows("Any key hides this hint.");
    for line in ["1 to 7 open screens", ": runs any command", ", opens settings"] {
        ui.shows(line);
    }
    ui.size = (59, 18);
    ui.hides("hint");
    assert_eq!(ui.press("6"), [], "a screen that shows nothing does nothing");
    ui.size = (60, 18);
    ui.shows("Any key hides this hint.");
    assert_eq!(ui.press("6"), [Task::HintSeen]);
    ui.hides("hint");
    ui.shows("┏ Audit log");
}

#[test]
fn recordings_have_no_hint() {
    let shown = |link: Link| {
        let settings = Settings::with_theme(Theme::named("dark", true).unwrap());
        let setup = AppOptions {
            settings,
            local_zone: TimeZone::UTC,
            hint: true,
            keymap: Keymap::default(),
            screen: Screen::Operations,
            console_history: Vec::new(),
            label: None,
            fleet: false,
            layouts: crate::layouts::Layouts::default(),
        };
        App::new(SourceInfo { link, ..hello(Role::Viewer) }, setup).hint
    };
    assert_eq!((shown(Link::Local), shown(Link::Recorded)), (true, false));
}

#[test]
fn changes_of_alerts_are_told_from_their_severity_on() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let mut before = snapshot();
    before.alerts.clear();
    ui.view(before.clone());
    let mut now = before.clone();
    let alert = |name: &str, severity: &str| Alert { name: name.into(), severity: severity.into(), ..Alert::default() };
    now.alerts = vec![alert("starvation", "critical"), alert("blackout", "warning")];
    let show = |ui: &mut AppHarness, view: &Snapshot| {
        let event = SourceEvent::View(Arc::new(view.clone()));
        let tasks = ui.app.update(Message::SourceEvent(event));
        let reported = |task: &Task| match task {
            Task::Notify(change) => (change.alert.name.clone(), change.state),
            other => panic!("{other:?}"),
        };
        tasks.iter().map(reported).collect::<Vec<_>>()
    };
    assert_eq!(show(&mut ui, &now), [], "nothing is reported by default");
    show(&mut ui, &before);
    ui.app.settings.notifications.from = Some(1);
    assert_eq!(show(&mut ui, &now), [("starvation".into(), AlertState::Raised)]);
    assert_eq!(show(&mut ui, &before), []);
    ui.app.settings.notifications.webhook_from = Some(0);
    assert_eq!(show(&mut ui, &now).len(), 2);
    assert_eq!(show(&mut ui, &before).len(), 2);
}

#[test]
fn a_webhook_that_fails_is_one_banner_until_it_delivers() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let mut calm = snapshot();
    calm.alerts.clear();
    ui.view(calm);
    ui.app.update(Message::WebhookTrouble(Some("webhook hooks.example: no answer within 5 s; trying again".into())));
    ui.shows("‼ webhook hooks.example: no answer within 5 s; trying again");
    ui.app.update(Message::WebhookTrouble(Some("webhook hooks.example: it answered 503; 1 notification lost".into())));
    ui.shows("1 notification lost");
    ui.hides("no answer within");
    ui.app.update(Message::WebhookTrouble(None));
    ui.hides("webhook");
}
