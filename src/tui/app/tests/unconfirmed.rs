//! Commands without an answer: shown with their age, sent again, given up, and asked about before quitting.

use super::*;
use townlet_source::UnconfirmedCommand;
use townlet_wire::telemetry::Stepping;

fn late(cmd_id: &str, command: &str, maybe_received: bool) -> UnconfirmedCommand {
    UnconfirmedCommand {
        cmd_id: cmd_id.into(),
        command: command.into(),
        seconds: 12,
        retrying: true,
        maybe_received,
        why: "connection refused".into(),
    }
}

fn unconfirmed(ui: &mut AppHarness, list: Vec<UnconfirmedCommand>) {
    ui.app.update(Message::SourceEvent(SourceEvent::Unconfirmed(list)));
}

/// A remote shard with two commands that have no answer.
fn silent(size: (u16, u16)) -> AppHarness {
    let mut ui = AppHarness::new(Role::Admin, size);
    let (url, why) = ("http://x".to_owned(), "connection refused".to_owned());
    let link = Link::Reconnecting { url, in_seconds: 3, silent_seconds: Some(14), denied: false, stopped: false, why };
    ui.app.update(Message::SourceEvent(SourceEvent::Link(link)));
    unconfirmed(&mut ui, vec![late("0192aaaa-1", "kill ada", false), late("0192aaaa-2", "kill ben", true)]);
    ui
}

#[test]
fn commands_without_an_answer_are_counted_and_listed_with_their_age() {
    let mut ui = silent((120, 40));
    ui.shows("… 2 commands not confirmed");
    ui.shows("… kill ada  not confirmed for 12 s: connection refused");
    ui.press("u");
    ui.shows("▸ … kill ada");
    ui.shows("cmd_id 0192aaaa-1");
    ui.shows("It has not reached the shard; it is sent again for up to a minute.");
    ui.press("down");
    ui.shows("It may have been executed; it is sent again");
    assert_eq!(ui.press("r"), [Task::Resend("0192aaaa-2".into())]);
    assert_eq!(ui.press("x"), [Task::GiveUp("0192aaaa-2".into())]);
    unconfirmed(&mut ui, vec![late("0192aaaa-1", "kill ada", false)]);
    ui.shows("1 command not confirmed");
    unconfirmed(&mut ui, Vec::new());
    ui.shows("Every command has an answer");
    ui.shows("The Console pane has the answers, refusals too.");
    ui.hides("x give up");
    ui.press("esc u");
    ui.shows("every command is confirmed");
    ui.hides("not confirmed");
}

#[test]
fn keys_that_need_the_shard_at_once_are_in_brackets_while_it_is_silent() {
    let mut ui = silent((200, 60));
    for key in ["(p pause)", "(. step)", "(+- speed)"] {
        ui.shows(key);
    }
    ui.app.update(Message::SourceEvent(SourceEvent::Link(Link::Live { url: "http://x".into() })));
    ui.shows(" p pause  . step  +- speed ");
}

#[test]
fn the_count_stays_on_a_small_screen() {
    silent((80, 24)).shows("… 2 not confirmed");
    silent((60, 18)).shows("… 2 not confirmed");
}

#[test]
fn what_is_given_up_is_said_and_kept_in_the_history() {
    let mut ui = silent((120, 40));
    let error = ErrorBody::new("E_GIVEN_UP", "given up; it may have been executed.", "Look for its cmd_id.");
    let answer = Answer::new("0192aaaa-2", "kill ben", 0, Err(error));
    let tasks = ui.app.update(Message::SourceEvent(SourceEvent::Answer(answer)));
    assert_eq!(tasks, [Task::Remember("kill ben # given up 0192aaaa-2".into())]);
    ui.shows("given up; it may have been executed.");
    ui.shows("cmd 0192…aa-2");
}

#[test]
fn the_clock_stays_beside_everything_else() {
    let mut ui = silent((80, 24));
    let mut view = (**ui.app.view.as_ref().unwrap()).clone();
    (view.shard, view.day) = ("harbour-north".into(), 141);
    ui.app.update(Message::SourceEvent(SourceEvent::View(view.into())));
    ui.shows("Harbour-north · silent 14 s");
    ui.shows("2 not confirmed");
    ui.shows(" 09:38 ");
    ui.hides("day 141");
}

