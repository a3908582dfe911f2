//! Limits on incidents and bundles, and bundles of long files or files with secrets.

use std::sync::Weak;

use townlet_town::{Rules, Sources, Town, snapshot};

use super::*;
use crate::journal::{self, Base, Entry, Header, SegmentPlace};
use crate::snapshots;
use crate::telemetry::{CapturedState, ShardStatus};
use townlet_wire::telemetry::AuditTail;

const RUN: &str = "harbour-20260101-000000-000aaa";

fn run(home: &Path, id: &str) -> Run {
    Run { home: Home::new(home), id: id.into(), root: "snapshots".into() }
}

fn recorder(home: &Path) -> Arc<IncidentRecorder> {
    let run = run(home, RUN);
    let log = Log::new(run.home.log(), "shard", false);
    let (journal, audit) = (Weak::new(), Weak::new());
    Arc::new(IncidentRecorder {
        run,
        diagnostics: Arc::default(),
        journal,
        audit,
        log,
        in_progress: Mutex::default(),
        stopping: AtomicBool::default(),
        given_up: AtomicUsize::default(),
    })
}

/// Keeps so many incidents of this kind, each of a run of its own.
fn keep(home: &Path, count: usize, occasion: &IncidentTrigger) {
    for number in 0..count {
        let run = run(home, &format!("harbour-20260101-000000-{number:06x}"));
        let id = format!("20260101-000000{number:03}-{}", occasion.kind.word());
        write(&run, &id, occasion, None).expect("it is written");
    }
}

fn bundles(home: &Path) -> Vec<bool> {
    let home = Home::new(home);
    kept(&home).iter().map(|it| home.incidents().join(&it.id).join(BUNDLE).exists()).collect()
}

#[test]
fn the_oldest_incidents_keep_only_their_note() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), MAX_BUNDLES + 1, &IncidentTrigger::new(Kind::Requested, "an operator requested it"));
    let there = bundles(folder.path());
    assert_eq!((there.len(), there[0]), (MAX_BUNDLES + 1, false));
    assert!(there[1..].iter().all(|there| *there), "{there:?}");
    let oldest = &kept(&Home::new(folder.path()))[0];
    assert!(Home::new(folder.path()).incidents().join(&oldest.id).join("note.md").exists());
}

#[test]
fn after_six_automatic_bundles_there_are_none_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    keep(folder.path(), MAX_AUTOMATIC - 1, &IncidentTrigger::new(Kind::Rollback, "it was taken back"));
    for (kind, made) in [(Kind::Hang, MAX_AUTOMATIC), (Kind::Crash, MAX_AUTOMATIC)] {
        recorder.notice(IncidentTrigger::new(kind, "it happened"));
        recorder.finish();
        assert_eq!(bundles(folder.path()).len(), made, "{kind:?}");
    }
    let log = std::fs::read_to_string(Home::new(folder.path()).log()).unwrap();
    assert!(log.contains("it happened") && log.contains("there were too many recently"), "{log}");
}

#[test]
fn requested_bundles_do_not_count_as_automatic() {
    for kind in [Kind::Rollback, Kind::Requested] {
        let folder = tempfile::tempdir().unwrap();
        let requested_by = Some(("local:ada".to_owned(), String::new()));
        keep(folder.path(), MAX_AUTOMATIC, &IncidentTrigger { requested_by, ..IncidentTrigger::new(kind, "by hand") });
        let recorder = recorder(folder.path());
        recorder.notice(IncidentTrigger::new(Kind::Crash, "it broke"));
        recorder.finish();
        let kept = kept(&Home::new(folder.path()));
        assert_eq!(kept.iter().filter(|it| it.kind == Kind::Crash).count(), 1, "{kind:?}: {kept:?}");
    }
}

#[test]
fn an_incident_has_the_time_of_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let at = Timestamp::now() - Duration::from_secs(90);
    let trigger = IncidentTrigger { at, ..IncidentTrigger::new(Kind::Rollback, "it was taken back") };
    let recorder = recorder(folder.path());
    recorder.start(trigger).expect("it begins");
    recorder.finish();
    let kept = kept(&Home::new(folder.path()));
    assert_eq!(kept[0].ts, at.to_string());
    let note = Home::new(folder.path()).incidents().join(&kept[0].id).join("note.md");
    let note = std::fs::read_to_string(note).unwrap();
    assert!(note.contains(&format!("| when | {at} |")), "{note}");
}

