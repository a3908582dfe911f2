//! All writers share one chain, and every record has one form.

use std::sync::Arc;
use std::sync::mpsc;

use proptest::prelude::*;

use super::*;

#[test]
fn the_keys_stand_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    let line = String::from_utf8(lines(&dir.path().join("r-0001.jsonl"))[1].clone()).unwrap();
    let value: Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    let expected = "v seq ts shard config_id cmd_id issuer role transport command args reason stage status error result \
                    run_id tick digest_before digest_after prev hash";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(value["ts"], "2027-01-15T08:01:00.000Z");
    assert_eq!(value["prev"], read(dir.path())[0].hash.as_str());
    assert_eq!(read(dir.path())[0].prev, GENESIS);
}

#[test]
fn no_token_reaches_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    let token = "twn_ab12_00ffee11";
    let mut entry =
        Record::of(&session(token), token, token, json!({ "a": [token], token: { "b": format!("x {token}.") } }));
    (entry.reason, entry.result) = (Some(token.into()), Some(json!({ "summary": token })));
    entry.error = Some(townlet_wire::ErrorBody::new(token, token, token));
    log.append_and_wait(entry, true).unwrap();
    drop(log);
    let text = std::fs::read_to_string(dir.path().join("r-0001.jsonl")).unwrap();
    assert!(!text.contains("00ffee11") && text.matches("(redacted)").count() >= 9, "{text}");
    assert_whole(dir.path());
}

#[test]
fn eight_threads_make_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::open(Options { segment_bytes: 1, ..options(dir.path(), "r") }).unwrap().log);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let (sender, done) = mpsc::channel();
                for number in 0..100 {
                    if number % 25 == 0 {
                        // Four commits at least, and so four segments.
                        sender.send(log.append_and_wait(intent(&format!("{thread}-{number}")), true)).unwrap();
                        continue;
                    }
                    let sender = sender.clone();
                    log.append(intent(&format!("{thread}-{number}")), number % 3 == 0, move |written| {
                        sender.send(written).unwrap();
                    });
                }
                drop(sender);
                done.iter().map(|written| written.unwrap().seq).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut seqs: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| {
            let seqs = thread.join().unwrap();
            assert!(seqs.is_sorted(), "a thread's records keep their order");
            seqs
        })
        .collect();
    drop(log);
    seqs.sort_unstable();
    let report = assert_whole(dir.path());
    assert_eq!(seqs.len(), 800);
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "nobody was told another's number");
    assert_eq!(report.runs[0].open.len(), 800);
    assert_eq!(report.runs[0].records, 800 + args_of(&read(dir.path()), Stage::Rotate).len() as u64);
    assert!(files(dir.path()).len() > 4, "it rotated");
}

#[test]
fn a_second_writer_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let Err(AuditError::Locked(file)) = Log::open(options(dir.path(), "r")) else { panic!("two writers") };
    assert!(file.ends_with("r-0001.jsonl"));
    drop(Log::open(options(dir.path(), "other")).expect("another run is another log"));
    drop(first);
    drop(open(dir.path()));
    assert!(matches!(Log::open(options(dir.path(), "../r")), Err(AuditError::BadRunId(_))));
}

#[test]
fn the_tail_is_what_was_written_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1 << 20);
    let log = open(dir.path()).log;
    let tail = log.tail(2);
    assert_eq!(tail.records.iter().map(|row| row.seq).collect::<Vec<_>>(), [5, 6]);
    let written = log.append_and_wait(intent("more"), false).unwrap();
    let tail = log.tail(1);
    assert_eq!((tail.seq, tail.head, tail.file), (7, written.hash, written.file));
    assert_eq!((tail.records[0].cmd_id.as_str(), tail.state.as_str()), ("more", "ok"));
}

#[test]
fn a_flush_brings_the_head_up_while_the_log_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).log;
    log.append_and_wait(intent("read"), false).unwrap();
    log.flush().unwrap();
    let report = assert_whole(dir.path());
    assert_eq!(report.runs[0].notes, ["r: not chained to the run before it: written before runs were chained."]);
    let bytes = std::fs::read(dir.path().join("r-0001.jsonl")).unwrap();
    std::fs::write(dir.path().join("r-0001.jsonl"), "").unwrap();
    assert!(!verify(dir.path()).unwrap().passed());
    std::fs::write(dir.path().join("r-0001.jsonl"), bytes).unwrap();
}

#[test]
fn of_a_large_result_what_is_short_stays() {
    let large = json!({ "rows": "x".repeat(MAX_RESULT), "summary": "Many rows." });
    let kept = bounded(large.clone());
    assert_eq!(kept, json!({ "truncated": true, "bytes": large.to_string().len(), "summary": "Many rows." }));
    assert_eq!(bounded(kept.clone()), kept);
    let rows: Vec<u64> = (0..2_000).collect();
    let kept = bounded(json!({ "changes": rows, "digests": { "after": "ab" }, "summary": "x".repeat(9_000), "n": 1 }));
    assert_eq!((&kept["digests"], &kept["n"]), (&json!({ "after": "ab" }), &json!(1)), "{kept}");
    assert!(kept["changes"].is_null() && kept["summary"].as_str().is_some_and(|text| text.starts_with("xx")));
    assert!(kept.to_string().len() <= MAX_RESULT && bounded(kept.clone()) == kept);
    assert_eq!(bounded(json!({ "rows": 1 })), json!({ "rows": 1 }));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_reads_back_and_holds_no_control_character(
        texts in prop::collection::vec(any::<String>(), 4), args in any_value(), result in prop::option::of(any_value()),
    ) {
        let record = Record {
            seq: 1,
            reason: Some(texts[3].clone()),
            result,
            ..Record::of(&session(&texts[0]), &*texts[1], &*texts[2], args)
        }.sealed();
        let line = record.line();
        prop_assert_eq!(Record::parse(line.as_bytes()), Ok(record.clone()));
        prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        // A record made again of what was read is the same record.
        prop_assert_eq!(record.clone().sealed(), record);
    }
}
