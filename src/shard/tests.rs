//! What a shard keeps on disk and tells of its town: journal files torn and damaged, names and claims, snapshots kept,
//! the operators' log, sentences held back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_files::write_atomically;
use townlet_town::affordances::ITEMS;
use townlet_town::ids::{JobId, ResidentId};
use townlet_town::{Command, Event, EventKind, Micro, Rules, Sources, Town, snapshot};

use super::command_table::Invocation;
use super::employment_log::{ExitDecision, append_decisions};
use super::home::{Home, new_run_id, run_id_at};
use super::journal::{self, Base, Entry, Header, Journal, SegmentPlace};
use super::operation::Operation;
use super::recovery::{JournalReplayer, recover_run};
use super::snapshots;
use super::telemetry::{EventFeed, ShardStatus, active_alerts};

const RUN: &str = "harbour-20260101-000000-000aaa";

fn sources(settings: &[(&str, &str)]) -> Sources {
    Sources::default_town(settings).unwrap().without_perturbations()
}

fn rules(settings: &[(&str, &str)]) -> Arc<Rules> {
    Arc::new(Rules::new(sources(settings)).unwrap())
}

fn header(base: Base) -> Header {
    let (run_id, shard) = (RUN.to_owned(), "harbour".to_owned());
    let (version, place, policy) = (journal::VERSION, SegmentPlace::FIRST, "scripted".into());
    Header { version, run_id, shard, place, sources: sources(&[]), policy, base }
}

fn price(index: u64, tick: u64) -> Entry {
    assert!(!ITEMS.is_empty());
    let value = Micro::whole(index as i64 + 1);
    let command = Command::SetPrice { item: 0, value };
    Entry::Command { index, tick, cmd_id: format!("id-{index}"), issuer: "test".into(), command }
}

fn entries(read: &journal::Contents) -> Vec<Entry> {
    read.entries.iter().collect()
}

/// A journal with these entries, written to the end.
fn journal(path: &Path, base: Base, entries: &[Entry]) {
    let journal = Journal::create(path, &header(base)).unwrap();
    for entry in entries {
        journal.append(entry.clone());
    }
    journal.flush().unwrap();
}

/// Ticks of a default town with a price set in between, and the town.
fn lived(home: &Home, ticks: u64) -> (PathBuf, Town) {
    let path = home.journal(RUN, 0);
    let mut town = Town::new(rules(&[]), 7);
    let mut entries = Vec::new();
    for _ in 0..ticks {
        let from = town.tick();
        let index = town.state().commands;
        let Entry::Command { command, .. } = price(index, from) else { unreachable!() };
        town.apply(&command).unwrap();
        entries.push(price(index, from));
        town.step(&mut townlet_learn::Scripted);
        let options = town.decisions().map(|(_, option)| option.index() as u8).collect();
        entries.push(Entry::Ticks { from, to: town.tick(), options, digest: Some(town.digest()) });
        town.clear_events();
    }
    journal(&path, Base::Seed(7), &entries);
    (path, town)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_the_journal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlj");
    let kept: Vec<Entry> = (0..3).map(|n| price(n, n)).collect();
    journal(&path, Base::Seed(7), &kept);
    let end = journal::read(&path).unwrap().end;
    drop(Journal::reopen(&path, end).map(|journal| journal.append(price(3, 3))));
    let bytes = std::fs::read(&path).unwrap();
    let whole = end.bytes;
    assert!(bytes.len() as u64 > whole + 8);
    for end in whole as usize..bytes.len() {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let read = journal::read(&path).unwrap();
        assert_eq!((&entries(&read), read.end.bytes, read.torn), (&kept, whole, end as u64 - whole), "cut at {end}");
        let journal = Journal::reopen(&path, read.end).unwrap();
        journal.append(price(9, 9));
        journal.flush().unwrap();
        let read = journal::read(&path).unwrap();
        assert_eq!(
            (read.entries.len(), read.entries.iter().last(), read.torn),
            (4, Some(price(9, 9)), 0),
            "cut at {end}"
        );
    }
}

