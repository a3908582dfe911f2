//! The console line, the prompts, the palette and the help by keystroke.

use serde_json::json;
use townlet_wire::Answer;

use super::*;

#[test]
fn the_console_completes_previews_and_sends() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press(":");
    ui.type_in("employment_exit d");
    ui.press("tab");
    ui.type_in("cl");
    let tasks = ui.press("tab");
    let preview = "employment_exit defer cleo ";
    let Some(Task::Send(request, RequestPurpose::Preview(text))) = tasks.first() else {
        panic!("no preview: {tasks:?}")
    };
    assert!(request.dry_run && request.query && text == preview, "{request:?}");
    let id = format!("id-{}", ui.sent.len());
    let preview_of = Answer { status: Status::DryRun, ..done(&id, preview, "Cleo stays and 4 absences are forgiven") };
    ui.answer(preview_of);
    ui.shows("≈ preview: Cleo stays and 4 absences are forgiven");
    let tasks = ui.press("enter");
    assert_eq!(tasks[0], Task::Remember("employment_exit defer cleo".into()));
    assert_eq!(ui.lines().last(), Some(&"employment_exit defer cleo"));
    ui.press(": up");
    ui.shows("› employment_exit defer cleo");
    ui.press("up up");
    ui.shows("› kpi");
    ui.press("esc : up");
    ui.shows("› employment_exit defer cleo");
    ui.press("esc a");
    ui.shows("Approve exit");
}

#[test]
fn a_line_that_is_certain_to_be_refused_asks_nothing() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press(":");
    ui.type_in("kill zzz");
    let id = format!("id-{}", ui.sent.len());
    let error = townlet_wire::ErrorBody::new("E_NOT_FOUND", "there is no resident `zzz`.", "");
    ui.answer(Answer::new(&id, "kill zzz", 3_402, Err(error)));
    ui.press("enter");
    ui.hides("This cannot be undone");
    assert!(
        ui.lines().last() == Some(&"kill zzz") && !ui.sent[ui.sent.len() - 1].dry_run,
        "the shard says no, and logs it"
    );
}

#[test]
fn pasted_lines_are_parted_by_a_blank() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    for (pasted, shown) in [("setmoney ada 2\r5", "› setmoney ada 2 5"), ("price meal\r\n2", "› price meal 2")] {
        ui.press(":");
        ui.app.update(Message::Paste(pasted.into()));
        ui.shows(shown);
        ui.press("esc");
    }
}

#[test]
fn late_previews_are_dropped() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press(":");
    ui.type_in("blackout on");
    let early = format!("id-{}", ui.sent.len());
    ui.press("backspace backspace");
    ui.type_in("off");
    let late = format!("id-{}", ui.sent.len());
    ui.answer(done(&late, "blackout off", "the lights go on"));
    ui.answer(done(&early, "blackout on", "the lights go out"));
    ui.shows("≈ preview: the lights go on");
    ui.hides("the lights go out");
}

#[test]
fn a_preview_ends_with_the_connection_that_it_came_by() {
    let link = |ui: &mut AppHarness, link: Link| {
        let tasks = ui.app.update(Message::SourceEvent(SourceEvent::Link(link)));
        ui.carry_out(&tasks);
        tasks.iter().filter(|task| matches!(task, Task::Send(request, _) if request.dry_run)).count()
    };
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let (url, why) = ("http://x".to_owned(), "E_UNAUTHORIZED".to_owned());
    link(&mut ui, Link::Live { url: url.clone() });
    ui.press(":");
    ui.type_in("kill ada");
    let answered = |ui: &mut AppHarness, text: &str| {
        let id = format!("id-{}", ui.sent.len());
        ui.answer(done(&id, "kill ada", text));
    };
    answered(&mut ui, "Ada leaves town at once");
    ui.shows("≈ preview: Ada leaves town at once");
    let lost = Link::Reconnecting {
        url: url.clone(),
        in_seconds: 3,
        silent_seconds: Some(1),
        denied: true,
        stopped: false,
        why,
    };
    assert_eq!(link(&mut ui, lost.clone()), 1, "it is asked for again");
    ui.hides("Ada leaves town at once");
    assert_eq!(link(&mut ui, lost), 0);
    assert_eq!(link(&mut ui, Link::Live { url }), 1);
    answered(&mut ui, "Ada leaves soon");
    ui.shows("≈ preview: Ada leaves soon");
}

#[test]
fn a_line_that_was_typed_for_one_run_is_not_sent_to_another() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let run = |ui: &mut AppHarness, run_id: &str| ui.view(Snapshot { run_id: run_id.into(), ..snapshot() });
    run(&mut ui, "run-1");
    ui.press(":");
    ui.type_in("price meal 2");
    run(&mut ui, "run-1");
    ui.shows("› price meal 2");
    run(&mut ui, "run-2");
    ui.hides("› price meal 2");
    ui.shows("the shard runs run-2 now; the line for the run before is closed, ↑ has it");
    // The rest of the line is no keys.
    ui.press("p . q");
    assert!(ui.sent.iter().all(|request| request.dry_run), "{:?}", ui.lines());
    ui.press("esc : up");
    ui.shows("› price meal 2");
    ui.press("enter");
    assert_eq!(ui.sent.last().and_then(|request| request.run_id.as_deref()), Some("run-2"));
}

