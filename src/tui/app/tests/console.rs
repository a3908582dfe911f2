//! The console line, the prompts, the palette and the help by keystroke.

use super::*;

#[test]
fn the_console_completes_previews_and_sends() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("employment_exit d");
    desk.press("tab");
    desk.type_in("cl");
    let tasks = desk.press("tab");
    let preview = "employment_exit defer cleo ";
    let Some(Task::Send(request, Purpose::Preview(text))) = tasks.first() else { panic!("no preview: {tasks:?}") };
    assert!(request.dry_run && request.query && text == preview, "{request:?}");
    let id = format!("id-{}", desk.sent.len());
    let preview_of = Answer { status: Status::DryRun, ..done(&id, preview, "Cleo stays and 4 absences are forgiven") };
    desk.answer(preview_of);
    desk.shows("≈ would: Cleo stays and 4 absences are forgiven");
    let tasks = desk.press("enter");
    assert_eq!(tasks[0], Task::Remember("employment_exit defer cleo".into()));
    assert_eq!(desk.sent.last().unwrap(), &Request::line("employment_exit defer cleo"));
    desk.press(": up");
    desk.shows("› employment_exit defer cleo");
    desk.press("up up");
    desk.shows("› kpi");
    desk.press("esc : up");
    desk.shows("› employment_exit defer cleo");
    desk.press("esc a");
    desk.shows("Approve exit");
}

#[test]
fn late_previews_are_dropped() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("blackout on");
    let early = format!("id-{}", desk.sent.len());
    desk.press("backspace backspace");
    desk.type_in("off");
    let late = format!("id-{}", desk.sent.len());
    desk.answer(done(&late, "blackout off", "the lights go on"));
    desk.answer(done(&early, "blackout on", "the lights go out"));
    desk.shows("≈ would: the lights go on");
    desk.hides("the lights go out");
}

#[test]
fn a_destructive_line_asks_first() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("kill ada");
    desk.press("enter");
    desk.shows("This does not come back");
    desk.shows("A resident collapses at once.");
    let before = desk.sent.len();
    desk.press("enter");
    assert_eq!(desk.sent.len(), before);
}

#[test]
fn enter_closes_the_line_and_the_next_key_is_the_panes() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("U :");
    desk.type_in("employment_status");
    desk.press("enter");
    desk.answer(done("id-1", "employment_status", "3 wait, 2 of 2 exits today"));
    desk.shows("┏ Queues");
    desk.shows("› press : to type a command");
    desk.shows("✓ 3 wait, 2 of 2 exits today · tick 3,402 · cmd id-1");
    desk.press("E a");
    desk.shows("Approve exit");
    desk.press("esc : enter");
    desk.shows("› press : to type a command");
    desk.press(":");
    desk.type_in("kill ada");
    desk.press("enter n a");
    desk.shows("Approve exit");
}

#[test]
fn a_viewer_is_refused_by_the_shard_before_anything_is_asked() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press(":");
    desk.type_in("kill ada");
    desk.press("enter");
    assert_eq!(desk.sent.last().unwrap(), &Request::line("kill ada"));
    desk.hides("This does not come back");
    let id = format!("id-{}", desk.sent.len());
    desk.answer(refused(&id, "kill ada"));
    desk.shows("✗ E_FORBIDDEN viewers look and change nothing. `escalate` first.");
}

#[test]
fn while_an_answer_may_make_an_admin_a_destructive_line_asks() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press(":");
    desk.type_in("escalate --reason backlog");
    desk.press("enter :");
    desk.type_in("kill ada");
    desk.press("enter");
    desk.shows("This does not come back");
    assert_ne!(desk.sent.last().unwrap(), &Request::line("kill ada"));
}

#[test]
fn a_token_is_masked_and_remembered_nowhere() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.app.hello.requires_token = true;
    desk.press(":");
    desk.type_in("escalate");
    let tasks = desk.press("enter");
    assert_eq!(tasks, []);
    desk.type_in("twn_a_secret");
    desk.hides("secret");
    desk.shows("••••••••••••");
    desk.press("enter");
    let request = desk.sent.last().unwrap();
    assert_eq!((request.command.as_str(), request.secret.as_deref()), ("escalate", Some("twn_a_secret")));
    desk.press(": up up up");
    desk.hides("escalate");
}

#[test]
fn without_tokens_a_reason_is_asked_for() {
    let mut desk = Desk::new(Role::Viewer, (80, 24));
    desk.press(":");
    desk.type_in("escalate");
    desk.press("enter enter");
    assert!(desk.sent.is_empty());
    desk.type_in("a \"backlog\"");
    desk.press("enter");
    assert_eq!(desk.lines(), ["escalate --reason \"a \\\"backlog\\\"\""]);
    assert_eq!(townlet_wire::command_line::words(&desk.sent[0].command).unwrap()[2], "a \"backlog\"");
}

#[test]
fn the_palette_finds_by_a_few_letters() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("ctrl-p");
    desk.type_in("emstat");
    desk.shows("▸ employment_status");
    desk.press("enter");
    assert_eq!(desk.lines(), ["employment_status"]);
    desk.press("ctrl-p");
    desk.type_in("explain");
    desk.press("enter");
    desk.shows("› explain");
    desk.press("esc ctrl-p");
    desk.type_in("audit log");
    desk.press("enter");
    assert_eq!(desk.app.screen, Screen::Audit);
}

#[test]
fn help_is_searched_and_has_paths() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("?");
    desk.shows("Everywhere");
    desk.type_in("audit");
    desk.shows("logs/console/run-1-0001.jsonl");
    desk.hides("the next faster");
    desk.press("esc");
    desk.hides("Everywhere");
}

#[test]
fn a_token_typed_by_hand_is_not_sent_as_a_line() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press(":");
    desk.type_in("escalate twn_a_secret");
    let tasks = desk.press("enter");
    assert_eq!(tasks, []);
    assert!(desk.sent.is_empty(), "{:?}", desk.sent);
    desk.shows("Become admin");
    desk.hides("secret");
}

#[test]
fn q_on_the_line_quits_too() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press(":");
    desk.type_in("q");
    assert_eq!(desk.press("enter"), [Task::Quit]);
}
