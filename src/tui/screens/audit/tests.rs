//! The Audit screen by keystroke and picture.

use serde_json::json;

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use townlet_wire::Snapshot;
use townlet_wire::telemetry::AuditRow;

fn line(seq: u64, id: &str, stage: &str, status: &str, command: &str, args: serde_json::Value) -> AuditRow {
    let ends = stage == "outcome" && !id.is_empty();
    AuditRow {
        seq,
        ts: format!("2026-03-01T09:38:{:02}Z", seq % 60),
        cmd_id: if id.is_empty() { String::new() } else { format!("0192a1b2-7c00-7000-8000-0000000000{id}") },
        issuer: if seq.is_multiple_of(2) { "tui:operator" } else { "script:rounds" }.into(),
        role: "admin".into(),
        transport: "local".into(),
        command: command.into(),
        args,
        stage: stage.into(),
        status: status.into(),
        tick: 3_390 + seq,
        digest_before: if ends { "a1b2c3d4e5f60718".into() } else { String::new() },
        digest_after: if ends { "b7c8d9e0f1a20394".into() } else { String::new() },
        hash: format!("{seq:064x}"),
        ..AuditRow::default()
    }
}

/// One of every status there is.
fn log() -> Snapshot {
    let mut view = fixtures::snapshot();
    let ada = || json!({"agent": "ada"});
    let mut records = vec![
        line(10, "", "rotate", "", "", json!(null)),
        line(11, "a0", "intent", "", "employment_exit approve", ada()),
        line(12, "b0", "outcome", "ok", "employment_status", json!(null)),
        line(13, "a0", "outcome", "ok", "employment_exit approve", ada()),
        line(14, "c0", "rejected", "error", "employment_exit defer", json!({"agent": "bem"})),
        line(15, "d0", "intent", "", "setneed", json!({"agent": "ada", "need": "hunger", "value": 0.5})),
        line(16, "d0", "abort", "error", "setneed", json!({"agent": "ada", "need": "hunger", "value": 0.5})),
        line(17, "e0", "outcome", "dry_run", "promote_policy", json!({"checkpoint": "sh-91c0"})),
        line(18, "f0", "intent", "", "teleport", json!({"agent": "ada", "place": "cafe"})),
    ];
    records[1].reason = Some("moved away".into());
    records[4].error = "E_NOT_FOUND no resident is called `bem`".into();
    records[4].role = "viewer".into();
    view.audit.records = records;
    view.audit.seq = 18;
    view
}

#[test]
fn lines_of_the_log_itself_are_in_words() {
    let seal = json!({
        "key_id": "bcb90f868db0c30d", "number": 1004, "run_id": "r", "from": 12, "seq": 20, "hash": "ab".repeat(32),
        "at": "2026-03-01T09:38:00Z", "cause": "left_open", "mac": "cd".repeat(32),
    });
    let mut view = log();
    view.audit.records = vec![line(21, "", "seal", "", "audit", seal)];
    let harness = PaneHarness::new(&view);
    let mut pane = AuditLog::default();
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("seal 1,004: lines 12–20 (left open)"), "{text}");
    harness.act(&mut pane, Action::Open);
    // The whole record, also what is wider than a line.
    let text = harness.text(&mut pane, (62, 24)).replace(['┃', '\n', ' '], "");
    assert!(text.contains(&"cd".repeat(32)) && text.contains(&"ab".repeat(32)), "{text}");
}

#[test]
fn pictures() {
    let harness = PaneHarness::new(&log());
    for size in SIZES {
        insta::assert_snapshot!(
            format!("audit_{}x{}", size.0, size.1),
            harness.picture(&mut AuditLog::default(), size)
        );
    }
    let mut pane = AuditLog::default();
    harness.act(&mut pane, Action::First);
    harness.act(&mut pane, Action::Down);
    harness.act(&mut pane, Action::Open);
    insta::assert_snapshot!("audit_record", harness.text(&mut pane, SIZES[0]));
    insta::assert_snapshot!(
        "audit_empty",
        PaneHarness::new(&fixtures::bare()).text(&mut AuditLog::default(), SIZES[0])
    );
}

