//! Journals of many segments: the run of one file, killed while segments begin and go; retention; a bundle of a long run.
//!
//! Rules: "Journal", "Incidents".

use std::path::Path;

use townlet_shard::Home;
use townlet_shard::journal::Segments;
use townlet_shard::recorded_run::RecordedRun;

use super::headless::{Batch, Ended, SCRIPT, replay, write_script};
#[cfg(feature = "failpoints")]
use super::headless::{audited, verified};
use crate::kit::{command, copy_folder, journal_files};

/// Ticks of a run; a small segment has about 4,000.
const LIMIT: u64 = 40_000;
const SMALL: &str = "journal.segment_bytes=4096";

/// Commands at certain ticks; those up to tick `from` run at once.
fn script(home: &Path, from: Option<u64>) -> usize {
    let lines: Vec<_> = (0..24)
        .map(|number| {
            let tick = Some(number * 1_600).filter(|tick| from.is_none_or(|from| *tick > from));
            (tick, format!("setmoney ada {number}.5"), format!("id-{number}"))
        })
        .collect();
    write_script(home, &lines);
    lines.len()
}

/// Runs to the limit with a script, under the scripted policy.
fn run(home: &Path, more: &[&str], environment: &[(&str, &str)]) -> Ended {
    let limit = LIMIT.to_string();
    let args = [&["--script", SCRIPT, "--tick-limit", &limit], more].concat();
    Batch::start(home, &args, environment).end()
}

/// A run from its beginning with these settings.
fn fresh(home: &Path, settings: &[&str], environment: &[(&str, &str)]) -> Ended {
    script(home, None);
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    run(home, &[&["--set", "policy.release=scripted"], &settings[..]].concat(), environment)
}

fn townlet(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = command(folder, args.iter().copied()).output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The only run of a home.
fn run_id(home: &Path) -> String {
    Home::new(home).runs("harbour").pop().expect("there is a run")
}

#[test]
fn a_run_of_many_segments_is_the_run_of_one() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = fresh(one.path(), &[], &[]);
    let ended = fresh(many.path(), &[SMALL], &[]);
    assert_eq!((expected.status, ended.status), (Some(0), Some(0)), "{}{}", expected.said, ended.said);
    assert_eq!(ended.digest(), expected.digest());
    assert!(journal_files(one.path()).len() == 1 && journal_files(many.path()).len() > 4);
    assert_eq!(replay(many.path()).digest, expected.digest());
    let (status, said) = townlet(many.path(), &["replay", &run_id(many.path())]);
    let all = format!("ticks 0 to {LIMIT}, 24 commands, 400 digests equal");
    assert!(status == Some(0) && said.contains(&all) && said.contains(expected.digest()), "{said}");
    let recording = |home: &Path| {
        let segments = Segments::of_run(&Home::new(home), &run_id(home)).expect("they follow each other");
        RecordedRun::open(&Home::new(home), segments).expect("it is whole")
    };
    let (mut straight, mut segmented) = (recording(one.path()), recording(many.path()));
    assert_eq!(segmented.ticks(), (0, 0, LIMIT));
    for tick in [LIMIT, 3, LIMIT / 2, 8_001, LIMIT - 1, 12_345, 0, LIMIT] {
        for recording in [&mut straight, &mut segmented] {
            recording.seek(tick).unwrap_or_else(|why| panic!("{tick}: {why}"));
            assert_eq!(recording.ticks().1, tick);
        }
        assert_eq!(segmented.digest(), straight.digest(), "tick {tick}");
    }
    // A segment is a journal by itself.
    let newest = journal_files(many.path()).pop().unwrap();
    let (status, said) = townlet(many.path(), &["replay", newest.to_str().unwrap()]);
    assert!(status == Some(0) && said.contains(expected.digest()), "{said}");
    // A missing segment is named.
    let second = journal_files(many.path()).remove(1);
    std::fs::remove_file(&second).unwrap();
    let (status, said) = townlet(many.path(), &["replay", &run_id(many.path())]);
    assert!(status == Some(2) && said.contains("segment 2 of the run is missing between"), "{said}");
}

#[test]
fn a_run_without_its_newest_segment_goes_on_and_loses_no_command() {
    let whole = tempfile::tempdir().unwrap();
    let expected = fresh(whole.path(), &[SMALL], &[]);
    // With the snapshot that is ahead of what is left, or with the audit log alone.
    for (kept, part) in [(true, "before the snapshot; a new file continues"), (false, "every digest there is equal")] {
        let home = tempfile::tempdir().unwrap();
        copy_folder(whole.path(), home.path());
        // The last command is in the newest segment or in the one before it.
        for newest in journal_files(home.path()).into_iter().rev().take(2) {
            std::fs::remove_file(newest).unwrap();
        }
        if !kept {
            std::fs::remove_dir_all(home.path().join("snapshots/auto")).unwrap();
        }
        script(home.path(), Some(LIMIT));
        let ended = run(home.path(), &["--resume"], &[]);
        assert_eq!((ended.status, ended.digest()), (Some(0), expected.digest()), "{}", ended.said);
        assert!(ended.said.contains(part), "{}", ended.said);
        assert!(ended.answers.len() == 24 && ended.answers.iter().all(|answer| answer.replayed), "{}", ended.said);
    }
}

