//! Sizes of panes and columns of tables.

use ratatui::layout::Rect;

use super::{AppHarness, Layouts, SIZES, Task};
use crate::keymap::{Action, Keymap};
use crate::pane::{PANES, Screen};
use townlet_wire::Role;

/// The areas of the panes on screen.
fn areas(ui: &mut AppHarness) -> Vec<(&'static str, Rect)> {
    ui.picture();
    let drawn = PANES.iter().zip(&ui.app.panes).filter(|(_, pane_state)| !pane_state.area.is_empty());
    drawn.map(|(row, pane_state)| (row.title, pane_state.area)).collect()
}

fn area(ui: &mut AppHarness, title: &str) -> Rect {
    areas(ui).into_iter().find(|(other, _)| *other == title).expect("it is on screen").1
}

#[test]
fn ctrl_arrows_change_the_focused_pane_and_are_kept() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let before = area(&mut ui, "Stability");
    ui.press("B");
    let tasks = ui.press("ctrl-right");
    assert_eq!(tasks, [Task::SaveLayouts(ui.app.layouts.clone())]);
    let after = area(&mut ui, "Stability");
    assert_eq!((after.width, after.height), (before.width + 4, before.height));
    ui.press("ctrl-down");
    assert_eq!(area(&mut ui, "Stability").height, before.height + 1);
    ui.press("ctrl-left ctrl-up");
    assert_eq!(area(&mut ui, "Stability"), before);
    ui.press("ctrl-right");
    ui.picture();
    // The next session starts with what was kept.
    let kept = Layouts::parse(&ui.app.layouts.to_text()).unwrap();
    let mut next = AppHarness::new(Role::Viewer, (120, 40));
    next.app.layouts = kept;
    assert_eq!(area(&mut next, "Stability"), after);
    ui.press("Z");
    assert_eq!((area(&mut ui, "Stability"), &ui.app.layouts), (before, &Layouts::default()));
    ui.press("Z");
    ui.shows("all panes have their default sizes already");
}

#[test]
fn every_pane_of_every_screen_can_be_resized_and_none_vanishes() {
    for size in SIZES {
        for row in PANES {
            for keys in ["ctrl-right", "ctrl-left", "ctrl-down", "ctrl-up"] {
                let mut ui = AppHarness::new(Role::Viewer, size);
                ui.press(&row.key.to_string());
                let all = areas(&mut ui);
                let mut changed = false;
                for _ in 0..60 {
                    changed |= !ui.press(keys).is_empty();
                }
                let now = areas(&mut ui);
                assert_eq!(now.len(), all.len(), "{} {keys}", row.title);
                let whole: u32 = now.iter().map(|(_, area)| area.area()).sum();
                assert_eq!(whole, all.iter().map(|(_, area)| area.area()).sum::<u32>(), "no gaps");
                assert!(now.iter().all(|(_, area)| area.width >= 20 && area.height >= 4), "{now:?}");
                // What cannot be done is said.
                let said = ui.app.status.as_ref().map(|status| status.text.clone()).unwrap_or_default();
                assert!(said.contains(row.title), "{} {keys} at {size:?}: {said}", row.title);
                if size == (200, 60) && keys == "ctrl-right" {
                    let alone = matches!(row.title, "Console" | "Residents" | "Audit log");
                    assert_eq!(changed, !alone, "{} has something beside it", row.title);
                }
            }
        }
    }
}

#[test]
fn the_only_pane_of_a_screen_changes_its_list() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    for (key, grow) in [("R", "ctrl-down"), ("K", "ctrl-down"), ("L", "ctrl-down"), ("M", "ctrl-right")] {
        ui.press(key);
        let before = ui.screen();
        assert_eq!(ui.press(grow).len(), 1, "{key}");
        assert_ne!(ui.screen(), before, "{key}");
    }
    ui.press("R ctrl-right");
    ui.shows("Residents has nothing beside it on this screen");
}

#[test]
fn the_palette_does_the_same_where_a_terminal_has_no_ctrl_arrows() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let before = area(&mut ui, "Employment");
    for (name, wider) in [("wider", 4), ("narrower", 0)] {
        ui.press("ctrl-p");
        ui.type_in(name);
        ui.press("enter");
        assert_eq!(area(&mut ui, "Employment").width, before.width + wider, "{name}");
    }
    ui.press("ctrl-right ctrl-p");
    ui.type_in("reset sizes");
    ui.press("enter");
    assert_eq!(area(&mut ui, "Employment"), before);
    let keymap = Keymap::default();
    assert_eq!(keymap.label(Action::ResetSizes), "Z");
}

#[test]
fn columns_are_hidden_ordered_and_kept() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("R");
    ui.shows("resident▾ option");
    ui.press("c");
    ui.shows(" Columns of Residents ");
    // Hides the option, and moves the name behind the activity.
    let tasks = ui.press("down space");
    assert_eq!(tasks, [Task::SaveLayouts(ui.app.layouts.clone())]);
    ui.press("home right right");
    ui.press("esc");
    let heads = ui.screen().lines().find(|line| line.contains("resident▾")).unwrap_or_default().to_owned();
    let at = |head: &str| heads.find(head);
    assert!(at("option").is_none() && at("activity") < at("resident▾"), "{heads}");
    ui.press("c");
    ui.shows("✓ resident");
    ui.shows("· option");
    ui.press("end");
    ui.shows("▸ · arrived               where there is room");
    ui.press("r esc");
    assert_eq!(ui.app.layouts, Layouts::default());
    ui.shows("resident▾ option");
}

#[test]
fn columns_that_appear_by_themselves_stay_when_another_is_hidden() {
    let heads = |ui: &mut AppHarness| {
        let line = ui.screen().lines().find(|line| line.contains("resident▾")).unwrap_or_default().to_owned();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut ui = AppHarness::new(Role::Viewer, (200, 60));
    ui.press("R");
    let before = heads(&mut ui);
    assert!(before.iter().any(|head| head == "chance"), "{before:?}");
    // Hides the attendance.
    ui.press("c down down down down down down down down space esc");
    let after = heads(&mut ui);
    assert!(!after.iter().any(|head| head == "attend"), "{after:?}");
    let missing: Vec<_> = before.iter().filter(|head| !after.contains(head)).collect();
    assert_eq!(missing, ["attend"]);
}

#[test]
fn the_column_that_names_the_rows_stays() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("O c space");
    ui.shows("always shown");
    ui.press("down space down space down space");
    ui.press("esc");
    ui.shows("item");
    ui.hides("trend");
    assert_eq!(ui.app.screen, Screen::Economy);
    ui.press("M c");
    ui.shows("Map has no table");
}

#[test]
fn every_table_has_a_choice_of_columns() {
    let with_table = [
        "Employment",
        "Stability",
        "Queues",
        "Residents",
        "Training",
        "Candidate",
        "Metrics",
        "Audit log",
        "Perturbations",
        "Goods",
    ];
    let ui = AppHarness::new(Role::Viewer, (120, 40));
    let tables = ui.app.panes.iter().filter_map(|pane_state| pane_state.pane.table());
    let names: Vec<&str> = tables.clone().map(|table| table.name).collect();
    assert_eq!(names, with_table);
    for table in tables {
        let mut heads: Vec<&str> = table.columns.iter().map(|column| column.head).collect();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), table.columns.len(), "{}: a head names one column", table.name);
    }
}
