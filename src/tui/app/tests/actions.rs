//! Approving, deferring and pacing by key: what is asked, what is sent, what is refused and why.

use super::*;

#[test]
fn approving_asks_first_with_cancel_focused() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("down a");
    desk.shows("Ben leaves town on the next tick. Ben has worked 2.5 days as");
    desk.shows("This counts towards today: 2 of 2 exits used.");
    desk.shows("▸ cancel ◂");
    desk.press("enter");
    assert!(desk.sent.is_empty(), "enter on cancel sent {:?}", desk.lines());
    desk.press("a right enter");
    assert_eq!(desk.lines(), ["employment_exit approve ben"]);
    assert!(!desk.sent[0].dry_run);
    desk.answer(done("id-1", "employment_exit approve ben", "Ben leaves on the next tick"));
    desk.shows("✓ Ben leaves on the next tick · tick 3,402 · cmd id-1 · logged logs/console/run-1-0001.jsonl:4");
}

#[test]
fn a_command_the_disk_keeps_waiting_is_under_way_and_then_done() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("d");
    let answer = done("id-1", "employment_exit defer ben", "Ben stays");
    let message = "it is under way and not answered yet.".to_owned();
    let error = ErrorBody { code: "E_IN_FLIGHT".into(), message, hint: "Its answer follows.".into() };
    desk.answer(Answer { status: Status::Error, result: None, error: Some(error), ..answer.clone() });
    desk.shows("… E_IN_FLIGHT it is under way and not answered yet.");
    desk.answer(answer);
    desk.shows("✓ Ben stays");
}

#[test]
fn several_marked_are_a_command_each() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("space space d");
    desk.shows("Ada and Ben stay, and their absences are forgiven.");
    desk.press("tab enter");
    assert_eq!(desk.lines(), ["employment_exit defer ada", "employment_exit defer ben"]);
    desk.press("space a");
    desk.shows("▸ cancel ◂");
    desk.press("esc");
    assert_eq!(desk.sent.len(), 2);
}

#[test]
fn where_it_was_logged_is_not_cut_off_at_80_columns() {
    let mut desk = Desk::new(Role::Admin, (80, 24));
    desk.press("d");
    desk.answer(done("id-1", "employment_exit defer ada", "Ada stays and 3 absences are forgiven"));
    desk.shows("tick 3,402 · cmd id-1");
    desk.shows("logs/console/run-1-0001.jsonl:4");
}

#[test]
fn a_long_queue_scrolls_and_a_long_question_keeps_its_buttons() {
    let mut desk = Desk::new(Role::Admin, (80, 24));
    let mut view = snapshot();
    let entry = view.employment.queue[0].clone();
    let named = |number: u64| ExitEntry { agent: format!("res_{number}"), ..entry.clone() };
    view.employment.queue = (0..40).map(named).collect();
    view.employment.pending = view.employment.queue.iter().map(|entry| entry.agent.clone()).collect();
    desk.view(view);
    desk.shows("1–13 of 40");
    for _ in 0..30 {
        desk.press("space");
    }
    desk.shows("res_30");
    desk.press("a");
    desk.shows("res_4 and 25 more leave town");
    desk.shows("▸ cancel ◂       approve 30");
}

#[test]
fn deferring_one_does_not_ask() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("d");
    assert_eq!(desk.lines(), ["employment_exit defer ada"]);
}

#[test]
fn a_viewer_is_told_why_and_how() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.shows("(a approve)");
    desk.press("a");
    desk.shows("a approve: `employment_exit approve` is for admins and you are a viewer; `:escalate` to act");
    assert!(desk.sent.is_empty());
    desk.app.update(Message::SourceEvent(SourceEvent::Session(session(Role::Admin))));
    desk.hides("(a approve)");
    desk.shows(" ADMIN ");
}

#[test]
fn the_selection_follows_the_resident() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("down");
    desk.shows("▸ Ben");
    let mut view = snapshot();
    view.employment.queue.rotate_right(1);
    desk.view(view);
    desk.press("d");
    assert_eq!(desk.lines(), ["employment_exit defer ben"]);
}

#[test]
fn the_case_explains_itself() {
    let mut desk = Desk::new(Role::Viewer, (80, 24));
    desk.press("enter");
    desk.shows("Ada: the case");
    desk.shows("What led here");
    desk.hides("shift absent");
    desk.press("end");
    desk.shows("shift absent");
    desk.press("esc");
    desk.hides("the case ");
}

#[test]
fn pace_belongs_to_the_owner_whatever_the_role() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("p . + -");
    assert_eq!(desk.lines(), ["pause", "step", "speed 100x", "speed 1x"]);
    let mut view = snapshot();
    view.clock.speed = "paused".into();
    desk.view(view);
    desk.shows("‖ PAUSED");
    desk.press("p -");
    assert_eq!(desk.lines().last(), Some(&"resume"));
    desk.shows("1× is the slowest");
    desk.app.session.owner = false;
    desk.press(".");
    desk.shows("is for admins");
}

#[test]
fn a_newer_schema_warns_and_keeps_hands_off() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.schema_version = "0.3.1".into();
    desk.view(view);
    desk.shows("the shard speaks schema 0.3.1, newer than 0.2.0");
    desk.press("a");
    desk.shows("upgrade first");
    desk.press(":");
    desk.type_in("blackout on");
    desk.sent.clear();
    desk.press("enter");
    assert!(desk.sent.is_empty());
}

#[test]
fn copy_save_suspend_and_quit_are_tasks() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    let tasks = desk.press("y");
    assert!(matches!(&tasks[..], [Task::Copy(text)] if text.starts_with("Ada, barista for 4 days")), "{tasks:?}");
    assert_eq!(desk.press("S"), [Task::Save(3_402)]);
    assert_eq!(desk.press("ctrl-z"), [Task::Suspend]);
    assert_eq!(desk.press("q"), [Task::Quit]);
    assert_eq!(desk.press("ctrl-c"), [Task::Quit]);
}