#[test]
fn a_journal_cut_inside_its_header_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlj");
    journal(&path, Base::Seed(7), &[]);
    let bytes = std::fs::read(&path).unwrap();
    for end in (0..bytes.len()).step_by(97).chain([7, 8, 9, bytes.len() - 1]) {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let why = journal::read(&path).err().expect("it is no journal").to_string();
        assert!(why.contains("a.tlj") && why.contains("header"), "{why}");
    }
    assert!(Journal::create(&path, &header(Base::Seed(7))).is_err(), "nothing is overwritten");
}

#[test]
fn no_flipped_byte_of_a_frame_is_taken_for_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlj");
    journal(&path, Base::Seed(7), &[price(0, 0)]);
    let end = journal::read(&path).unwrap().end;
    let first = end.bytes as usize;
    drop(Journal::reopen(&path, end).map(|journal| journal.append(price(1, 1))));
    let bytes = std::fs::read(&path).unwrap();
    for at in first..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(&path, flipped).unwrap();
            let read = journal::read(&path).unwrap();
            assert_eq!((entries(&read), read.end), (vec![price(0, 0)], end), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_run_is_rebuilt_from_its_journal_and_from_a_later_files_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let (_, mut town) = lived(&home, 12);
    let rebuilt = recover_run(&home, "snapshots", RUN, None).unwrap();
    assert_eq!((rebuilt.town.tick(), rebuilt.town.digest()), (12, town.digest()));
    assert_eq!(rebuilt.commands.len(), 12);
    assert_eq!(rebuilt.commands[&("test".to_owned(), "id-3".to_owned())], 3);

    // Ticks 12 to 20 could not be written; the next file starts from the town itself.
    while town.tick() < 20 {
        town.step(&mut townlet_learn::Scripted);
        town.clear_events();
    }
    let base = Base::Snapshot(snapshot::save(&town));
    let entry = price(town.state().commands, 20);
    let Entry::Command { command, .. } = &entry else { unreachable!() };
    town.apply(command).unwrap();
    journal(&home.journal(RUN, 20), base, std::slice::from_ref(&entry));
    let rebuilt = recover_run(&home, "snapshots", RUN, None).unwrap();
    assert_eq!((rebuilt.town.tick(), rebuilt.town.digest()), (20, town.digest()));
    assert_eq!(rebuilt.journal.unwrap().0, home.journal(RUN, 20));
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let (_, town) = lived(&home, 12);
    let snapshots = home.snapshots("snapshots", RUN);
    snapshots::save(&snapshots, 5, b"no snapshot", 8).unwrap();
    let rebuilt = recover_run(&home, "snapshots", RUN, None).unwrap();
    assert_eq!(rebuilt.town.digest(), town.digest());
    assert!(rebuilt.notes.iter().any(|note| note.contains(&snapshots::name(5))), "{:?}", rebuilt.notes);
}

#[test]
fn a_replay_refuses_what_does_not_follow() {
    let mut player = JournalReplayer::from_header(&header(Base::Seed(7))).unwrap();
    let ticks = |from, to, options| Entry::Ticks { from, to, options, digest: None };
    assert!(player.apply(&ticks(5, 6, Vec::new()), |_| {}).unwrap_err().contains("tick 5"));
    assert!(player.apply(&ticks(0, 1, vec![200]), |_| {}).unwrap_err().contains("does not exist"));
    assert!(player.apply(&price(4, 0), |_| {}).unwrap_err().contains("does not follow"));
    assert!(player.apply(&ticks(0, 1, Vec::new()), |_| {}).unwrap_err().contains("do not fit"));
}

