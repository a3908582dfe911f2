//! The newest records cost what the answer costs, whatever the size of the log, and runs are merged by time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn select(limit: usize) -> Selection {
    Selection { limit, max_lines: u64::MAX, ..Selection::default() }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.rows.iter().map(|row| row.seq).collect()
}

/// A run of `records` outcomes by `issuer`, a minute apart from `start` minutes on.
fn run(dir: &Path, run_id: &str, start: i64, records: usize, segment_bytes: u64) {
    let next = Arc::new(AtomicI64::new(START + start * MINUTE));
    let clock = Arc::clone(&next);
    let options = Options {
        clock: Box::new(move || {
            jiff::Timestamp::from_millisecond(clock.fetch_add(MINUTE, Ordering::Relaxed)).expect("a time")
        }),
        segment_bytes,
        ..Options::new(dir, run_id, "harbour")
    };
    let log = Log::open(options).expect("the log opens").log;
    for number in 0..records {
        log.append(outcome(&format!("{run_id}-{number}")), false, |_| {});
        if number % 64 == 0 {
            log.flush().expect("written");
        }
    }
    log.flush().expect("written");
    drop(log);
    // The files changed when their last records say so.
    let ended = UNIX_EPOCH + Duration::from_millis(next.load(Ordering::Relaxed) as u64);
    for path in files(dir) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(run_id)) {
            std::fs::File::options().append(true).open(path).and_then(|file| file.set_modified(ended)).expect("a time");
        }
    }
}

#[test]
fn a_large_log_is_read_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "r", 0, 4_000, 64 * 1024);
    assert!(files(dir.path()).len() > 20, "many segments");
    let all = newest(dir.path(), &select(usize::MAX)).unwrap();
    assert!(all.rows.len() >= 4_000 && all.before.is_none());
    for limit in [1, 2, 100] {
        let page = newest(dir.path(), &select(limit)).unwrap();
        assert_eq!(page.rows[..], all.rows[all.rows.len() - limit..], "{limit}");
        // One line ahead, and those between two segments.
        assert!(page.lines <= limit as u64 + 2, "{limit} records cost {} lines", page.lines);
    }
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    // Two runs that overlap in time, and one before them.
    run(dir.path(), "a", 0, 300, 16 * 1024);
    run(dir.path(), "b", 150, 300, 16 * 1024);
    run(dir.path(), "c", -1_000, 50, 16 * 1024);
    let all = newest(dir.path(), &select(usize::MAX)).unwrap();
    assert!(all.rows.is_sorted_by_key(|row| row.ts.clone()), "by time");
    let (mut pages, mut before, mut rest) = (0, None, all.rows.clone());
    loop {
        let page = newest(dir.path(), &Selection { before, ..select(37) }).unwrap();
        assert_eq!(page.rows[..], rest[rest.len() - page.rows.len()..]);
        // A few kilobytes of each run are read to find the place.
        assert!(page.lines < 37 + 3 * 40, "a page costs {} lines", page.lines);
        rest.truncate(rest.len() - page.rows.len());
        pages += 1;
        before = page.before;
        if before.is_none() {
            break;
        }
        let text = before.as_ref().map(ToString::to_string).unwrap();
        assert_eq!(Cursor::parse(&text), before, "a cursor is read as it is written");
    }
    assert_eq!((rest.len(), pages), (0, all.rows.len() / 37 + 1));
}

#[test]
fn the_records_of_one_run_are_those_before_a_known_one() {
    let dir = tempfile::tempdir().unwrap();
    // Records of both have the same numbers at nearly the same time.
    run(dir.path(), "a", 0, 300, 16 * 1024);
    run(dir.path(), "b", 3, 300, 16 * 1024);
    let of = |run_id: &str, limit: usize| Selection { run_id: Some(run_id.into()), ..select(limit) };
    let all = newest(dir.path(), &of("a", usize::MAX)).unwrap();
    assert!(all.rows.iter().all(|row| row.cmd_id.is_empty() || row.cmd_id.starts_with("a-")));
    let known = &all.rows[250];
    let before = Some(Cursor::new(&known.ts, "a", known.seq));
    let page = newest(dir.path(), &Selection { before, ..of("a", 37) }).unwrap();
    assert_eq!(page.rows[..], all.rows[213..250]);
    assert!(newest(dir.path(), &of("c", 37)).unwrap().rows.is_empty());
}

#[test]
fn filters_and_bounds_hold() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "r", 0, 3_000, 64 * 1024);
    let at = |minutes: i64| jiff::Timestamp::from_millisecond(START + minutes * MINUTE).ok();
    let between = Filter { since: at(1_000), until: at(1_010), ..Filter::default() };
    let page = newest(dir.path(), &Selection { filter: between, ..select(100) }).unwrap();
    assert_eq!(page.rows.len(), 10);
    assert!(page.before.is_none() && page.lines < 200, "a time is found by bisection: {} lines", page.lines);
    let nobody = Filter { issuer: Some("nobody".into()), ..Filter::default() };
    let bounded = Selection { filter: nobody, max_lines: 50, ..select(1) };
    let page = newest(dir.path(), &bounded).unwrap();
    assert_eq!((page.rows.len(), page.lines), (0, 50));
    let further = newest(dir.path(), &Selection { before: page.before.clone(), ..bounded }).unwrap();
    assert!(page.before.is_some() && further.before < page.before, "the next page goes on where this one ended");
}

#[test]
fn damaged_and_unfinished_lines_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path(), 3, 1 << 20);
    let path = dir.path().join("r-0001.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[length - 20] ^= 1;
    bytes.extend(std::iter::repeat_n(b'x', 600_000));
    std::fs::write(&path, bytes).unwrap();
    let page = newest(dir.path(), &select(3)).unwrap();
    assert_eq!(seqs(&page), [3, 4, 5]);
    assert_eq!(page.damaged.len(), 1, "{:?}", page.damaged);
}
