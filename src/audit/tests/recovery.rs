//! What a crash leaves is mended, told, and handed to the shard; anything else is refused.

use super::*;

/// The folder as a crash before any head but the first leaves it.
fn forget_head(dir: &Path) {
    let head = format!("{{\"v\":1,\"run_id\":\"r\",\"file\":\"r-0001.jsonl\",\"seq\":0,\"hash\":\"{GENESIS}\"}}\n");
    std::fs::write(dir.join("r.head"), head).unwrap();
}

#[test]
fn lines_beyond_the_head_are_legal() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1_200);
    forget_head(dir.path());
    let report = assert_whole(dir.path());
    assert!(report.runs[0].notes.iter().any(|note| note.contains("beyond the head")));
    drop(open(dir.path()));
    let beyond = |report: &Report| report.runs[0].notes.iter().any(|note| note.contains("beyond the head"));
    assert!(!beyond(&assert_whole(dir.path())), "opening brings the head up");
}

#[test]
fn a_log_cut_at_any_byte_is_seen_by_its_head() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let path = dir.path().join("r-0001.jsonl");
    let good = std::fs::read(&path).unwrap();
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        let line = good[..length].split(|byte| *byte == b'\n').count() as u64;
        let report = assert_named(dir.path(), "r-0001.jsonl", &[line], "cut");
        assert!(!report.holds(Verdict::Completeness), "cut to {length} bytes");
    }
    std::fs::write(&path, &good[..good.len() - 1]).unwrap();
    let Err(AuditError::Broken { first, .. }) = Log::open(options(dir.path(), "r")) else { panic!("opened") };
    assert!(first.starts_with("r-0001.jsonl:4"), "{first}");
    assert_eq!(std::fs::read(&path).unwrap().len(), good.len() - 1, "a damaged log is left as it is");
}

#[test]
fn an_unfinished_line_is_set_aside_wherever_it_ends() {
    let source = tempfile::tempdir().unwrap();
    finished(source.path(), 1, 1 << 20);
    let good = std::fs::read(source.path().join("r-0001.jsonl")).unwrap();
    let whole = lines(&source.path().join("r-0001.jsonl"))[0].len();
    for length in (0..whole).step_by(197).chain([1, whole - 1, whole]).chain((whole + 1..good.len()).step_by(183)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r-0001.jsonl");
        std::fs::write(&path, &good[..length]).unwrap();
        forget_head(dir.path());
        assert_whole(dir.path());
        let kept = usize::from(length >= whole);
        let torn = length != 0 && length != whole;
        let opened = open(dir.path());
        assert_eq!(opened.pending.len(), kept, "{length}");
        drop(opened);
        let records = read(dir.path());
        assert_eq!(records.len(), kept + usize::from(torn), "{length}");
        assert_whole(dir.path());
        let aside = dir.path().join("r-0001.jsonl.torn");
        assert_eq!(aside.exists(), torn);
        if torn {
            assert_eq!(std::fs::read(&aside).unwrap(), &good[kept * whole..length]);
            assert_eq!(records.last().unwrap().stage, Stage::Recovered);
            std::fs::write(&aside, "another").unwrap();
            assert_named(dir.path(), "r-0001.jsonl", &[kept as u64 + 1], "the piece was changed");
            std::fs::remove_file(&aside).unwrap();
            assert!(!verify(dir.path()).unwrap().passed(), "the piece was taken away");
        }
    }
}

#[test]
fn two_torn_lines_share_one_file() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    for piece in ["{\"v\":1,\"se", "\0\0\0\0not json\n\0\0"] {
        let path = dir.path().join("r-0001.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(piece.as_bytes());
        std::fs::write(&path, bytes).unwrap();
        drop(open(dir.path()));
        assert_whole(dir.path());
    }
    assert_eq!(args_of(&read(dir.path()), Stage::Recovered).len(), 2);
}

#[test]
fn a_further_segment_without_a_line_is_taken_away() {
    for piece in ["", "{\"v\":1,"] {
        let dir = tempfile::tempdir().unwrap();
        finished(dir.path(), 1, 1 << 20);
        std::fs::write(dir.path().join("r-0002.jsonl"), piece).unwrap();
        assert_whole(dir.path());
        drop(open(dir.path()));
        assert!(!dir.path().join("r-0002.jsonl").exists());
        let log = Log::open(Options { segment_bytes: 1, ..options(dir.path(), "r") }).unwrap().log;
        assert_eq!(log.append_and_wait(intent("next"), true).unwrap().file, "r-0002.jsonl");
        drop(log);
        assert_whole(dir.path());
    }
}

#[test]
fn a_bad_line_with_a_good_one_after_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    forget_head(dir.path());
    let path = dir.path().join("r-0001.jsonl");
    let mut bad = std::fs::read(&path).unwrap();
    bad[700] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert!(matches!(Log::open(options(dir.path(), "r")), Err(AuditError::Broken { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bad);
}

#[test]
fn intents_are_handed_over_and_ids_remembered() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    let log = open(dir.path()).log;
    for id in ["applied", "lost"] {
        log.append_and_wait(intent(id), true).unwrap();
    }
    let refused = Record { stage: Stage::Rejected, status: Some(Status::Error), ..intent("refused") };
    log.append_and_wait(refused, false).unwrap();
    log.append_and_wait(Record { stage: Stage::Rejected, ..intent("applied") }, false).unwrap();
    drop(log);
    assert_eq!(assert_whole(dir.path()).runs[0].open.len(), 2);

    let Opened { log, pending, index, .. } = open(dir.path());
    let print = fingerprint("setmoney", &intent("").args);
    let ask = |index: &IdempotencyIndex, id: &str| index.look_up("tui:ada", id, &print);
    assert_eq!(pending.iter().map(|entry| entry.cmd_id.as_str()).collect::<Vec<_>>(), ["applied", "lost"]);
    let Record { seq, ts, shard, run_id, prev, hash, .. } = pending[0].clone();
    assert_eq!(pending[0], Record { seq, ts, shard, run_id, prev, hash, ..intent("applied") });
    let Lookup::Replay(answer) = ask(&index, "id-0") else { panic!("forgotten") };
    assert_eq!((answer.result, answer.tick, answer.replayed), (outcome("").result, 40, true));
    assert_eq!((ask(&index, "applied"), ask(&index, "refused")), (Lookup::InFlight, Lookup::New));
    for (entry, stage) in pending.into_iter().zip([Stage::Recovered, Stage::Abort]) {
        log.append_and_wait(Record { stage, status: Some(Status::Ok), ..entry }, true).unwrap();
    }
    drop(log);

    let Opened { pending, index, .. } = open(dir.path());
    assert!(pending.is_empty());
    assert!(matches!(ask(&index, "applied"), Lookup::Replay(_)));
    assert_eq!(ask(&index, "lost"), Lookup::New, "an aborted id may be sent again");
    assert!(assert_whole(dir.path()).runs[0].open.is_empty());
}
