//! Earlier lines of the audit log, from key to screen.

use super::*;
use townlet_source::AuditPageRequest;
use townlet_wire::telemetry::AuditRow;

fn line(seq: u64) -> AuditRow {
    let (command, hash) = (format!("read_{seq}"), format!("{seq:x}"));
    AuditRow { seq, command, hash, stage: "outcome".into(), status: "ok".into(), ..AuditRow::default() }
}

/// A state whose log ends with this line and the 199 before it.
fn ending_at(seq: u64) -> Snapshot {
    let mut view = snapshot();
    view.audit.records = (seq - 199..=seq).map(line).collect();
    view.audit.seq = seq;
    view
}

/// The Audit screen of a log of 1,716 lines, with the oldest command that is known selected.
fn at_the_oldest() -> AppHarness {
    let mut ui = AppHarness::new(Role::Viewer, (120, 24));
    ui.view(ending_at(1_716));
    ui.press("6 home");
    ui.shows("1 of 200 · newest 200 of 1,716 lines");
    ui
}

/// Presses a key that asks for earlier lines.
#[track_caller]
fn asked(ui: &mut AppHarness, key: &str) -> AuditPageRequest {
    match ui.press(key).as_slice() {
        [Task::LoadAuditPage(request)] => request.clone(),
        tasks => panic!("{tasks:?}"),
    }
}

fn give(ui: &mut AppHarness, id: u64, records: Result<Vec<AuditRow>, String>) {
    ui.app.update(Message::SourceEvent(SourceEvent::AuditPage { id, records }));
}

#[test]
fn going_up_loads_earlier_lines_to_the_first_one() {
    let mut ui = at_the_oldest();
    let request = asked(&mut ui, "up");
    assert_eq!((request.seq, request.run_id.as_str()), (1_517, ui.app.view.as_ref().unwrap().run_id.as_str()));
    ui.shows("loading earlier lines…");
    for key in ["up", "pageup", "home"] {
        assert!(ui.press(key).is_empty(), "{key}: once at a time");
    }
    // The log goes on while they are under way.
    ui.view(ending_at(1_720));
    give(&mut ui, request.id, Ok((1_317..1_517).map(line).collect()));
    ui.shows("Audit log · 201 of 404 · newest 404 of 1,720 lines ");
    ui.hides("loading");
    let selected =
        |ui: &mut AppHarness| ui.screen().lines().find(|row| row.contains('▸')).unwrap_or_default().to_owned();
    assert!(selected(&mut ui).contains("read_1517"), "{}", ui.screen());
    ui.press("up");
    assert!(selected(&mut ui).contains("read_1516"), "{}", ui.screen());
    ui.press("home");
    let request = asked(&mut ui, "home");
    give(&mut ui, request.id, Ok((1..1_317).map(line).collect()));
    ui.shows("Audit log · 1,317 of 1,720 ");
    ui.hides("newest 1,720");
    ui.press("home");
    assert!(ui.press("home").is_empty(), "the first line is here");
    ui.shows("read_1 ");
}

#[test]
fn a_failure_is_said_and_one_can_ask_again() {
    let mut ui = at_the_oldest();
    let request = asked(&mut ui, "pageup");
    give(&mut ui, request.id, Err("http://x: connection refused".into()));
    ui.shows("earlier lines cannot be loaded: http://x: connection refused");
    ui.hides("loading earlier lines…");
    ui.shows("newest 200 of 1,716 lines");
    assert_eq!(asked(&mut ui, "pageup").seq, 1_517);
}

#[test]
fn other_names_and_another_run_drop_what_was_loaded() {
    let mut hidden = ending_at(1_717);
    hidden.agents.iter_mut().for_each(|agent| agent.id = format!("r{}", agent.id));
    let another = Snapshot { run_id: "another".into(), ..ending_at(1_717) };
    for next in [hidden, another] {
        let mut ui = at_the_oldest();
        let request = asked(&mut ui, "up");
        give(&mut ui, request.id, Ok((1_317..1_517).map(line).collect()));
        ui.press("home");
        let late = asked(&mut ui, "up");
        ui.view(next);
        ui.shows("newest 200 of 1,717 lines");
        ui.hides("read_13");
        give(&mut ui, late.id, Ok((1_117..1_317).map(line).collect()));
        ui.shows("newest 200 of 1,717 lines");
        ui.hides("loading");
    }
}