#[test]
fn times_are_those_of_the_zone_and_the_head_says_its_offset() {
    let mut harness = PaneHarness::new(&log());
    harness.zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let mut pane = AuditLog::default();
    let text = harness.text(&mut pane, SIZES[2]);
    assert!(text.contains(" UTC+1 ") && text.contains("10:38:18") && !text.contains("09:38"), "{text}");
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("2026-03-01 10:38:18 UTC+1"), "{text}");
}

#[test]
fn intent_and_outcome_are_one_command_with_its_sign() {
    let text = PaneHarness::new(&log()).text(&mut AuditLog::default(), SIZES[0]);
    let approve: Vec<&str> = text.lines().filter(|line| line.contains("employment_exit approve")).collect();
    assert_eq!(approve.len(), 1, "{text}");
    assert!(approve[0].contains("✓      3,403 employment_exit approve ada"), "the tick of the outcome\n{text}");
    assert!(text.contains("“moved away” · digest a1b2…0718 → b7c8…0394"), "{text}");
    for sign in ["✗", "⊘", "≈", "…"] {
        assert!(text.contains(sign), "{sign}\n{text}");
    }
    for word in ["rejected · E_NOT_FOUND", "aborted", "dry run", "in flight"] {
        assert!(text.contains(word), "{word}\n{text}");
    }
}

#[test]
fn the_newest_is_followed_until_one_looks_up_and_again_from_the_end() {
    let mut harness = PaneHarness::new(&log());
    let mut pane = AuditLog::default();
    assert!(harness.text(&mut pane, SIZES[0]).contains("following newest"));
    harness.act(&mut pane, Action::Up);
    let id = Reaction::Copy("0192a1b2-7c00-7000-8000-0000000000e0".into());
    assert_eq!(harness.act(&mut pane, Action::Copy), id);
    harness.view.audit.records.push(line(19, "g0", "outcome", "ok", "debug queues", json!(null)));
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("paused · 2 newer commands below · end to follow"), "{text}");
    assert_eq!(harness.act(&mut pane, Action::Copy), id, "what is selected stays selected");
    harness.act(&mut pane, Action::Down);
    assert!(harness.text(&mut pane, SIZES[0]).contains("paused · 1 newer command below"));
    harness.act(&mut pane, Action::Down);
    assert!(harness.text(&mut pane, SIZES[0]).contains("following newest"), "down to the last follows as well");
    harness.act(&mut pane, Action::Up);
    harness.act(&mut pane, Action::Last);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("following newest") && text.contains("debug queues"), "{text}");
    harness.act(&mut pane, Action::First);
    assert!(matches!(harness.act(&mut pane, Action::Copy), Reaction::Status(_)), "a rotation has no cmd_id");
}

#[test]
fn a_list_longer_than_the_screen_scrolls_with_the_selection() {
    let mut view = log();
    for seq in 19..80 {
        view.audit.records.push(line(seq, &seq.to_string(), "outcome", "ok", &format!("read_{seq}"), json!(null)));
    }
    let harness = PaneHarness::new(&view);
    let mut pane = AuditLog::default();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("read_79") && !text.contains("read_19"), "{text}");
    harness.act(&mut pane, Action::First);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("rotate") && !text.contains("read_79"), "{text}");
    for _ in 0..3 {
        harness.act(&mut pane, Action::PageDown);
        harness.draw(&mut pane, SIZES[0]);
    }
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.lines().any(|line| line.contains('▸')), "{text}");
}

#[test]
fn the_filter_finds_issuers_and_statuses() {
    let mut harness = PaneHarness::new(&log());
    let mut shown = |filter: &str| {
        harness.filter = filter.into();
        harness.text(&mut AuditLog::default(), SIZES[0])
    };
    let text = shown("status:rejected");
    assert!(text.contains("1 match") && text.contains("employment_exit defer") && !text.contains("setneed"), "{text}");
    let text = shown("issuer:tui employment");
    assert!(text.contains("2 match") && !text.contains("approve"), "{text}");
    assert!(shown("moved").contains("approve"));
    assert!(shown("status:nothing").contains("No commands match the filter in the newest 9 of 18 lines"));
}