#[test]
fn a_recorder_is_busy_until_its_bundle_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    assert!(!recorder.is_busy());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    *recorder.in_progress.lock().unwrap() = Some(std::thread::spawn(move || _ = wait.recv()));
    recorder.start(IncidentTrigger::new(Kind::Requested, "an operator requested it")).expect("it begins");
    assert!(recorder.is_busy(), "it waits for the one before");
    drop(go);
    recorder.finish();
    assert!(!recorder.is_busy());
}

#[test]
fn an_incident_has_a_note_before_its_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    *recorder.in_progress.lock().unwrap() = Some(std::thread::spawn(move || _ = wait.recv()));
    let trigger = IncidentTrigger {
        sections: "### Windows\n\n- window 3 was red".to_owned(),
        ..IncidentTrigger::new(Kind::Rollback, "the release `a` was rolled back")
    };
    let (_, announced) = recorder.start(trigger).expect("it begins");
    announced.recv().expect_err("it ends without a word");
    let home = Home::new(folder.path());
    let note = |it: &Incident| std::fs::read_to_string(home.incidents().join(&it.id).join(NOTE)).expect("a note");
    let found = kept(&home);
    let text = note(&found[0]);
    assert!(!found[0].is_finished() && found[0].missing == [UNFINISHED], "{found:?}");
    for part in ["the release `a` was rolled back", "window 3 was red", UNFINISHED] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A shard that ends now leaves this; the next one of the run says what is missing.
    let said = unfinished(&home, RUN);
    assert!(said.len() == 1 && said[0].contains(&found[0].id) && said[0].contains(&format!("--run {RUN}")), "{said:?}");
    assert!(unfinished(&home, "another-run").is_empty());
    recorder.notice(IncidentTrigger::new(Kind::Rollback, "and again"));
    drop(go);
    recorder.finish();
    let found = kept(&home);
    assert!(
        found.len() == 1 && found[0].is_finished() && !found[0].missing.iter().any(|it| it == UNFINISHED),
        "{found:?}"
    );
    let text = note(&found[0]);
    assert!(text.contains("window 3 was red") && text.trim_end().ends_with("and again"), "{text}");
    assert!(unfinished(&home, RUN).is_empty());
}

#[test]
fn a_stop_gives_up_requested_bundles_that_have_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    *recorder.in_progress.lock().unwrap() = Some(std::thread::spawn(move || _ = wait.recv()));
    for _ in 0..40 {
        recorder.start(IncidentTrigger::new(Kind::Requested, "ada: drill")).expect("it waits");
    }
    recorder.start(IncidentTrigger::new(Kind::Crash, "it broke")).expect("it waits");
    recorder.give_up_requests();
    drop(go);
    recorder.finish();
    let home = Home::new(folder.path());
    let kinds: Vec<Kind> = kept(&home).into_iter().map(|incident| incident.kind).collect();
    assert_eq!((kinds, recorder.given_up()), (vec![Kind::Crash], 40));
    let log = std::fs::read_to_string(home.log()).unwrap();
    assert!(log.contains("because the shard stops (ada: drill). `townlet incident bundle"), "{log}");
}

#[test]
fn a_repetition_is_a_line_in_the_note_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    for _ in 0..=MAX_REPEAT_LINES + 1 {
        recorder.notice(IncidentTrigger::new(Kind::Hang, "tick 7 hangs"));
        recorder.finish();
    }
    let kept = kept(&Home::new(folder.path()));
    assert_eq!(kept.len(), 1, "{kept:?}");
    let note = Home::new(folder.path()).incidents().join(&kept[0].id).join("note.md");
    let text = std::fs::read_to_string(note).unwrap();
    let (_, again) = text.split_once("## Repetitions").expect("its last section");
    assert_eq!(again.matches("tick 7 hangs").count(), MAX_REPEAT_LINES, "{text}");
}

/// The default town's, with another target.
fn sources(attendance: &str) -> Sources {
    with(&[("kpis.attendance", attendance)])
}