#[test]
fn later_runs_sort_later_and_are_found_by_shard() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let moments =
        ["2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.020Z", "2026-01-01T00:00:01Z", "2027-01-01T00:00:00Z"];
    let runs: Vec<String> = moments
        .iter()
        .zip(["fff", "eee", "ddd", "000"])
        .map(|(moment, chance)| run_id_at("Har bour", at(moment), chance))
        .collect();
    assert!(runs.is_sorted(), "{runs:?}");
    for run in runs.iter().rev() {
        journal(&home.journal(run, 0), Base::Seed(1), &[]);
    }
    journal(&home.journal(&run_id_at("har", at(moments[3]), "000"), 0), Base::Seed(1), &[]);
    journal(&home.journal(&runs[0], 100), Base::Seed(1), &[]);
    assert_eq!(home.runs("har bour"), runs);
    assert_eq!(home.journal_files(&runs[0]), [home.journal(&runs[0], 0), home.journal(&runs[0], 100)]);
    assert_eq!(new_run_id("har").len(), run_id_at("har", at(moments[0]), "fff").len());
}

#[test]
fn a_clock_that_was_set_back_does_not_reorder_runs() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let at = |text: &str| run_id_at("harbour", text.parse().unwrap(), "aaa");
    let before = [at("2026-03-01T10:00:00Z"), at("2026-03-02T10:00:00Z")];
    let (ahead, right) = (at("2031-01-01T00:00:00Z"), at("2026-03-03T10:00:00Z"));
    for run in before.iter().chain([&ahead, &right]) {
        journal(&home.journal(run, 0), Base::Seed(1), &[]);
    }
    assert_eq!(home.list_run(&ahead).unwrap(), 1);
    // Cut by a crash in the middle of a line.
    std::fs::write(home.run_list(), [std::fs::read(home.run_list()).unwrap(), b"harbour-2026".to_vec()].concat())
        .unwrap();
    assert_eq!(home.list_run(&right).unwrap(), 3, "a cut line keeps its number");
    home.list_run(&at("2026-03-04T10:00:00Z")).unwrap();
    assert_eq!(
        [&before[1], &ahead, &right].map(|run| home.run_number(run)),
        [None, Some(1), Some(3)],
        "numbers count what began, not what the clock says"
    );
    std::fs::create_dir_all(home.console()).unwrap();
    for run in [&before[1], &ahead] {
        std::fs::write(home.console().join(format!("{run}-0001.jsonl")), "").unwrap();
    }
    assert_eq!(home.run_before(&right).as_ref(), Some(&ahead));
    assert_eq!(home.run_before(&ahead).as_ref(), Some(&before[1]));
    assert_eq!(home.run_before(&before[1]), None);
    let expected = [before[0].clone(), before[1].clone(), ahead, right];
    assert_eq!(home.runs("harbour"), expected, "the last one listed has no file");
    assert_eq!(home.all_runs(), expected);
    // Trainings and sweeps as well; a training with several seeds has one name for each.
    let [early, late] = ["2026-03-05T10:00:00Z", "2026-03-06T10:00:00Z"].map(|time| format!("{}-seed-7", at(time)));
    home.list_run(&late).unwrap();
    home.list_run(&early).unwrap();
    let unlisted = run_id_at("airport", "2026-03-07T10:00:00Z".parse().unwrap(), "aaa");
    let trainings = [&early, &unlisted, &late, &before[1]].map(String::clone);
    assert_eq!(home.oldest_first(trainings), [before[1].clone(), unlisted, late, early]);
}

