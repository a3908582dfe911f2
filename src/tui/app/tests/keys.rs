//! Keys and words that agree: main keys from every pane, filters that say what they found, help that finds commands, bursts
//! of keys, and the mouse on windows.

use super::*;
use crate::keymap::{Action, Group};
use crate::pane::{PANES, Reaction};

fn click(column: u16, row: u16) -> Message {
    let kind = MouseEventKind::Down(MouseButton::Left);
    Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

/// Column and row of a text on screen.
#[track_caller]
fn place(ui: &mut AppHarness, text: &str) -> (u16, u16) {
    let screen = ui.screen();
    let found = screen.lines().enumerate().find_map(|(row, line)| {
        let at = line.find(text)?;
        Some((crate::format::width(&line[..at]) as u16, row as u16))
    });
    found.unwrap_or_else(|| panic!("`{text}` is not on\n{screen}"))
}

/// The town with something to do for every pane.
pub(super) fn busy() -> Snapshot {
    let mut view = snapshot();
    crate::fixtures::eligible(&mut view);
    view
}

#[test]
fn a_screens_main_keys_work_from_every_pane() {
    let generic = ["open", "mark", "sort", "reverse"];
    for (index, pane) in PANES.iter().enumerate() {
        let mut here = AppHarness::new(Role::Admin, (120, 40));
        here.view(busy());
        here.press(&pane.key.to_string());
        let hints = here.app.hints_of(index).into_iter().filter(|hint| hint.enabled.is_ok());
        let main = hints.map(|hint| hint.action.row());
        for row in main.filter(|row| row.group == Group::Panes && !generic.contains(&row.name)) {
            let key = Keymap::default().label(row.action);
            let result = |from: char| {
                let mut ui = AppHarness::new(Role::Admin, (120, 40));
                ui.view(busy());
                ui.press(&from.to_string());
                ui.screen();
                let tasks = ui.press(&key);
                (tasks, ui.app.overlay.as_ref().map(|overlay| format!("{overlay:?}")), ui.screen())
            };
            let (tasks, overlay, _) = result(pane.key);
            for other in PANES.iter().filter(|other| other.screen == pane.screen && other.key != pane.key) {
                let position = PANES.iter().position(|row| row.key == other.key).unwrap();
                if here.app.hints_of(position).iter().any(|hint| hint.action == row.action) {
                    continue;
                }
                let (from, asked, screen) = result(other.key);
                assert_eq!(
                    (&from, &asked),
                    (&tasks, &overlay),
                    "{key} of {} from {}\n{screen}",
                    pane.title,
                    other.title
                );
            }
        }
    }
}

#[test]
fn a_key_of_a_pane_that_is_not_on_screen_shows_it_before_it_acts_unasked() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    ui.press("C d");
    assert_eq!(ui.lines(), [""; 0]);
    ui.shows("Employment is on screen now; press d again to defer");
    ui.press("d");
    assert_eq!(ui.lines(), ["employment_exit defer ada"]);
    // What asks first needs no second key.
    ui.press("C a");
    ui.shows("Approve exit");
}

#[test]
fn keys_of_other_panes_are_in_the_footer_and_in_the_help() {
    let mut ui = AppHarness::new(Role::Admin, (200, 60));
    ui.view(busy());
    ui.press("T");
    ui.shows("m promote");
    ui.press("?");
    ui.shows("promote, in another pane");
}

#[test]
fn a_filter_that_nothing_passes_says_so_in_every_pane() {
    for size in SIZES {
        for pane in PANES {
            let mut ui = AppHarness::new(Role::Viewer, size);
            ui.answer(done("0192aaaa-7c", "employment_status", "3 wait"));
            ui.press(&format!("{} /", pane.key));
            ui.type_in("foo:bar");
            ui.press("enter");
            let screen = ui.screen();
            let said = ["match the filter", "No match"].iter().any(|words| screen.contains(words));
            assert!(said, "{} at {size:?}\n{screen}", pane.title);
            assert!(screen.contains("/ foo:bar"), "{} at {size:?}\n{screen}", pane.title);
        }
    }
}

#[test]
fn help_finds_commands_and_goto() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("?");
    ui.type_in("goto");
    ui.shows("goto <tick>");
    ui.shows("only in a recording");
    ui.press("esc ?");
    ui.type_in("teleport");
    ui.shows("teleport <agent> <place>");
    ui.shows("puts a resident somewhere");
    ui.press("esc ?");
    ui.type_in("quit");
    ui.shows("quit: saves a local town");
    ui.press("esc ?");
    ui.hides("goto <tick>");
    ui.press("end");
    ui.shows("goto <tick>");
    ui.press("home");
    ui.hides("goto <tick>");
    ui.press("?");
    ui.hides("type to search");
}