#[test]
fn quitting_with_unconfirmed_commands_asks_with_stay_in_focus() {
    let mut ui = silent((120, 40));
    assert_eq!(ui.press("q"), []);
    ui.shows("Quit with 2 commands not confirmed?");
    ui.shows("▸ stay ◂");
    assert_eq!(ui.press("enter"), []);
    assert_eq!(ui.press("q tab enter"), [Task::Quit]);
    assert_eq!(ui.app.given_up_lines(), ["kill ada # given up 0192aaaa-1", "kill ben # given up 0192aaaa-2"]);
    // A command that was sent a moment ago counts as well.
    unconfirmed(&mut ui, Vec::new());
    assert_eq!(ui.press("q"), [Task::Quit]);
    ui.press(":");
    ui.type_in("blackout on");
    ui.press("enter");
    assert_eq!(ui.press("q"), []);
    ui.shows("Quit with 1 command not confirmed?");
    ui.answer(done("id-12", "blackout on", "the power is off"));
}

#[test]
fn a_screen_that_shows_nothing_asks_in_its_own_words() {
    let mut ui = silent((30, 8));
    ui.shows("too small");
    assert_eq!(ui.press("q"), []);
    ui.shows("2 commands not confirmed");
    assert_eq!(ui.press("x"), []);
    ui.hides("not confirmed");
    assert_eq!(ui.press("q q"), [Task::Quit]);
}

#[test]
fn commands_carry_the_run_on_screen_and_a_question_does_not_outlive_it() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("d");
    assert_eq!(ui.sent[0].run_id.as_deref(), Some("run-1"));
    ui.press("a");
    ui.shows("Approve");
    let mut view = snapshot();
    view.run_id = "run-2".into();
    ui.view(view);
    ui.shows("the shard runs run-2 now; the question about the run before is closed");
    ui.press("tab enter");
    assert_eq!(ui.sent.len(), 1);
    ui.press("esc E d");
    assert_eq!(ui.sent[1].run_id.as_deref(), Some("run-2"));
}

#[test]
fn a_command_that_is_under_way_for_long_is_not_confirmed_either() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("d");
    ui.hides("not confirmed");
    let error = ErrorBody::new("E_IN_FLIGHT", "it is under way and not answered yet.", "");
    ui.answer(Answer::new("id-1", "employment_exit defer ada", 3_402, Err(error)));
    ui.shows("… 1 command not confirmed");
    ui.answer(done("id-1", "employment_exit defer ada", "done"));
    ui.hides("not confirmed");
}

#[test]
fn quitting_asks_while_the_town_cannot_be_saved() {
    let full = |size| {
        operations::changed(size, |view| {
            let why = "the journal cannot be written: no space left on device";
            let alert = |name: &str, message: &str| Alert {
                name: name.into(),
                severity: "critical".into(),
                message: message.into(),
                ..Alert::default()
            };
            // A shard raises an alert for each problem; this one is about something else.
            view.alerts = vec![alert("shard_degraded", why), alert("tick_late", "ticks begin late.")];
            let problems = vec![why.into(), "ticks begin late.".into()];
            (view.health.status, view.health.problems) = ("degraded".into(), problems);
            view.health.journal_tick = 3_200;
        })
    };
    let mut ui = full((80, 24));
    assert_eq!(ui.press("q"), []);
    ui.shows("Quit without saving?");
    ui.shows("║ the journal cannot be written: no space left on device");
    ui.hides("║ ticks begin late");
    ui.shows("A restart goes on from tick 3,200 or before");
    assert_eq!(ui.press("enter"), []);
    assert_eq!(ui.press("q tab enter"), [Task::Quit]);
    let mut small = full((30, 8));
    assert_eq!(small.press("q"), []);
    small.shows("the town is not saved");
    assert_eq!(small.press("q"), [Task::Quit]);
}

#[test]
fn quitting_asks_while_a_town_of_this_process_has_steps_to_do() {
    let stepping = |done| {
        let mut view = snapshot();
        view.clock.stepping = Some(Stepping { done, total: 507 });
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.view(view);
        ui
    };
    let mut ui = stepping(10);
    assert_eq!(ui.press("q"), []);
    ui.shows("╔ Quit? ");
    ui.shows("497 of 507 steps are not done.");
    assert_eq!(ui.press("enter"), [], "stay has the focus");
    assert_eq!(ui.press("q tab enter"), [Task::Quit]);
    assert_eq!(stepping(507).press("q"), [Task::Quit]);
    // A remote town goes on with them.
    let mut ui = stepping(10);
    ui.app.update(Message::SourceEvent(SourceEvent::Link(Link::Live { url: "http://x".into() })));
    assert_eq!(ui.press("q"), [Task::Quit]);
    let mut ui = stepping(10);
    ui.size = (30, 8);
    ui.screen();
    assert_eq!(ui.press("q"), []);
    ui.shows("497 steps left; again quits");
    assert_eq!(ui.press("q"), [Task::Quit]);
}
