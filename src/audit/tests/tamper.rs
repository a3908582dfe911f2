//! Nothing can be changed, added, moved or taken away without being named.

use super::*;

#[test]
fn every_flipped_byte_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1_200);
    assert_whole(dir.path());
    let segments: Vec<PathBuf> =
        files(dir.path()).into_iter().filter(|path| path.extension().unwrap() == "jsonl").collect();
    assert!(segments.len() > 1, "several segments are tested");
    for path in segments {
        let name = path.file_name().unwrap().to_str().unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut line = 1;
        for (at, byte) in good.iter().enumerate() {
            for mask in [0x01, 0x20] {
                let mut bad = good.clone();
                bad[at] ^= mask;
                std::fs::write(&path, &bad).unwrap();
                let report = assert_named(dir.path(), name, &[line], &format!("byte {at} ^ {mask}"));
                assert!(!report.holds(Verdict::Integrity), "byte {at} ^ {mask}");
            }
            line += u64::from(*byte == b'\n');
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert_whole(dir.path());
}

#[test]
fn a_damaged_line_still_counts_as_a_line() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1 << 20);
    let path = dir.path().join("r-0001.jsonl");
    let mut all = lines(&path);
    let count = all.len() as u64;
    let counted = |dir: &Path| verify(dir).unwrap().runs.iter().map(|run| (run.lines, run.records)).collect::<Vec<_>>();
    assert_eq!(counted(dir.path()), [(count, count)]);
    all[1][5] ^= 1;
    std::fs::write(&path, all.concat()).unwrap();
    assert_eq!(counted(dir.path()), [(count, count - 1)]);
}

#[test]
fn every_flipped_byte_of_the_head_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let path = dir.path().join("r.head");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        for mask in [0x01, 0x02, 0x04, 0x20] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            std::fs::write(&path, &bad).unwrap();
            let report = verify(dir.path()).unwrap();
            assert!(!report.holds(Verdict::Completeness), "byte {at} ^ {mask}");
            assert!(report.holds(Verdict::Integrity) && report.holds(Verdict::Continuity), "{:?}", said(&report));
        }
    }
}

#[test]
fn every_deleted_doubled_or_swapped_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1_600);
    for path in files(dir.path()).into_iter().filter(|path| path.extension().unwrap() == "jsonl") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let good = lines(&path);
        let place = |index: usize| index as u64 + 1;
        for first in 0..good.len() {
            let mut bad = good.clone();
            bad.remove(first);
            std::fs::write(&path, bad.concat()).unwrap();
            let next =
                files(dir.path()).into_iter().find(|other| *other > path && other.extension().unwrap() == "jsonl");
            match next.filter(|_| first + 1 == good.len()) {
                // The last line of a segment is missed where the next segment begins.
                Some(next) => assert_named(dir.path(), next.file_name().unwrap().to_str().unwrap(), &[1], "deleted"),
                None => assert_named(dir.path(), name, &[place(first)], "deleted"),
            };
            let mut bad = good.clone();
            bad.insert(first, good[first].clone());
            std::fs::write(&path, bad.concat()).unwrap();
            assert_named(dir.path(), name, &[place(first) + 1], "doubled");
            for second in first + 1..good.len() {
                let mut bad = good.clone();
                bad.swap(first, second);
                std::fs::write(&path, bad.concat()).unwrap();
                assert_named(dir.path(), name, &[place(first)], "swapped");
            }
        }
        std::fs::write(&path, good.concat()).unwrap();
    }
    assert_whole(dir.path());
}

#[test]
fn every_deleted_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 4, 1_200);
    for path in files(dir.path()) {
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let report = verify(dir.path()).unwrap();
        assert!(!report.passed(), "{} was not missed", path.display());
        std::fs::write(&path, good).unwrap();
    }
    std::fs::remove_file(dir.path().join("r-0001.jsonl")).unwrap();
    assert_named(dir.path(), "r-0001.jsonl", &[0], "first segment");
    let before = files(dir.path());
    assert!(matches!(Log::open(options(dir.path(), "r")), Err(AuditError::Broken { .. })));
    assert_eq!(files(dir.path()), before, "opening a damaged log puts nothing in its place");
}

#[test]
fn a_file_of_no_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    std::fs::write(dir.path().join("r-1.jsonl"), "").unwrap();
    assert_named(dir.path(), "r-1.jsonl", &[0], "alien");
}

#[test]
fn a_line_of_another_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    std::fs::copy(dir.path().join("r-0001.jsonl"), dir.path().join("s-0001.jsonl")).unwrap();
    let head = std::fs::read_to_string(dir.path().join("r.head")).unwrap();
    std::fs::write(dir.path().join("s.head"), head.replace("\"r\"", "\"s\"").replace("r-0001", "s-0001")).unwrap();
    assert_named(dir.path(), "s-0001.jsonl", &[1], "another run's");
}

#[test]
fn a_line_with_the_right_hash_in_another_form_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 1, 1 << 20);
    let line = String::from_utf8(lines(&dir.path().join("r-0001.jsonl"))[0].clone()).unwrap();
    let forge = |text: &str| {
        let (body, _) = text.rsplit_once(",\"hash\":\"").unwrap();
        let hash = townlet_wire::sha256(body.as_bytes());
        Record::parse(format!("{body},\"hash\":\"{hash}\"}}\n").as_bytes())
    };
    assert!(forge(&line).is_ok());
    for (from, to) in [
        (",\"seq\"", ", \"seq\""),
        ("\"v\":1,\"seq\":1", "\"seq\":1,\"v\":1"),
        ("\"tick\":40", "\"tick\":40,\"tick\":40"),
        ("\"agent\":\"ada\"", "\"agent\":\"eve\",\"agent\":\"ada\""),
        ("ada", "\\u0061da"),
        ("ada", "\\u001bada"),
        ("ada", "\u{202e}ada"),
        ("\"v\":1", "\"v\":2"),
    ] {
        assert!(line.contains(from));
        assert!(forge(&line.replacen(from, to, 1)).is_err(), "{from} as {to}");
    }
}

#[test]
fn a_line_rewritten_with_a_hash_of_its_own_is_named_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let path = dir.path().join("r-0001.jsonl");
    let mut all = lines(&path);
    let text = String::from_utf8(all[1].clone()).unwrap().replace("tui:ada", "tui:eve");
    let (body, _) = text.rsplit_once(",\"hash\":\"").unwrap();
    let hash = townlet_wire::sha256(body.as_bytes());
    all[1] = format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes();
    std::fs::write(&path, all.concat()).unwrap();
    let report = assert_named(dir.path(), "r-0001.jsonl", &[3], "rewritten");
    assert!(report.holds(Verdict::Integrity) && !report.holds(Verdict::Continuity));
}

#[test]
fn a_segment_cut_in_two_is_named() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 2, 1 << 20);
    let all = lines(&dir.path().join("r-0001.jsonl"));
    std::fs::write(dir.path().join("r-0001.jsonl"), all[..2].concat()).unwrap();
    std::fs::write(dir.path().join("r-0002.jsonl"), all[2..].concat()).unwrap();
    assert_named(dir.path(), "r-0002.jsonl", &[1], "cut in two");
}