#[test]
fn a_part_of_the_log_is_not_called_all_of_it() {
    let mut harness = PaneHarness::new(&log());
    harness.view.audit.seq = 1_716;
    let text = harness.text(&mut AuditLog::default(), SIZES[0]);
    assert!(text.contains("Audit log · 7 of 7 · newest 9 of 1,716 lines"), "{text}");
    harness.filter = "set_exit_cap".into();
    let text = harness.text(&mut AuditLog::default(), SIZES[0]);
    assert!(text.contains("Audit log · newest 9 of 1,716 lines"), "{text}");
    assert!(text.contains("No commands match the filter in the newest 9 of 1,716 lines of the log."), "{text}");
    assert!(text.contains("Earlier lines: `townlet audit export`"), "{text}");
    // A log that is here from its first line on is all of it.
    for (seq, record) in (1..).zip(&mut harness.view.audit.records) {
        record.seq = seq;
    }
    harness.view.audit.seq = 9;
    let text = harness.text(&mut AuditLog::default(), SIZES[0]);
    assert!(text.contains("No commands match the filter.") && !text.contains("newest 9"), "{text}");
}

#[test]
fn an_unwritable_log_says_so_and_what_it_means() {
    let mut view = log();
    view.audit.state = "the disk is full: \u{1b}[2Jno space left on device".into();
    let text = PaneHarness::new(&view).text(&mut AuditLog::default(), SIZES[0]);
    assert!(text.contains("✗ AUDIT UNAVAILABLE: the disk is full: \\u{1b}[2Jno space"), "{text}");
    assert!(text.contains("are refused until the log is writable"), "{text}");
}

#[test]
fn enter_shows_both_records_and_what_is_read_stays() {
    let mut harness = PaneHarness::new(&log());
    let mut pane = AuditLog::default();
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains(" paused · end to follow"), "nothing newer is not worth a number\n{text}");
    harness.view.audit.records.push(line(19, "g0", "outcome", "ok", "debug queues", json!(null)));
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("teleport") && !text.contains("debug queues"), "{text}");
    harness.act(&mut pane, Action::Back);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("debug queues"), "{text}");
}

#[test]
fn records_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let mut view = log();
    for record in &mut view.audit.records {
        record.issuer = "\u{1b}[31mroot".into();
        record.command.push('\u{7}');
        record.args = json!({"reason": "\u{9b}2J"});
        record.error = "\u{1b}]52;c;x\u{7}".into();
        record.reason = Some("\u{202e}abc".into());
    }
    let harness = PaneHarness::new(&view);
    for open in [false, true] {
        for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (200, 56)] {
            let mut pane = AuditLog::default();
            pane.details.open = open;
            let text = harness.text(&mut pane, size);
            let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
            assert!(!text.chars().any(bad), "{text:?}");
        }
    }
}

#[test]
fn a_log_is_called_written_only_while_connected() {
    let mut harness = PaneHarness::new(&log());
    let head = |harness: &PaneHarness| harness.text(&mut AuditLog::default(), SIZES[1]);
    assert!(head(&harness).contains("✓ written and chained"));
    harness.connected = false;
    let text = head(&harness);
    assert!(text.contains("? last known: written and chained") && !text.contains("✓ written"), "{text}");
    harness.connected = true;
    harness.record();
    let text = head(&harness);
    assert!(text.contains("as recorded, not verified") && !text.contains("written and chained"), "{text}");
    harness.view.audit.state = "2 lines of the audit log are damaged and left out".into();
    let text = head(&harness);
    assert!(text.contains("✗ 2 lines of the audit log are damaged and left out"), "{text}");
    assert!(text.contains("`townlet audit verify` checks the log.") && !text.contains("refused until"), "{text}");
}

#[test]
fn the_lines_of_the_log_itself_are_sentences() {
    let mut harness = PaneHarness::new(&log());
    let begin = json!({"number": 1, "after": null});
    harness.view.audit.records.insert(0, line(9, "", "begin", "ok", "audit", begin));
    let rotate = json!({"from": "harbour-0001.jsonl", "seq": 9, "cause": "full", "dropped": 0});
    harness.view.audit.records[1] = line(10, "", "rotate", "ok", "audit", rotate);
    let text = harness.text(&mut AuditLog::default(), SIZES[1]);
    assert!(text.contains("run 1 of this home begins") && text.contains("new log file: full"), "{text}");
    assert!(!text.contains("null") && !text.contains("dropped"), "{text}");
}
