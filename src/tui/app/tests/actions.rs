//! Approving, deferring and changing the speed by key.

use super::*;
use townlet_wire::telemetry::{AuditRow, Stepping};

#[test]
fn approving_asks_for_confirmation_with_cancel_focused() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("down a");
    ui.shows("Ben leaves town on the next tick. Ben has worked 2.5 days as");
    ui.shows("Today's exit cap: 2 of 2 used; this makes 3. That exceeds");
    ui.shows("▸ cancel ◂");
    ui.press("enter");
    assert!(ui.sent.is_empty(), "enter on cancel sent {:?}", ui.lines());
    ui.press("a right enter");
    assert_eq!(ui.lines(), ["employment_exit approve ben"]);
    assert!(!ui.sent[0].dry_run);
    ui.answer(done("id-1", "employment_exit approve ben", "Ben leaves on the next tick"));
    ui.shows("✓ Ben leaves on the next tick · tick 3,402 · cmd id-1 · logged logs/console/run-1-0001.jsonl:4");
}

#[test]
fn a_command_in_flight_is_shown_until_it_is_executed() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("d");
    let answer = done("id-1", "employment_exit defer ben", "Ben stays");
    let message = "it is under way and not answered yet.".to_owned();
    let error = ErrorBody { code: "E_IN_FLIGHT".into(), message, hint: "Its answer follows.".into() };
    ui.answer(Answer { status: Status::Error, result: None, error: Some(error), ..answer.clone() });
    ui.shows("… E_IN_FLIGHT it is under way and not answered yet.");
    ui.answer(answer);
    ui.shows("✓ Ben stays");
}

#[test]
fn a_deferral_asks_before_it_takes_back_an_approval() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.employment.queue[0].approved = true;
    let agent = view.employment.queue[0].agent.clone();
    let approval = AuditRow {
        command: "employment_exit approve".into(),
        args: serde_json::json!({ "agent": agent }),
        issuer: "token:o1".into(),
        status: "ok".into(),
        ..AuditRow::default()
    };
    view.audit.records.push(approval);
    ui.view(view.clone());
    ui.press("d");
    ui.shows("This takes back the approval of token:o1.");
    ui.shows("▸ cancel ◂");
    ui.press("enter");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("d tab enter");
    assert_eq!(ui.lines(), [format!("employment_exit defer {agent}")]);
}

#[test]
fn an_alert_about_residents_is_acknowledged_for_those_on_screen() {
    for (name, message, line) in [
        ("starvation", "starving: Ada, Ben.", "alert_ack starvation --seen \"starving: Ada, Ben.\""),
        ("blackout", "the power is off.", "alert_ack blackout"),
    ] {
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        let mut view = snapshot();
        let severity = "critical".into();
        view.alerts = vec![Alert { name: name.into(), message: message.into(), severity, ..Alert::default() }];
        ui.view(view);
        ui.press("A v");
        assert_eq!(ui.lines().last(), Some(&line), "{name}");
    }
}

#[test]
fn every_marked_resident_is_a_command() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("space space d");
    ui.shows("Ada and Ben stay, and their absences are forgiven.");
    ui.press("tab enter");
    assert_eq!(ui.lines(), ["employment_exit defer ada", "employment_exit defer ben"]);
    ui.press("space a");
    ui.shows("▸ cancel ◂");
    ui.press("esc");
    assert_eq!(ui.sent.len(), 2);
}

#[test]
fn a_key_is_not_taken_for_the_row_that_slid_under_the_cursor() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    let [second, third] = [1, 2].map(|at| view.employment.queue[at].agent.clone());
    ui.press("down");
    view.employment.queue.remove(1);
    ui.view(view);
    ui.press("d");
    assert!(ui.sent.is_empty(), "{second} is gone: {:?}", ui.lines());
    ui.shows("the selected row is gone; press the key again for the one in its place");
    ui.press("d");
    assert_eq!(ui.lines(), [format!("employment_exit defer {third}")]);
}

