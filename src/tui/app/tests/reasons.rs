//! The reason of a command by key: suggested, from the history, required or left out; and what several exits come to.

use super::*;

fn asking(reason: ReasonPrompt) -> AppHarness {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.app.settings.reason = reason;
    ui.view(queued());
    ui
}

/// The snapshot with the reasons that a shard gives.
fn queued() -> Snapshot {
    let mut view = snapshot();
    view.employment.queue.iter_mut().for_each(|entry| entry.reason = "absences".into());
    view.audit.records.iter_mut().for_each(|record| record.reason = None);
    view
}

#[test]
fn several_exits_say_what_they_come_to_and_by_how_much_they_exceed_the_cap() {
    let mut ui = asking(ReasonPrompt::Optional);
    let mut view = queued();
    view.employment.exits_today = 1;
    view.employment.daily_exit_cap = 2;
    let entry = view.employment.queue[0].clone();
    view.employment.queue.push(ExitEntry { agent: "gwen".into(), approved: true, ..entry });
    ui.view(view.clone());
    ui.press("space space space a");
    ui.shows("Today's exit cap: 1 of 2 used, 1 approved before; these 3");
    ui.shows("make 5. That exceeds the cap by 3: an approved exit does not");
    ui.shows("wait for the cap.");
    ui.press("esc");
    view.employment.daily_exit_cap = 5;
    ui.view(view.clone());
    ui.press("a");
    ui.shows("make 5.");
    ui.hides("exceeds");
    // Other causes count against a limit of their own.
    (view.employment.all_exits_today, view.employment.all_exits_cap) = (3, Some(6));
    ui.view(view);
    ui.shows("That exceeds the limit on exits of all causes (6) by");
}

#[test]
fn a_question_that_is_cancelled_says_so() {
    let mut ui = asking(ReasonPrompt::Ask);
    ui.press("a");
    ui.type_in("abc");
    ui.press("tab enter");
    ui.shows("cancelled; nothing was sent");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("a");
    ui.type_in("abc");
    ui.press("enter enter");
    assert_eq!(ui.sent.len(), 1);
    ui.hides("cancelled");
}

#[test]
fn a_small_screen_shows_what_exits_come_to() {
    let mut ui = asking(ReasonPrompt::Optional);
    ui.size = (60, 18);
    ui.press("space space space a");
    ui.shows("Today's exit cap: ");
    ui.shows("exceeds the cap by 3: an approved exit does not wait");
    ui.shows("for the cap.");
}

#[test]
fn a_suggested_reason_is_sent_or_replaced() {
    let mut ui = asking(ReasonPrompt::Ask);
    ui.press("a");
    ui.shows("Reason for the audit log (optional");
    ui.shows("3 absences in 7 days");
    ui.shows("▸ cancel ◂");
    ui.press("enter");
    assert!(ui.sent.is_empty(), "cancel has the focus: {:?}", ui.lines());
    ui.press("a right enter");
    assert_eq!(ui.lines(), ["employment_exit approve ada --reason \"3 absences in 7 days\""]);
    ui.press("a");
    ui.type_in("no \"show\"");
    ui.press("enter");
    assert_eq!(ui.sent.len(), 1, "enter in the field goes on to the button");
    ui.press("enter");
    assert_eq!(ui.lines()[1], "employment_exit approve ada --reason \"no \\\"show\\\"\"");
    ui.press("a backspace enter enter");
    assert_eq!(ui.lines()[2], "employment_exit approve ada", "emptied");
}

#[test]
fn every_command_of_a_dialog_gets_the_reason() {
    let mut ui = asking(ReasonPrompt::Ask);
    ui.press("space space d");
    ui.type_in("talked");
    ui.press("enter enter");
    let lines = ["employment_exit defer ada --reason \"talked\"", "employment_exit defer ben --reason \"talked\""];
    assert_eq!(ui.lines(), lines);
}

#[test]
fn a_command_without_a_confirmation_asks_for_its_reason_alone() {
    let mut ui = asking(ReasonPrompt::Ask);
    ui.press("d");
    ui.shows("Ada stays, and the absences are forgiven.");
    ui.shows("enter send");
    ui.type_in("ill");
    ui.press("enter");
    assert_eq!(ui.lines(), ["employment_exit defer ada --reason \"ill\""]);
    ui.press("d enter");
    assert_eq!(ui.lines()[1], ui.lines()[0], "the latest reason of the same command is suggested");
    ui.press("a");
    ui.shows("3 absences in 7 days");
    ui.press("up");
    ui.shows("› ill");
    ui.press("esc");
    ui.app.settings.reason = ReasonPrompt::Optional;
    ui.press("d");
    assert_eq!(ui.lines()[2], "employment_exit defer ada", "nothing is asked");
}

#[test]
fn reasons_of_the_audit_log_are_offered() {
    let mut ui = asking(ReasonPrompt::Ask);
    let mut view = queued();
    let mut row = view.audit.records[0].clone();
    (row.command, row.reason) = ("employment_exit defer".into(), Some("moved away".into()));
    view.audit.records.push(row);
    ui.view(view);
    ui.press("d");
    ui.shows("› moved away");
}

#[test]
fn nothing_is_sent_without_a_required_reason() {
    let mut ui = asking(ReasonPrompt::Required);
    ui.press("d enter");
    ui.shows("Reason for the audit log (required");
    assert!(ui.sent.is_empty());
    ui.press("esc a backspace tab tab enter");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.type_in("fair");
    ui.press("enter enter");
    assert_eq!(ui.lines(), ["employment_exit approve ada --reason \"fair\""]);
}

#[test]
fn a_typed_command_is_confirmed_without_a_reason_unless_one_is_required() {
    let mut ui = asking(ReasonPrompt::Ask);
    ui.press(":");
    ui.type_in("kill ben");
    ui.press("enter");
    ui.hides("Reason for the audit log");
    ui.press("right enter");
    assert_eq!(ui.lines().last(), Some(&"kill ben"), "typed by hand, with --reason if wanted");
    let mut ui = asking(ReasonPrompt::Required);
    ui.press(":");
    ui.type_in("kill ben");
    ui.press("enter");
    ui.shows("▸ cancel ◂");
    ui.type_in("x");
    ui.press("enter enter");
    assert_eq!(ui.lines().last(), Some(&"kill ben --reason \"x\""));
}

#[test]
fn a_required_reason_is_asked_for_typed_lines_as_well() {
    let typed = |reason, line: &str| {
        let mut ui = asking(reason);
        ui.press("E :");
        ui.type_in(line);
        ui.sent.clear();
        ui.press("enter");
        ui
    };
    let mut ui = typed(ReasonPrompt::Required, "employment_exit defer ben");
    ui.shows("Reason for the audit log (required");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("enter");
    ui.shows("Reason for the audit log (required");
    ui.type_in("agreed");
    ui.press("enter");
    assert_eq!(ui.lines(), ["employment_exit defer ben --reason \"agreed\""]);
    for (reason, line) in [
        (ReasonPrompt::Required, "employment_exit defer ben --reason agreed"),
        (ReasonPrompt::Required, "blackout on"),
        (ReasonPrompt::Ask, "employment_exit defer ben"),
    ] {
        assert_eq!(typed(reason, line).lines(), [line], "{reason:?}");
    }
}