#[test]
fn a_long_preview_is_wrapped_and_cut_with_a_sign() {
    for size in SIZES {
        for key in ["C", "R"] {
            let mut ui = AppHarness::new(Role::Admin, size);
            ui.press(key);
            ui.press(":");
            ui.type_in("blackout on");
            let id = format!("id-{}", ui.sent.len());
            ui.answer(done(&id, "blackout on", &format!("{}the end.", "twelve words ".repeat(17))));
            ui.shows("≈ preview: twelve");
            ui.shows("the end.");
            ui.shows("› blackout on");
            ui.type_in(" ");
            let id = format!("id-{}", ui.sent.len());
            ui.answer(done(&id, "blackout on ", &format!("{}the end.", "twelve words ".repeat(170))));
            ui.hides("the end.");
            let screen = ui.screen();
            assert!(screen.lines().any(|line| line.contains("words") && line.contains('…')), "{screen}");
        }
    }
}

#[test]
fn a_refusal_by_the_client_names_no_tick() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let error = ErrorBody::new("E_UNREACHABLE", "the shard is not connected.", "The client reconnects automatically.");
    ui.answer(Answer::by_client("0192aaaa-bbbb", "kpi", error));
    ui.shows("✗ E_UNREACHABLE the shard is not connected. The client reconnects automatically. · cmd 0192…bbbb");
    ui.press("C enter");
    ui.shows("tick     –");
    ui.shows("the shard has not answered");
    ui.hides("tick 0");
    let tasks = ui.press("esc e");
    let [Task::Export(_, files)] = &tasks[..] else { panic!("{tasks:?}") };
    assert!(files[0].text.lines().nth(1).unwrap().starts_with(",kpi,error,"), "{}", files[0].text);
}

#[test]
fn a_destructive_line_asks_for_confirmation() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press(":");
    ui.type_in("kill ada");
    ui.press("enter");
    ui.shows("This cannot be undone");
    ui.shows("A resident collapses at once.");
    let before = ui.sent.len();
    ui.press("enter");
    assert_eq!(ui.sent.len(), before);
}

#[test]
fn enter_closes_the_line_and_the_pane_gets_the_next_key() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("U :");
    ui.type_in("employment_status");
    ui.press("enter");
    ui.answer(done("id-1", "employment_status", "3 wait, 2 of 2 exits today"));
    ui.shows("┏ Queues");
    ui.shows("› press : to type a command");
    ui.shows("✓ 3 wait, 2 of 2 exits today · tick 3,402 · cmd id-1");
    ui.press("E a");
    ui.shows("Approve exit");
    ui.press("esc : enter");
    ui.shows("› press : to type a command");
    ui.press(":");
    ui.type_in("kill ada");
    ui.press("enter n a");
    ui.shows("Approve exit");
}

#[test]
fn the_result_of_an_answer_is_shown_as_names_and_tables() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let waiting = json!([{ "agent": "ada", "tick": 1_200 }, { "agent": "ben", "tick": 7 }]);
    let result = json!({ "summary": "2 wait.", "limit": 4, "waiting": waiting });
    ui.press("C");
    ui.answer(Answer { result: Some(result), ..done("id-1", "employment_status", "") });
    ui.press("enter");
    for row in ["answer   ✓ 2 wait.", "limit  4", "waiting:", "  agent  tick", "  ada    1,200", "  ben    7"] {
        ui.shows(row);
    }
    ui.hides("\"agent\"");
}

#[test]
fn the_shard_refuses_a_viewer_without_confirmation() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(":");
    ui.type_in("kill ada");
    ui.press("enter");
    assert_eq!(ui.lines().last(), Some(&"kill ada"));
    ui.hides("This cannot be undone");
    let id = format!("id-{}", ui.sent.len());
    ui.answer(refused(&id, "kill ada"));
    ui.shows("✗ E_FORBIDDEN This command needs the admin role. Run `escalate`.");
}

#[test]
fn a_destructive_line_asks_while_escalate_is_pending() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(":");
    ui.type_in("escalate --reason backlog");
    ui.press("enter :");
    ui.type_in("kill ada");
    ui.press("enter");
    ui.shows("This cannot be undone");
    assert!(ui.sent.last().unwrap().dry_run, "{:?}", ui.lines());
}