#[test]
#[cfg(feature = "failpoints")]
fn retention_leaves_what_restart_and_replay_need() {
    let (home, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = fresh(whole.path(), &[], &[]);
    let settings = [SMALL, "journal.max_bytes=131072"];
    let died = fresh(home.path(), &settings, &[("FAILPOINTS", "engine_tick=25000*off->panic")]);
    assert_eq!(died.status, Some(3), "{}", died.said);
    let kept = journal_files(home.path());
    // It died before or after the newest segment had its turn of retention.
    let before_newest = &kept[..kept.len() - 1];
    let size: u64 = before_newest.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    assert!(kept.len() >= 2 && size <= 131_072, "{} files, {size} bytes before the newest", kept.len());
    script(home.path(), Some(replay(home.path()).tick));
    let ended = run(home.path(), &["--resume"], &[]);
    assert_eq!((ended.status, ended.digest()), (Some(0), expected.digest()), "{}", ended.said);
    let segments = Segments::of_run(&Home::new(home.path()), &run_id(home.path())).unwrap();
    let beginning = segments.beginning().expect("segments were removed");
    assert!(beginning.ends_with("earlier segments were removed by retention."), "{beginning}");
    let (status, said) = townlet(home.path(), &["replay", &run_id(home.path())]);
    assert!(status == Some(0) && said.contains(&beginning) && said.contains(expected.digest()), "{said}");
    let log = std::fs::read_to_string(home.path().join("logs/townlet.log")).expect("the program's log");
    assert!(log.contains("was removed by retention"), "{log}");
    assert_eq!(audited(home.path()).len(), 24);
}

#[test]
fn bundle_of_a_long_run_replays_its_end() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // No snapshot but those of the segments and the last one.
    let autosave = "snapshot.autosave.cadence_ticks=10000000";
    let ended = fresh(home, &[SMALL, "journal.max_bytes=131072", autosave], &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    let (status, said) = townlet(home, &["incident", "bundle", "--output", "b.tar.zst"]);
    assert!(status == Some(0) && said.contains("journal before tick"), "{said}");
    for bundle in ["b.tar.zst", "./b.tar.zst"] {
        let (status, said) = townlet(home, &["replay", bundle]);
        assert!(status == Some(0) && said.contains(&format!("tick {LIMIT}  {}", ended.digest())), "{said}");
        assert!(!said.contains(&format!("ticks {LIMIT} to")), "there is something to replay: {said}");
    }
    std::fs::write(home.join("b.tar.zst"), &std::fs::read(home.join("b.tar.zst")).unwrap()[..1_000]).unwrap();
    let (status, said) = townlet(home, &["replay", "b.tar.zst"]);
    assert!(status == Some(2) && said.contains("b.tar.zst: "), "{said}");
}

/// Asserts that a crashed run, when resumed, ends as an undisturbed one and has applied every command once.
#[track_caller]
#[cfg(feature = "failpoints")]
fn resumes_as(expected: &str, what: &str, home: &Path, before: &Ended) {
    verified(home);
    let commands = script(home, Some(replay(home).tick));
    let known: Vec<&String> = before.answers.iter().filter(|it| it.ok).map(|it| &it.cmd_id).collect();
    let after = run(home, &["--resume"], &[]);
    assert_eq!(after.status, Some(0), "{what}: {}{}", after.out, after.said);
    for answer in &after.answers {
        assert!(answer.ok && (answer.replayed || !known.contains(&&answer.cmd_id)), "{what}: {}", answer.text);
    }
    assert_eq!(after.digest(), expected, "{what}");
    assert_eq!(replay(home).digest, expected, "{what}");
    assert_eq!(audited(home).len(), commands, "{what}");
}

#[test]
#[cfg(feature = "failpoints")]
fn kill_while_a_segment_begins_or_goes_loses_nothing() {
    use super::fail_point_table::ReachedBy;
    use super::fail_points::reached_by;

    let whole = tempfile::tempdir().unwrap();
    let expected = fresh(whole.path(), &[], &[]);
    // The first segment creates and replaces a file, too.
    let steps = ["journal_create", "replace_write", "replace_rename", "replace_sync"].map(|point| (point, 1));
    let own = reached_by(&[ReachedBy::Test("process::journal_segments")]).map(|point| (point, 0));
    for (point, first) in own.chain(steps) {
        for passed in [first, first + 2] {
            let what = format!("{point} after {passed}");
            let home = tempfile::tempdir().unwrap();
            let points = format!("{point}={passed}*off->panic");
            // Without autosaves and keyframes, so that segments alone replace files.
            let settings = [
                SMALL,
                "journal.max_bytes=131072",
                "snapshot.autosave.cadence_ticks=10000000",
                "keyframes.every_ticks=0",
            ];
            let died = fresh(home.path(), &settings, &[("FAILPOINTS", &points), ("FAILPOINTS_ABORT", "1")]);
            assert_eq!(died.status, None, "{what} was never met: {}{}", died.out, died.said);
            resumes_as(expected.digest(), &what, home.path(), &died);
        }
    }
}

#[test]
#[cfg(feature = "failpoints")]
fn kill_while_a_keyframe_is_written_leaves_complete_files() {
    let whole = tempfile::tempdir().unwrap();
    let expected = fresh(whole.path(), &[], &[]);
    for (point, leaves_part) in [("replace_write", false), ("replace_rename", true), ("replace_sync", false)] {
        let home = tempfile::tempdir().unwrap();
        // The first segment is the first file, and keyframes come before any other.
        let points = format!("{point}=1*off->panic");
        let settings = ["keyframes.every_ticks=100", "snapshot.autosave.cadence_ticks=10000000"];
        let died = fresh(home.path(), &settings, &[("FAILPOINTS", &points), ("FAILPOINTS_ABORT", "1")]);
        assert_eq!(died.status, None, "{point} was never met: {}{}", died.out, died.said);
        let folder = Home::new(home.path()).keyframes(&run_id(home.path()));
        let (parts, whole) = keyframe_files(&folder);
        assert_eq!((parts, whole), (usize::from(leaves_part), usize::from(point == "replace_sync")), "{point}");
        resumes_as(expected.digest(), point, home.path(), &died);
        let (parts, whole) = keyframe_files(&folder);
        assert!(parts == 0 && whole > 0, "{point}: {parts} files are incomplete, {whole} complete");
    }
}

/// The incomplete and the complete keyframes of a folder, in which the marks of the run are as well.
#[cfg(feature = "failpoints")]
fn keyframe_files(folder: &Path) -> (usize, usize) {
    let mut files = crate::kit::files_below(folder);
    files.retain(|file| !file.ends_with("marks.jsonl"));
    let is_part = |file: &&std::path::PathBuf| file.extension().is_some_and(|it| it == "part");
    let parts = files.iter().filter(is_part).count();
    for file in files.iter().filter(|file| !is_part(file)) {
        let bytes = std::fs::read(file).expect("it is read");
        assert!(townlet_shard::history::is_keyframe(&bytes), "{}: {} bytes", file.display(), bytes.len());
    }
    (parts, files.len() - parts)
}

#[test]
#[cfg(feature = "failpoints")]
fn disk_error_at_a_new_segment_is_one_of_the_journal() {
    for point in ["journal_rotate", "journal_create"] {
        let home = tempfile::tempdir().unwrap();
        let first = u32::from(point == "journal_create");
        let points = format!("{point}={first}*off->1*return->off");
        let ended = fresh(home.path(), &[SMALL], &[("FAILPOINTS", &points)]);
        assert_eq!(ended.status, Some(0), "{point}: {}{}", ended.out, ended.said);
        let refused: Vec<_> = ended.answers.iter().filter(|answer| !answer.ok).collect();
        assert!(!refused.is_empty(), "{point} was never met: {}", ended.out);
        for answer in refused {
            assert!(answer.text.contains("E_AUDIT_UNAVAILABLE"), "{point}: {}", answer.text);
        }
        assert_eq!(replay(home.path()).digest, ended.digest(), "{point}");
        verified(home.path());
    }
}

/// Segments that cannot be removed cost space and nothing else.
#[test]
#[cfg(feature = "failpoints")]
fn segments_that_cannot_be_removed_are_said_and_go_later() {
    let home = tempfile::tempdir().unwrap();
    let settings = [SMALL, "journal.max_bytes=65536"];
    let ended = fresh(home.path(), &settings, &[("FAILPOINTS", "journal_prune=1*return->off")]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.said);
    let log = std::fs::read_to_string(home.path().join("logs/townlet.log")).expect("the program's log");
    assert!(log.contains("it could not be removed: fail point") && log.contains("was removed by retention"), "{log}");
    assert_eq!(replay(home.path()).digest, ended.digest());
}