#[test]
fn an_inspector_says_that_its_resident_is_gone() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    ui.press("3 down enter");
    ui.hides("in place of");
    let screen = ui.screen();
    let inspected = |agent: &townlet_wire::telemetry::Agent| screen.contains(&format!("· {} (2 of", agent.name));
    let before = view.agents.len();
    view.agents.retain(|agent| !inspected(agent));
    assert_eq!(view.agents.len(), before - 1);
    ui.view(view);
    ui.shows(", in place of one that is gone");
    ui.shows(", in place of one that is gone");
    ui.press("down");
    ui.hides("in place of");
}

#[test]
fn a_row_that_a_filter_hides_is_not_called_gone() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.screen();
    ui.press("/");
    ui.type_in("cleo");
    ui.press("enter d");
    assert_eq!(ui.lines(), ["employment_exit defer cleo"], "the key is for the row that the filter left");
    ui.press("3");
    ui.screen();
    for keys in [["e", "v", "a"], ["g", "w", "e"]] {
        ui.press("/ ctrl-u");
        ui.press(&keys.join(" "));
        ui.screen();
        ui.press("enter enter");
        ui.shows(" (1 of 1)");
        ui.hides("in place of");
        ui.press("esc");
    }
    // Also when no frame was drawn since the filter was typed.
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.screen();
    ui.press("/ c l e o enter d");
    assert_eq!(ui.lines(), ["employment_exit defer cleo"]);
}

#[test]
fn a_row_that_no_longer_matches_the_filter_is_not_called_gone() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("/");
    ui.type_in("3 absent");
    ui.press("enter");
    ui.screen();
    let mut view = snapshot();
    view.employment.queue[0].reason = "moved".into();
    ui.view(view);
    ui.press("d");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.shows("the selected row no longer matches the filter; press the key again for the one in its place");
    ui.press("d");
    assert_eq!(ui.lines(), ["employment_exit defer ben"]);
}

#[test]
fn marks_end_with_an_approval_and_with_esc() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("space space");
    ui.shows("2 marked");
    // Only what the filter shows is acted on.
    ui.press("/");
    ui.type_in("ben");
    ui.press("enter");
    ui.shows("1 of 2 marked");
    ui.press("/");
    ui.type_in("zzz");
    ui.press("enter");
    ui.shows("No residents match the filter.");
    ui.press("/ ctrl-u enter");
    ui.shows("2 marked");
    let mut view = snapshot();
    view.employment.queue[0].approved = true;
    ui.view(view);
    ui.shows("1 marked");
    ui.press("esc");
    ui.hides("marked");
    ui.press("d");
    ui.hides("Ben stay");
}

#[test]
fn a_recording_does_not_ask_for_the_reason_of_an_escalation() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.app.hello.session.transport = townlet_source::RECORDING.into();
    ui.press(":");
    ui.type_in("escalate");
    ui.press("enter");
    ui.shows("a recording cannot be changed");
    assert!(ui.app.overlay.is_none());
}

#[test]
fn a_filter_covers_nothing_on_the_border() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    ui.press("6 /");
    ui.type_in("status:ok");
    ui.press("enter");
    ui.shows(" / status:ok ━");
    ui.shows("━ following newest · ");
    ui.press("2 /");
    ui.type_in("ada");
    ui.press("enter");
    ui.shows(" / ada ━");
}

#[test]
fn the_audit_location_is_not_cut_off_at_80_columns() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    ui.press("d");
    ui.answer(done("id-1", "employment_exit defer ada", "Ada stays and 3 absences are forgiven"));
    ui.shows("tick 3,402 · cmd id-1");
    ui.shows("logs/console/run-1-0001.jsonl:4");
}