#[test]
fn a_second_claim_is_refused_by_name_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let claim = home.lock_shard("harbour", "harbour-1").unwrap();
    let why = home.lock_shard("harbour", "harbour-1").unwrap_err();
    assert!(why.contains("`harbour`") && why.contains(&format!("process {}", std::process::id())), "{why}");
    home.lock_shard("backlog", "backlog-1").unwrap();
    drop(claim);
    assert_eq!(home.last_locked_run("harbour"), None, "nothing of that run is there");
    let runs = [run_id_at("harbour", "2026-03-01T10:00:00Z".parse().unwrap(), "aaa"), new_run_id("harbour")];
    for run in &runs {
        journal(&home.journal(run, 0), Base::Seed(1), &[]);
    }
    home.lock_shard("harbour", &runs[0]).unwrap();
    assert_eq!((home.last_locked_run("harbour"), home.runs("harbour")), (Some(runs[0].clone()), runs.to_vec()));
}

#[test]
fn the_oldest_snapshots_go_and_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    for tick in [1_000, 20, 300, 4_000] {
        snapshots::save(folder.path(), tick, b"x", 3).unwrap();
    }
    let names = [300, 1_000, 4_000].map(|tick| folder.path().join(snapshots::name(tick)));
    assert_eq!(snapshots::list(folder.path()), names);
    snapshots::save(folder.path(), 5_000, b"x", 0).unwrap();
    assert_eq!(snapshots::list(folder.path()), [folder.path().join(snapshots::name(5_000))], "one is always kept");
}