#[test]
fn keys_in_one_burst_add_up() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.clock.speed = "1x".into();
    ui.view(view.clone());
    ui.press("+ + +");
    assert_eq!(ui.lines(), ["speed 10x", "speed 100x", "speed max"]);
    ui.press("- -");
    assert_eq!(ui.lines()[3..], ["speed 100x", "speed 10x"]);
    ui.press("p p");
    assert_eq!(ui.lines()[5..], ["pause", "resume"]);
    // Once it is answered and on screen, the screen counts again.
    for id in 1..=7 {
        ui.answer(done(&format!("id-{id}"), "pause", "done"));
    }
    view.tick += 1;
    view.clock.speed = "100x".into();
    ui.view(view);
    ui.press("+");
    assert_eq!(ui.lines()[7..], ["speed max"]);
    // What was refused was not reached.
    ui.answer(refused("id-8", "speed max"));
    ui.press("+");
    assert_eq!(ui.lines()[8..], ["speed max"]);
}

#[test]
fn q_closes_every_window_that_takes_no_text() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("enter");
    assert!(ui.app.overlay.is_some());
    assert_eq!(ui.press("q"), []);
    assert!(ui.app.overlay.is_none());
    assert_eq!(ui.press("q"), [Task::Quit]);
}

#[test]
fn the_mouse_works_on_windows() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    // Palette: a click runs an entry, a click beside it closes.
    ui.press("ctrl-p");
    let (column, row) = place(&mut ui, "screen Metrics");
    ui.app.update(click(column, row));
    assert_eq!((ui.app.screen, ui.app.overlay.is_some()), (Screen::Metrics, false));
    ui.press("1 ctrl-p");
    ui.screen();
    ui.app.update(click(0, 39));
    assert!(ui.app.overlay.is_none());
    // Question: the buttons.
    ui.press("a");
    let (column, row) = place(&mut ui, "cancel ◂");
    ui.app.update(click(column, row));
    assert!(ui.app.overlay.is_none() && ui.sent.is_empty());
    ui.press("a");
    let (column, row) = place(&mut ui, "  approve  ");
    ui.app.update(click(0, 39));
    assert!(ui.app.overlay.is_some(), "a click beside a question does not answer it");
    let tasks = ui.app.update(click(column + 3, row));
    assert!(
        matches!(&tasks[..], [Task::Send(request, _)] if request.command == "employment_exit approve ada"),
        "{tasks:?}"
    );
    // Details and help close beside the window.
    for (open, foot) in [("enter", "esc or q close"), ("?", "esc or ? close")] {
        ui.press(open);
        let (column, row) = place(&mut ui, foot);
        ui.app.update(click(column, row));
        assert!(ui.app.overlay.is_some(), "{open}");
        ui.app.update(click(0, 39));
        assert!(ui.app.overlay.is_none(), "{open}");
    }
    // Completions of the console line.
    ui.press(":");
    ui.type_in("employment_exit ");
    let (column, row) = place(&mut ui, "employment_exit defer");
    ui.app.update(click(column, row));
    ui.shows("› employment_exit defer ");
}

#[test]
fn every_pane_exports_its_table_and_charts_as_they_are_shown() {
    for pane in PANES {
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.view(busy());
        ui.answer(done("0192aaaa-7c", "employment_status", "3 wait"));
        ui.press(&pane.key.to_string());
        let tasks = ui.press("e");
        let [Task::Export(_, files)] = &tasks[..] else { panic!("{}: {tasks:?}", pane.title) };
        let rows = files[0].text.lines().count();
        assert!(files[0].extension == "csv" && rows > 1, "{}: {}", pane.title, files[0].text);
        let chart = files.iter().any(|file| file.extension == "svg");
        assert_eq!(chart, ["Training", "Metrics"].contains(&pane.title), "{}", pane.title);
        ui.press("/");
        ui.type_in("foo:bar");
        ui.press("enter");
        assert_eq!(ui.press("e"), [], "{}", pane.title);
        ui.shows("has nothing to export now");
    }
}

#[test]
fn an_export_has_the_chosen_columns_in_their_order_and_all_fields_on_request() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.view(busy());
    ui.press("R");
    let heads = |ui: &mut AppHarness, key: &str| {
        let tasks = ui.press(key);
        let [Task::Export(_, files)] = &tasks[..] else { panic!("{tasks:?}") };
        files[0].text.lines().next().expect("heads").to_owned()
    };
    let all = heads(&mut ui, "e");
    assert!(all.starts_with("id,name,option,") && all.ends_with(",arrived_tick"), "{all}");
    let table =
        PANES.iter().position(|pane| pane.title == "Residents").and_then(|index| ui.app.panes[index].pane.table());
    let table = table.expect("a table");
    let at = |head: &str| table.columns.iter().position(|column| column.head == head).expect("a column");
    ui.app.layouts.choose(table, Some(&[at("wallet"), at("resident"), at("absent")]));
    assert_eq!(heads(&mut ui, "e"), "wallet,id,name,absent_shifts_7d");
    assert_eq!(heads(&mut ui, "ctrl-e"), all);
}