fn with(settings: &[(&str, &str)]) -> Sources {
    Sources::default_town(settings).expect("it holds").without_perturbations()
}

fn reload(index: u64, tick: u64, sources: Sources) -> Entry {
    Entry::Reload { index, tick, cmd_id: format!("id-{index}"), issuer: "test".into(), sources: Box::new(sources) }
}

/// A run whose journal holds these entries, from the seed on.
fn journalled(home: &Path, entries: &[Entry]) -> Run {
    let run = run(home, RUN);
    let header = Header {
        version: journal::VERSION,
        run_id: RUN.into(),
        shard: "harbour".into(),
        place: SegmentPlace::FIRST,
        sources: sources("0.8"),
        policy: "scripted".into(),
        base: Base::Seed(7),
    };
    let journal = Journal::create(&run.home.journal(RUN, 0), &header).expect("it is made");
    for entry in entries {
        journal.append(entry.clone());
    }
    journal.flush().expect("it is written");
    run
}

#[test]
fn reading_a_journal_stops_at_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<Sources> = ["0.5", "0.6"].map(sources).into();
    let run = journalled(folder.path(), &[reload(0, 0, texts[0].clone()), reload(1, 0, texts[1].clone())]);
    for (patience, read, whole) in [(Duration::ZERO, 0, false), (TIMEOUT, 1, true)] {
        let all = collect::collect(&run, &IncidentTrigger::new(Kind::Requested, "an operator requested it"), patience);
        assert_eq!(all.sources.as_ref(), Some(&texts[read]));
        assert_eq!(all.replay.as_ref().map(|replay| replay.town.is_some()), Some(whole));
        let said = all.bundle.missing.iter().any(|item| item.item == "configuration at the end");
        assert_eq!(said, !whole, "{:?}", all.bundle.missing);
    }
}

#[test]
fn texts_before_the_replay_are_not_reported_as_redacted() {
    let folder = tempfile::tempdir().unwrap();
    let token = with(&[("affordances.affordances_file", "twn_ab12_00ffee00ffee00ff")]);
    for (at, redacted) in [(0, false), (1, true)] {
        let home = folder.path().join(at.to_string());
        let mut texts = [sources("0.5"), sources("0.6")];
        texts[at] = token.clone();
        let [first, second] = texts;
        let run = journalled(&home, &[reload(0, 0, first), reload(1, 0, second)]);
        // The last snapshot but one, where the replay begins, has the first reload behind it.
        let mut town = Town::new(Arc::new(Rules::new(sources("0.8")).expect("a town")), 7);
        town.reload(&Arc::new(Rules::new(sources("0.5")).expect("a town"))).expect("it is taken");
        for tick in [1, 2] {
            snapshots::save(&run.home.snapshots(&run.root, RUN), tick, &snapshot::save(&town), 9).expect("it is saved");
        }
        let late = std::time::Instant::now() + TIMEOUT;
        let found =
            replay::replay(&run.home, &run.root, RUN, &redaction::SecretRedactor::default(), late).expect("a replay");
        assert_eq!((found.redacted, found.town.is_some()), (redacted, true), "{at}: {:?}", found.notes);
    }
}

#[test]
fn a_record_with_an_old_name_is_refused_with_the_new_name() {
    let why = parse(br#"{ "id": "x", "lacking": [] }"#).unwrap_err();
    assert!(why.ends_with("`lacking` is now `missing`"), "{why}");
}

#[test]
fn the_snapshot_of_a_kept_state_is_built_once_and_hides_names_as_then() {
    let rules = Rules::new(Sources::default_town(&[]).unwrap()).unwrap();
    let (town, status) = (Town::new(Arc::new(rules), 7), ShardStatus::default());
    let diagnostics = Diagnostics::default();
    assert!(diagnostics.view().is_none());
    diagnostics.keep(CapturedState::new(&town, None, &status, AuditTail::default()));
    status.names.hide(true);
    let view = diagnostics.view().unwrap();
    assert!(view.agents.len() == 8 && view.agents[0].id != "ada", "{}", view.agents[0].id);
    assert!(Arc::ptr_eq(&view, &diagnostics.view().unwrap()));
}