#[test]
fn a_file_is_replaced_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/a.tls");
    for text in ["first", "a longer second", ""] {
        write_atomically(&path, text.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn decisions_are_one_row_each_whatever_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops/employment.md");
    let decision = |cmd_id: &str, reason: &str| ExitDecision {
        when: jiff::Timestamp::UNIX_EPOCH,
        shard: "har|bour".into(),
        tick: 3,
        issuer: "tui:ada".into(),
        decision: "approve".into(),
        resident: "ben".into(),
        reason: reason.into(),
        cmd_id: cmd_id.into(),
    };
    for (cmd_id, reason) in
        [("run-10", "a | b\nc\u{1b}[2J"), ("run-1", "says run-10"), ("run-10", "again"), ("run", "")]
    {
        append_decisions(&path, &[decision(cmd_id, reason)]).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("tui:ada")).collect();
    assert_eq!(rows.len(), 3, "each id once, and no id hides another:\n{text}");
    assert!(rows.iter().all(|row| row.replace("\\|", "").matches('|').count() == 9), "{text}");
    assert!(rows[0].contains("a \\| b") && !text.contains('\u{1b}'));
    assert_eq!(text.matches("# Employment exits").count(), 1);
    let hostile = ["![x](http://evil/p.png)", "<img src=//evil>", "a\u{200b}\u{2028}\u{e0041}b"].join(" ");
    for _ in 0..2 {
        let marked = ExitDecision { resident: hostile.clone(), ..decision("<img/src=x>", &hostile) };
        append_decisions(&path, &[marked]).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let row = text.lines().filter(|line| line.contains("evil")).collect::<Vec<_>>();
    assert_eq!(row.len(), 1, "written once:\n{text}");
    assert!(!text.chars().any(|it| it != '\n' && townlet_wire::is_unsafe(it)), "{text:?}");
    let row = row[0];
    for sign in ['<', '[', '!'] {
        assert_eq!(row.matches(sign).count(), row.matches(&format!("\\{sign}")).count(), "{row}");
    }
}

/// Late to work: a sentence of normal priority.
#[test]
fn a_line_is_read_once_and_read_back_from_the_log_as_the_same_operation() {
    let rules = rules(&[]);
    let read = |line: &str| Invocation::of_line(line, &rules.plan);
    for (line, command) in [
        ("setneed ADA hunger 0.5", Command::SetNeed { who: ResidentId(0), need: 0, value: Micro(500_000) }),
        ("set_exit_cap 7", Command::ExitCap(7)),
        ("employment_exit approve ben --reason \"moved away\"", Command::ExitApprove { who: ResidentId(1) }),
        (
            "perturbation_trigger storm --magnitude 2",
            Command::Trigger { event: "storm".into(), duration: None, magnitude: Some(Micro::whole(2)) },
        ),
    ] {
        let first = read(line).unwrap();
        let again = Invocation::of_record(&first.spec.name, &first.args, &rules.plan).unwrap();
        for invocation in [first, again] {
            assert!(matches!(invocation.operation, Ok(Operation::Town(it)) if it == command), "{line}");
        }
    }
    let why = read("set_exit_cap 1001").err().expect("it is out of range");
    assert_eq!(why.code, "E_INVALID_ARG");
    assert!(why.message.contains("from 0 to 1000") && why.hint.contains("set_exit_cap <exits>"), "{why:?}");
}

fn late(who: u32, tick: u64) -> Event {
    Event { tick, kind: EventKind::ShiftLate { who: ResidentId(who), job: JobId(0), ticks: 9 } }
}

fn narrated_ticks(feed: &EventFeed) -> Vec<u64> {
    feed.narrations.iter().map(|narration| narration.tick).collect()
}

#[test]
fn sentences_keep_their_distance_and_what_is_urgent_always_passes() {
    let narration = |name: &str| format!("telemetry.narration.{name}");
    let cooldown = narration("global_cooldown_ticks");
    let limits = rules(&[(&cooldown, "30")]);
    let mut feed = EventFeed::default();
    for tick in [0, 29, 30, 59, 61] {
        feed.record(&limits, &late(tick as u32, tick));
    }
    assert_eq!(narrated_ticks(&feed), [0, 30, 61]);
    for who in 0..3 {
        feed.record(&limits, &Event { tick: 62, kind: EventKind::Starving { who: ResidentId(who) } });
    }
    assert_eq!(narrated_ticks(&feed), [0, 30, 61, 62, 62, 62]);
    assert_eq!(feed.events.len(), 8, "every event is kept, told or not");
    assert_eq!(feed.counters()["shift_late"], 5);
}

#[test]
fn nothing_is_said_twice_inside_the_window_nor_too_much() {
    let settings = [
        ("telemetry.narration.global_cooldown_ticks", "0"),
        ("telemetry.narration.dedupe_window_ticks", "20"),
        ("telemetry.narration.global_window_ticks", "100"),
        ("telemetry.narration.global_window_limit", "3"),
    ];
    let limits = rules(&settings);
    let mut feed = EventFeed::default();
    for tick in [200, 210, 219, 220] {
        feed.record(&limits, &late(1, tick));
    }
    assert_eq!(narrated_ticks(&feed), [200, 220], "one sentence in 20 ticks");
    for who in 2..9 {
        feed.record(&limits, &late(who, 225));
    }
    assert_eq!(narrated_ticks(&feed), [200, 220, 225], "three sentences in 100 ticks");
    feed.record(&limits, &late(20, 300));
    assert_eq!(narrated_ticks(&feed), [200, 220, 225, 300]);
}

#[test]
fn an_explosion_of_rewards_is_an_alert_and_a_long_life_is_none() {
    let alert = |settings: &[(&str, &str)], ticks: u64| {
        let mut town = Town::new(rules(settings), 7);
        let mut raised = false;
        while town.tick() < ticks {
            town.step(&mut townlet_learn::Scripted);
            town.clear_events();
            let alerts = active_alerts(town.rules(), town.state(), &ShardStatus::default());
            raised |= alerts.iter().any(|alert| alert.name == "reward_explosion");
        }
        (raised, town.state().rewards.clip_events)
    };
    let (raised, clips) = alert(&[("rewards.clip.clip_per_tick", "0.01")], 1_000);
    assert!(raised && clips > 80, "{clips}");
    // The limit of an episode clips every reward of a resident who has lived here long enough. That is no explosion.
    let (raised, clips) = alert(&[("rewards.clip.clip_per_episode", "10")], 3_000);
    assert!(!raised && clips > 1_000, "{clips}");
    assert!(!alert(&[], 12_000).0, "the default town");
}