#[test]
fn a_token_is_masked_and_not_stored() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.app.hello.requires_token = true;
    ui.press(":");
    ui.type_in("escalate");
    let tasks = ui.press("enter");
    assert_eq!(tasks, []);
    ui.type_in("twn_a_secret");
    ui.hides("secret");
    ui.shows("••••••••••••");
    ui.press("enter");
    let request = ui.sent.last().unwrap();
    assert_eq!((request.command.as_str(), request.secret.as_deref()), ("escalate", Some("twn_a_secret")));
    ui.press(": up up up");
    ui.hides("escalate");
}

#[test]
fn without_tokens_a_reason_is_asked_for() {
    let mut ui = AppHarness::new(Role::Viewer, (80, 24));
    ui.press(":");
    ui.type_in("escalate");
    ui.press("enter enter");
    assert!(ui.sent.is_empty());
    ui.type_in("a \"backlog\"");
    ui.press("enter");
    assert_eq!(ui.lines(), ["escalate --reason \"a \\\"backlog\\\"\""]);
    assert_eq!(townlet_wire::command_line::words(&ui.sent[0].command).unwrap()[2], "a \"backlog\"");
}

#[test]
fn the_palette_matches_fuzzily() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("ctrl-p");
    ui.type_in("emstat");
    ui.shows("▸ employment_status");
    ui.press("enter");
    assert_eq!(ui.lines(), ["employment_status"]);
    ui.press("ctrl-p");
    ui.type_in("explain");
    ui.press("enter");
    ui.shows("› explain");
    ui.press("esc ctrl-p");
    ui.type_in("audit log");
    ui.press("enter");
    assert_eq!(ui.app.screen, Screen::Audit);
}

#[test]
fn help_can_be_searched_and_lists_paths() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("?");
    ui.shows("Everywhere");
    ui.type_in("audit");
    ui.shows("logs/console/run-1-0001.jsonl");
    ui.hides("next faster speed");
    ui.press("esc");
    ui.hides("Everywhere");
}

#[test]
fn a_token_typed_by_hand_is_not_sent_as_a_line() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(":");
    ui.type_in("escalate twn_a_secret");
    let tasks = ui.press("enter");
    assert_eq!(tasks, []);
    assert!(ui.sent.is_empty(), "{:?}", ui.sent);
    ui.shows("Become admin");
    ui.hides("secret");
}

#[test]
fn q_on_the_line_quits_too() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(":");
    ui.type_in("q");
    assert_eq!(ui.press("enter"), [Task::Quit]);
}

#[test]
fn ctrl_r_searches_the_history() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press(":");
    ui.type_in("draft");
    ui.press("ctrl-r");
    ui.type_in("K");
    ui.shows("history › K");
    ui.shows("› kpi");
    ui.press("backspace k p");
    ui.shows("› kpi");
    ui.press("backspace backspace e");
    ui.shows("› employment_status");
    ui.press("ctrl-r");
    ui.shows("no line of the history contains it");
    ui.press("esc");
    ui.shows("› draft");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("ctrl-r k p enter");
    assert!(ui.lines().iter().all(|line| *line != "kpi"), "enter takes the line, it does not send it");
    ui.press("enter");
    assert_eq!(ui.lines().last(), Some(&"kpi"));
}

#[test]
fn global_search_opens_the_place_of_what_is_found() {
    for (typed, screen, words) in [
        ("resident gwen", Screen::Agents, "Residents · Gwen"),
        ("object shower_1", Screen::Operations, "▸"),
        ("place park", Screen::Town, "park (park)"),
        ("alert exit_cap", Screen::Operations, "exit cap reached"),
        ("metric tenure", Screen::Metrics, "▸"),
        ("audit defer", Screen::Audit, "employment_exit defer"),
        ("screen Economy", Screen::Economy, "Goods"),
        ("price of meal", Screen::Economy, "price of meal"),
    ] {
        let mut ui = AppHarness::new(Role::Viewer, (120, 40));
        ui.press("2 ctrl-f");
        ui.shows("Search");
        ui.type_in(typed);
        ui.press("enter");
        assert_eq!(ui.app.screen, screen, "{typed}");
        ui.shows(words);
    }
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("ctrl-f");
    ui.type_in("audit defer");
    let found = ui.screen().lines().filter(|line| line.contains("audit employment_exit defer")).count();
    assert_eq!(found, 1, "intent and outcome are one command: {}", ui.screen());
    ui.press("esc");
    ui.press("ctrl-f");
    ui.type_in("shower_1");
    ui.press("enter enter");
    ui.shows("Queue: shower_1");
    // The search says that it does not see the whole log.
    ui.press("q");
    let mut view = snapshot();
    view.audit.records.iter_mut().for_each(|record| record.seq += 4_809);
    view.audit.seq = 4_812;
    ui.view(view);
    ui.press("ctrl-f");
    ui.shows("Search · audit log: newest 3 of 4,812 lines");
    ui.type_in("teleport");
    ui.press("enter");
    ui.shows("› teleport");
}