#[test]
fn a_long_queue_scrolls_and_a_long_dialog_keeps_its_buttons() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    let mut view = snapshot();
    let entry = view.employment.queue[0].clone();
    let named = |number: u64| ExitEntry { agent: format!("res_{number}"), ..entry.clone() };
    view.employment.queue = (0..40).map(named).collect();
    view.employment.pending = view.employment.queue.iter().map(|entry| entry.agent.clone()).collect();
    ui.view(view);
    ui.shows("1–13 of 40");
    for _ in 0..30 {
        ui.press("space");
    }
    ui.shows("res_30");
    ui.press("a");
    ui.shows("res_4 and 25 more leave town");
    ui.shows("▸ cancel ◂       approve 30");
}

#[test]
fn deferring_one_does_not_ask_for_confirmation() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("d");
    assert_eq!(ui.lines(), ["employment_exit defer ada"]);
}

#[test]
fn a_viewer_sees_the_reason_and_the_remedy() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.shows("(a approve)");
    ui.press("a");
    ui.shows("a approve: `employment_exit approve` needs the admin role; you are viewer. Run `:escalate`");
    assert!(ui.sent.is_empty());
    ui.app.update(Message::SourceEvent(SourceEvent::Session(session(Role::Admin))));
    ui.hides("(a approve)");
    ui.shows(" ADMIN");
}

#[test]
fn the_selection_follows_the_resident() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("down");
    ui.shows("▸ Ben");
    let mut view = snapshot();
    view.employment.queue.rotate_right(1);
    ui.view(view);
    ui.press("d");
    assert_eq!(ui.lines(), ["employment_exit defer ben"]);
}

#[test]
fn exit_details_open_and_scroll() {
    let mut ui = AppHarness::new(Role::Viewer, (80, 24));
    ui.press("enter");
    ui.shows("Exit: Ada");
    ui.shows("Related events");
    ui.hides("shift absent");
    ui.press("end");
    ui.shows("shift absent");
    ui.press("esc");
    ui.hides("Exit: Ada");
}

#[test]
fn the_owner_controls_the_speed_in_any_role() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("+ - p .");
    assert_eq!(ui.lines(), ["speed 100x", "speed 10x", "pause", "step"]);
    let mut view = snapshot();
    view.clock.speed = "paused".into();
    ui.view(view);
    ui.shows("‖ PAUSED");
    ui.press("p -");
    assert_eq!(ui.lines().last(), Some(&"resume"));
    ui.shows("1× is the slowest speed");
    let mut view = snapshot();
    view.clock.speed = "paused".into();
    view.clock.stepping = Some(Stepping { done: 12, total: 30 });
    ui.view(view);
    ui.shows("‖ STEPPING 12 of 30");
    ui.hides("PAUSED");
    ui.press("p");
    assert_eq!(ui.lines().last(), Some(&"pause"), "it stops the steps");
    ui.app.session.owner = false;
    ui.press(".");
    ui.shows("needs the admin role");
}

#[test]
fn a_newer_schema_disables_commands() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.schema_version = "0.3.1".into();
    ui.view(view);
    ui.shows("the shard uses schema 0.3.1, newer than 0.2.0");
    ui.press("a");
    ui.shows("upgrade this program");
    for line in ["blackout on", "step 3"] {
        ui.press(":");
        ui.type_in(line);
        ui.sent.clear();
        ui.press("enter");
        assert!(ui.sent.is_empty(), "{line}");
        ui.shows("upgrade this program");
        ui.press("esc");
    }
    ui.press("p");
    assert!(ui.sent.is_empty());
    ui.shows("upgrade this program");
}

#[test]
fn copy_save_suspend_and_quit_are_tasks() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let tasks = ui.press("y");
    assert!(matches!(&tasks[..], [Task::Copy(text)] if text.starts_with("Ada, barista for 4 days")), "{tasks:?}");
    assert_eq!(ui.press("S"), [Task::Save(3_402)]);
    assert_eq!(ui.press("ctrl-z"), [Task::Suspend]);
    assert_eq!(ui.press("q"), [Task::Quit]);
    assert_eq!(ui.press("ctrl-c"), [Task::Quit]);
}