#[test]
fn every_column_of_a_table_is_exported_unless_it_is_a_drawing() {
    for (index, pane) in PANES.iter().enumerate() {
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.view(busy());
        let Some(table) = ui.app.panes[index].pane.table() else { continue };
        ui.press(&pane.key.to_string());
        for (number, column) in table.columns.iter().enumerate() {
            let drawn = ["trend", "waiting over time", "trend or samples", "min", "max", "mean", "duration"];
            if drawn.contains(&column.head) {
                continue;
            }
            ui.app.layouts.choose(table, Some(&[number]));
            let fields = table.chosen_fields(&ui.app.layouts).expect("a choice");
            let tasks = ui.press("e");
            let [Task::Export(_, files)] = &tasks[..] else { panic!("{}: {tasks:?}", pane.title) };
            // A field such as `needs` can have a column for each of its values.
            let heads = files[0].text.lines().next().unwrap_or_default().split(',');
            let mut heads: Vec<&str> = heads.map(|head| head.split('.').next().unwrap_or_default()).collect();
            heads.dedup();
            assert_eq!(heads, fields, "{}: {}", pane.title, column.head);
        }
    }
}

#[test]
fn an_exported_alert_names_its_viewer() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.alerts[0].acknowledged_by = Some("tui:ada".into());
    ui.view(view);
    ui.press("A");
    let tasks = ui.press("e");
    let [Task::Export(_, files)] = &tasks[..] else { panic!("{tasks:?}") };
    assert!(files[0].text.lines().next().unwrap().ends_with(",seen by"), "{}", files[0].text);
    assert!(files[0].text.contains(",tui:ada"), "{}", files[0].text);
}

#[test]
fn an_export_of_a_large_remote_town_says_that_rows_may_be_older() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let note = |ui: &mut AppHarness| match &ui.press("e")[..] {
        [Task::Export(note, _)] => *note,
        tasks => panic!("{tasks:?}"),
    };
    ui.view(crate::fixtures::crowded::crowded());
    ui.press("3");
    assert_eq!(note(&mut ui), "", "this process has every row");
    ui.app.link = townlet_source::Link::Live { url: "http://x".into() };
    assert!(note(&mut ui).contains("five seconds"));
    ui.view(snapshot());
    assert_eq!(note(&mut ui), "", "every message has all rows");
}

/// A filter that nothing matches leaves nothing to act on, and every key that needs a row says so.
#[test]
fn no_key_acts_on_a_row_that_the_filter_hides() {
    for (index, pane) in PANES.iter().enumerate() {
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.view(busy());
        ui.press(&pane.key.to_string());
        ui.press("/");
        ui.type_in("zzzz");
        ui.press("enter");
        let enabled = ui.app.hints_of(index).into_iter().filter(|hint| hint.enabled.is_ok());
        let actions: Vec<Action> = enabled.map(|hint| hint.action).collect();
        for action in actions.into_iter().filter(|action| action.row().group != Group::Moving) {
            let Some(view) = ui.app.view.clone() else { panic!("a view") };
            let mut panes = std::mem::take(&mut ui.app.panes);
            let reaction = panes[index].pane.act(action, &ui.app.context(&view, "zzzz", true));
            ui.app.panes = panes;
            let empty = matches!(&reaction, Reaction::Confirm(asked) if asked.requests.is_empty());
            assert!(reaction != Reaction::None && !empty, "{action:?} in {}: {reaction:?}", pane.title);
        }
    }
}

#[test]
fn a_question_without_a_resident_neither_opens_nor_quits() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("E /");
    ui.type_in("zzz");
    ui.press("enter a");
    ui.hides("Approve exit");
    ui.shows("a approve: nothing matches the filter; esc clears it");
    ui.press("d");
    ui.hides("Defer exit");
    assert_eq!(ui.press("tab"), []);
    assert_eq!(ui.press("enter"), []);
}

#[test]
fn ctrl_c_closes_the_filter_as_esc_does() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("E /");
    ui.type_in("ben");
    ui.shows("/ ben");
    assert_eq!(ui.press("ctrl-c"), []);
    ui.hides("/ ben");
    ui.press("d");
    assert_eq!(ui.lines(), ["employment_exit defer ada"]);
}

#[test]
fn zooming_the_only_pane_says_why_nothing_happens() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    ui.screen();
    ui.press("z");
    ui.shows("only one pane is on screen");
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.screen();
    ui.press("z");
    ui.hides("only one pane");
    ui.hides("╭ Queues");
    ui.press("z");
    ui.shows("╭ Queues");
}
