//! What leaves the log: filtered, whole, harmless, and said to be redacted when it is.

use super::*;

fn exported(dir: &Path, filter: &Filter, format: Format, redact: Option<Redact<'_>>) -> (Exported, String) {
    let mut out = Vec::new();
    let exported = export(dir, filter, format, redact, &mut out).expect("written");
    (exported, String::from_utf8(out).unwrap())
}

fn at(minutes: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(START + minutes * MINUTE).ok()
}

#[test]
fn json_lines_are_the_log_itself() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let (_, text) = exported(dir.path(), &Filter::default(), Format::Jsonl, None);
    assert_eq!(text.as_bytes(), std::fs::read(dir.path().join("r-0001.jsonl")).unwrap());
}

#[test]
fn every_filter_takes_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    for (issuer, command, status) in
        [("tui:ada", "spawn", Status::Ok), ("token:7", "kill", Status::Error), ("tui:ada", "kill", Status::DryRun)]
    {
        let mut entry = Record::of(&session(issuer), "", command, json!({}));
        (entry.stage, entry.status) = (Stage::Outcome, Some(status));
        log.append_and_wait(entry, true).unwrap();
    }
    drop(log);
    let none = Filter::default;
    for (filter, expected) in [
        (none(), vec![1, 2, 3]),
        (Filter { since: at(1), ..none() }, vec![2, 3]),
        (Filter { until: at(1), ..none() }, vec![1]),
        (Filter { issuer: Some("tui:ada".into()), ..none() }, vec![1, 3]),
        (Filter { command: Some("il".into()), ..none() }, vec![2, 3]),
        (Filter { status: Some(Status::DryRun), ..none() }, vec![3]),
        (Filter { since: at(1), issuer: Some("tui".into()), ..none() }, vec![]),
    ] {
        let (exported, text) = exported(dir.path(), &filter, Format::Jsonl, None);
        let seqs: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
        assert_eq!((exported.records, &seqs), (expected.len() as u64, &expected), "{filter:?}");
    }
}

#[test]
fn a_spreadsheet_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    for reason in ["=1+1", "  @x", "-1", "a,\"b\"", "plain", "\t=1"] {
        log.append_and_wait(Record { reason: Some(reason.into()), ..intent("x") }, true).unwrap();
    }
    drop(log);
    let (_, text) = exported(dir.path(), &Filter::default(), Format::Csv, None);
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(rows[0].starts_with("v,seq,ts,") && rows[0].ends_with(",hash,redacted"));
    let cells = ["\"'=1+1\"", "\"'  @x\"", "\"'-1\"", "\"a,\"\"b\"\"\"", "plain", "\\u{9}=1"];
    for (row, cell) in rows[1..].iter().zip(cells) {
        assert!(row.contains(&format!(",{cell},intent,")), "{row} without {cell}");
    }
    assert_eq!(rows.len(), 7);
}

#[test]
fn a_redacted_export_says_so() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    let hide: Redact<'_> = &|record| {
        record.issuer = String::from("h:1");
        record.args = json!({});
        record.result = None;
    };
    let (_, text) = exported(dir.path(), &Filter::default(), Format::Jsonl, Some(hide));
    assert!(!text.to_lowercase().contains("ada"));
    assert!(text.lines().all(|line| line.ends_with(",\"redacted\":true}")));
    let (_, text) = exported(dir.path(), &Filter::default(), Format::Csv, Some(hide));
    assert!(text.lines().skip(1).all(|line| line.ends_with(",true")));
}

#[test]
fn a_damaged_line_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let path = dir.path().join("r-0001.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (exported, text) = exported(dir.path(), &Filter::default(), Format::Jsonl, None);
    assert_eq!((exported.records, text.lines().count()), (3, 3));
    assert_eq!((exported.damaged[0].file.as_str(), exported.damaged[0].line), ("r-0001.jsonl", 1));
}
