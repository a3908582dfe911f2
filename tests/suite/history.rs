//! The past of a run: any tick is rebuilt as it was lived, from keyframes and segments, and damage is named.
//!
//! `TOWNLET_SOAK=1` takes fifty runs of twenty seeks instead of two. Rules: "Keyframes", "Journal".

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::kit::{
    CONFIG_FILE, TestShard, files_below, journal_files, options_with_reload, soak, store_idle_policy, temp_home,
    wait_until,
};
use townlet_shard::Home;
use townlet_shard::history::{History, MarkCursor, MarkSelection, PastError};
use townlet_shard::journal::{Entry, Segments};
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::recovery::JournalReplayer;
use townlet_town::Town;
use townlet_wire::Snapshot;
use townlet_wire::history::{HistoryPage, Mark, MarkKind};

/// Small segments, few of them, and many keyframes.
const SETTINGS: &str = "
journal: { segment_bytes: 4096, max_bytes: 65536 }
keyframes: { every_ticks: 100, dense_days: 2, sparse_ticks: 500 }
";

/// A generator of numbers for a test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn run_of(home: &Path) -> String {
    Home::new(home).runs("harbour").pop().expect("there is a run")
}

fn keyframes(home: &Path) -> Vec<PathBuf> {
    let mut files = files_below(&Home::new(home).keyframes(&run_of(home)));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "tlk"));
    files.sort();
    files
}

fn history(home: &Path) -> History {
    let segments = Segments::of_run(&Home::new(home), &run_of(home)).expect("they follow each other");
    History::open(&Home::new(home), segments).expect("it is whole")
}

/// A run with commands, reloads, changes of policy and restarts at random ticks.
fn lived(home: &Path, dice: &mut Dice, days: u64) {
    let idle = store_idle_policy(home);
    let mut live = TestShard::from_file(home, SETTINGS);
    let (mut reloads, mut scripted) = (0, true);
    for number in 0..days {
        live.run(1 + dice.roll(900));
        match dice.roll(6) {
            0 | 1 => drop(live.line(&format!("setmoney ada {number}.5"))),
            2 => drop(live.expect_ok(&format!("price meal 1.{number}"))),
            3 => {
                reloads += 1;
                let edited = format!("{SETTINGS}kpis: {{ attendance: 0.{} }}\n", 50 + reloads);
                std::fs::write(home.join(CONFIG_FILE), edited).expect("the home can be written");
                live.expect_ok("reload_config");
            }
            4 => {
                let to = if scripted { idle.as_str() } else { "scripted" };
                scripted = !scripted;
                live.expect_ok(&format!("policy_swap {to} --reason test"));
            }
            _ => {
                live.shard.stop().expect("it is saved");
                drop(live);
                let options = options_with_reload(home);
                let recorded = townlet_shard::find_run(&options.home, "harbour", None, "snapshots").expect("a run");
                live = TestShard::from_handle(townlet_shard::resume(&recorded, options).expect("it resumes"));
            }
        }
        live.run(1 + dice.roll(900));
    }
    live.shard.stop().expect("it is saved");
}

/// The digests at these ticks with the commands of the tick applied, from a replay of the whole journal, and those that the
/// journal states.
fn journalled(home: &Path, ticks: &BTreeSet<u64>) -> (BTreeMap<u64, String>, BTreeMap<u64, String>) {
    let segments = Segments::of_run(&Home::new(home), &run_of(home)).expect("they follow each other");
    let (mut digests, mut stated) = (BTreeMap::new(), BTreeMap::new());
    let mut note = |town: &Town| {
        if ticks.contains(&town.tick()) {
            digests.insert(town.tick(), town.digest());
        }
    };
    let mut started: Option<JournalReplayer> = None;
    for segment in segments.iter() {
        let contents = segment.expect("it is whole").1;
        let player =
            started.get_or_insert_with(|| JournalReplayer::from_header(&contents.header).expect("it is whole"));
        player.begin_segment(&contents.header).expect("it follows");
        note(&player.town);
        for entry in contents.entries.iter() {
            player.apply(&entry, &mut note).expect("they agree");
            note(&player.town);
            if let Entry::Ticks { to, digest: Some(digest), .. } = entry {
                stated.insert(to, digest);
            }
        }
    }
    (digests, stated)
}

#[test]
fn every_tick_of_random_runs_is_the_one_that_was_lived() {
    let (runs, seeks, days) = if soak() { (50, 20, 40) } else { (2, 20, 24) };
    let mut pruned = 0;
    for seed in 0..runs {
        let home = temp_home();
        let mut dice = Dice(seed);
        lived(home.path(), &mut dice, days);
        let mut history = history(home.path());
        let (first, last) = history.ticks();
        pruned += u64::from(first > 0);
        let tick_of = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let files = keyframes(home.path());
        assert!(files.iter().all(|path| tick_of(path) >= Some(first)), "{first}: {files:?}");
        // A tick, a neighbour before it, and a tick with a digest in the journal.
        let mut wanted = Vec::new();
        for _ in 0..seeks {
            let tick = first + dice.roll(last - first + 1);
            wanted.extend([tick, tick.saturating_sub(dice.roll(30)).max(first), (tick / 100 * 100).max(first)]);
        }
        let (digests, stated) = journalled(home.path(), &wanted.iter().copied().collect());
        let mut equal = 0;
        for tick in wanted {
            let found = history.seek(tick).unwrap_or_else(|why| panic!("run {seed}, tick {tick}: {why}"));
            let digest = found.town().digest();
            assert_eq!((found.tick(), &digest), (tick, &digests[&tick]), "run {seed}, tick {tick}");
            equal += u64::from(stated.get(&tick) == Some(&digest));
        }
        assert!(equal > seeks / 2, "{equal} are stated by the journal");
        assert_eq!(history.take_notes(), Vec::<String>::new(), "run {seed}");
    }
    assert!(pruned > 0, "retention removed nothing");
}

/// A run with several keyframes and so many segments.
fn small_run(home: &Path, segments: usize) {
    let segment_bytes = if segments > 1 { 4_096 } else { 8_388_608 };
    let settings = format!(
        "journal: {{ segment_bytes: {segment_bytes} }}\nkeyframes: {{ every_ticks: 100, dense_days: 2, sparse_ticks: 500 }}\n"
    );
    let live = TestShard::from_file(home, &settings);
    live.run(9_500);
    wait_until("there are keyframes and segments", || {
        live.run(100);
        keyframes(home).len() >= 5 && journal_files(home).len() >= segments
    });
    live.shard.stop().expect("it is saved");
}

#[test]
fn a_keyframe_is_used_and_a_damaged_or_foreign_one_is_passed_over_by_name() {
    let home = temp_home();
    small_run(home.path(), 1);
    let files = keyframes(home.path());
    assert!(files.len() >= 4, "{files:?}");
    let tick_of = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    // One damaged, one of another tick, one of another town.
    let [first, second, third, good]: [&PathBuf; 4] =
        [&files[files.len() - 1], &files[files.len() - 2], &files[files.len() - 3], &files[files.len() - 4]];
    let good_bytes = std::fs::read(good).unwrap();
    let mut damaged = std::fs::read(first).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(first, damaged).unwrap();
    std::fs::write(second, &good_bytes).unwrap();
    let other = temp_home();
    small_run(other.path(), 1);
    let foreign = keyframes(other.path()).pop().expect("there is one");
    std::fs::copy(foreign, third).unwrap();
    let mut history = history(home.path());
    let last = history.ticks().1;
    let (digests, _) = journalled(home.path(), &[last - 1, last].into());
    assert_eq!(history.seek(last).expect("it is rebuilt").town().digest(), digests[&last]);
    let notes = history.take_notes();
    let said = |file: &PathBuf, why: &str| {
        notes.iter().any(|note| note.starts_with(&format!("{}: ", file.display())) && note.contains(why))
    };
    assert_eq!(notes.len(), 3, "{notes:#?}");
    assert!(said(first, "its length or its checksum is wrong. It was passed over"), "{notes:#?}");
    assert!(said(second, &format!("it holds tick {}", tick_of(good))), "{notes:#?}");
    assert!(said(third, "it is of run "), "{notes:#?}");
    // Once.
    assert_eq!(history.seek(last - 1).unwrap().town().digest(), digests[&(last - 1)]);
    assert_eq!(history.take_notes(), Vec::<String>::new());
    // Without any keyframe it takes longer and is the same.
    std::fs::remove_dir_all(Home::new(home.path()).keyframes(&run_of(home.path()))).unwrap();
    let mut history = self::history(home.path());
    assert_eq!(history.seek(last).unwrap().town().digest(), digests[&last]);
}

#[test]
fn a_damaged_segment_is_said_and_the_others_can_be_looked_at() {
    let home = temp_home();
    small_run(home.path(), 4);
    let files = journal_files(home.path());
    assert!(files.len() >= 4, "{files:?}");
    let begins = |index: usize| {
        let name = files[index].file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap().1;
        name.parse::<u64>().unwrap()
    };
    let last = history(home.path()).ticks().1;
    // The run may have ended where a segment begins.
    let newest = (0..files.len()).rfind(|index| begins(*index) < last).expect("the run has ticks");
    let (from, to) = (begins(newest - 1), begins(newest));
    let whole = [last, to.midpoint(last), from - 1, 0];
    let (digests, _) = journalled(home.path(), &whole.into_iter().chain([to + 1]).collect());
    let damaged = &files[newest - 1];
    let mut bytes = std::fs::read(damaged).unwrap();
    let end = bytes.len() - 40;
    bytes[end] ^= 1;
    std::fs::write(damaged, bytes).unwrap();
    let mut history = history(home.path());
    for tick in whole {
        let found = history.seek(tick).unwrap_or_else(|why| panic!("{tick}: {why}"));
        assert_eq!(found.town().digest(), digests[&tick], "tick {tick}");
    }
    let why = history.seek(from.midpoint(to)).err().expect("it is damaged");
    assert!(why.starts_with(&damaged.display().to_string()) && why.contains("is damaged"), "{why}");
    assert_eq!(history.current().tick(), 0, "the moment before stays");
    // The first ticks after it have no events before them, and that is said.
    history.take_notes();
    assert_eq!(history.seek(to + 1).expect("its segment is whole").town().digest(), digests[&(to + 1)]);
    assert!(history.take_notes().iter().all(|note| note.contains("is damaged")));
}

#[test]
fn a_town_that_differs_from_its_journal_is_said() {
    let home = temp_home();
    small_run(home.path(), 1);
    // A journal whose checksums hold, with another option chosen.
    let newest = journal_files(home.path()).pop().unwrap();
    let contents = townlet_shard::journal::read(&newest).unwrap();
    let (place, (entry, _)) = (contents.entries.begin(), contents.entries.at(contents.entries.begin()).unwrap());
    let Entry::Ticks { from, to, mut options, digest } = entry else { panic!("{entry:?}") };
    let changed = options.iter_mut().find(|option| **option != 0).expect("something was chosen");
    *changed = 0;
    let body = postcard_body(&Entry::Ticks { from, to, options, digest });
    let mut bytes = std::fs::read(&newest).unwrap();
    let length = u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap()) as usize;
    bytes.splice(place..place + 8 + length, body);
    std::fs::write(&newest, bytes).unwrap();
    std::fs::remove_dir_all(Home::new(home.path()).keyframes(&run_of(home.path()))).unwrap();
    let mut history = history(home.path());
    let last = history.ticks().1;
    let why = history.seek(last).err().expect("they differ");
    assert!(why.starts_with(&newest.display().to_string()), "{why}");
    assert!(why.contains("the journal says") || why.contains("the options do not fit"), "{why}");
}

/// An entry as a frame.
fn postcard_body(entry: &Entry) -> Vec<u8> {
    let body = postcard::to_stdvec(entry).unwrap();
    let head = [(body.len() as u32).to_le_bytes(), crc32fast::hash(&body).to_le_bytes()].concat();
    [head, body].concat()
}

const ALL: MarkSelection = MarkSelection::newest(100_000);

/// The first and last tick that a running shard can show.
fn ticks(live: &TestShard) -> (u64, u64) {
    let page = live.shard.past_marks("a", ALL).expect("there is a journal");
    (page.first_tick, page.last_tick)
}

#[test]
fn a_running_shard_shows_its_past_and_ticks_on() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), SETTINGS);
    let mut seen = Vec::new();
    for _ in 0..5 {
        live.run(700);
        seen.push(live.view());
        live.expect_ok("setmoney ada 7");
    }
    assert_eq!(ticks(&live), (0, 3_500));
    for view in seen.iter().rev().chain(&seen) {
        let past = live.shard.past_view("a", view.tick).expect("it is rebuilt");
        assert_eq!((past.tick, past.clock.speed.as_str()), (view.tick, "paused"));
        // Keyframes have the alerts that the shard saw, the journal has none.
        let events = |view: &Snapshot| {
            let of_town = view.events.iter().filter(|event| !event.event.starts_with("alert_"));
            of_town.cloned().collect::<Vec<_>>()
        };
        assert_eq!(events(&past), events(view), "tick {}", view.tick);
        assert_eq!((past.kpis, past.day), (view.kpis.clone(), view.day));
        let commands = past.audit.records.iter().filter(|row| row.command == "setmoney" && row.stage == "outcome");
        assert_eq!(commands.count() as u64, view.tick / 700, "with the command of this tick, and none of a later one");
    }
    // What is lived meanwhile can be seen as soon as the journal has it.
    let why = live.shard.past_view("a", 4_200).expect_err("it is the future");
    assert_eq!(why, PastError::NoTick { tick: 4_200, first: 0, last: 3_500 });
    assert_eq!(why.to_string(), "tick 4,200 is not in the journal, which has ticks 0 to 3,500");
    live.run(700);
    wait_until("it is the past by now", || live.shard.past_view("a", 4_200).is_ok_and(|view| view.tick == 4_200));
    // Names are hidden as they are now, also in the past.
    live.expect_ok("privacy on");
    let hidden = live.shard.past_view("a", 700).expect("it is rebuilt");
    assert!(hidden.agents.iter().all(|agent| agent.id != "ada") && !hidden.agents.is_empty(), "names are shown");
    // Retention removes what was looked at.
    live.run(20_000);
    wait_until("retention removes a segment", || ticks(&live).0 > 0);
    assert!(matches!(live.shard.past_view("a", 0), Err(PastError::NoTick { .. })));
    // It may go on removing meanwhile.
    wait_until("the first tick that is left is shown", || {
        let first = ticks(&live).0;
        live.shard.past_view("a", first).is_ok_and(|view| view.tick == first)
    });
}

#[test]
fn the_marks_of_a_run_are_those_that_were_lived_also_after_a_restart_and_in_a_recording() {
    let home = temp_home();
    // The scripted policy and one shift that may be missed, so that residents leave soon.
    let text = "stability: { window_ticks: 500 }\nemployment: { max_absent_shifts: 1 }\n";
    let live = TestShard::from_file(home.path(), text);
    live.run(300);
    live.expect_ok("perturbation_trigger blackout");
    live.expect_ok("employment_exit request ada --reason drill");
    live.expect_ok("employment_exit approve ada");
    live.expect_ok("incident --reason drill");
    live.run(1_700);
    live.expect_ok("reload_config");
    let idle = store_idle_policy(home.path());
    live.expect_ok(&format!("policy_swap {idle} --reason test"));
    live.line("employment_exit approve nobody");
    live.run(1_000);
    live.expect_ok("pause");
    let kinds = |page: &HistoryPage| page.marks.iter().map(|mark| mark.kind).collect::<BTreeSet<_>>();
    let of = |page: &HistoryPage, kind: MarkKind| {
        page.marks.iter().filter(|mark| mark.kind == kind).cloned().collect::<Vec<Mark>>()
    };
    let wanted: BTreeSet<MarkKind> = MarkKind::ALL.into();
    let view = live.view();
    let mut found = HistoryPage::default();
    wait_until("every kind of mark is there", || {
        found = live.shard.past_marks("a", ALL).expect("there is a journal");
        let closed = found.marks.iter().filter(|mark| matches!(mark.kind, MarkKind::GreenWindow | MarkKind::RedWindow));
        closed.count() == view.stability.windows.iter().filter(|it| it.verdict != "inconclusive").count()
            && found.last_tick == 3_000
            && [MarkKind::Exit, MarkKind::Incident, MarkKind::Release].iter().all(|kind| kinds(&found).contains(kind))
    });
    let seen = kinds(&found);
    let missing: Vec<_> = wanted.difference(&seen).collect();
    assert!(missing.len() <= 1, "{missing:?}: {:#?}", found.marks);
    assert!(found.marks.is_sorted_by_key(|mark| mark.tick));
    assert_eq!((found.first_tick, found.last_tick, found.marks_from), (0, 3_000, 0));
    // What was refused, and what changes only the pace, is no mark.
    let commands: Vec<String> = of(&found, MarkKind::Command).into_iter().map(|mark| mark.text).collect();
    let texts = [
        "test:admin: perturbation_trigger blackout".to_owned(),
        "test:admin: employment_exit request ada".into(),
        "test:admin: employment_exit approve ada".into(),
        "test:admin: incident".into(),
        format!("test:admin: policy_swap {idle}"),
    ];
    assert_eq!(commands, texts);
    assert!(of(&found, MarkKind::Release)[0].text.ends_with(&format!("was replaced by {idle}")));
    assert_eq!((of(&found, MarkKind::Release)[0].tick, of(&found, MarkKind::Incident)[0].tick), (2_000, 300));
    // Pages, ranges and kinds.
    let mut paged: Vec<Mark> = Vec::new();
    let mut selection = MarkSelection { limit: 3, ..ALL };
    loop {
        let page = live.shard.past_marks("a", selection.clone()).expect("there is a journal");
        assert!(page.marks.len() <= 3);
        paged.splice(..0, page.marks);
        let Some(before) = page.before else { break };
        selection.before = MarkCursor::parse(&before);
        assert!(selection.before.is_some(), "{before}");
    }
    assert_eq!(paged, found.marks);
    let some = MarkSelection { from: 2_000, to: 2_000, kinds: vec![MarkKind::Reload, MarkKind::Release], ..ALL };
    let some = live.shard.past_marks("a", some).expect("there is a journal").marks;
    assert_eq!(
        some.iter().map(|mark| mark.kind).collect::<BTreeSet<_>>(),
        [MarkKind::Reload, MarkKind::Release].into()
    );
    // Names are hidden as they are now.
    live.expect_ok("privacy on");
    let hidden = live.shard.past_marks("a", ALL).expect("there is a journal");
    assert!(!hidden.marks.is_empty() && hidden.marks.iter().all(|mark| !mark.text.to_lowercase().contains("ada")));
    live.expect_ok("privacy off");
    live.shard.stop().expect("it is saved");
    let run = live.shard.run_id.clone();
    drop(live);
    // A recording has the same ones. The switch of privacy is the newest.
    let segments = Segments::of_run(&Home::new(home.path()), &run).expect("they follow each other");
    let recorded = RecordedRun::open(&Home::new(home.path()), segments).expect("it is whole").page(&ALL);
    assert_eq!(recorded.marks[..found.marks.len()], found.marks);
    let live = TestShard::from_handle({
        let options = options_with_reload(home.path());
        let recorded = townlet_shard::find_run(&options.home, "harbour", None, "snapshots").expect("a run");
        townlet_shard::resume(&recorded, options).expect("it resumes")
    });
    live.run(500);
    let resumed = live.shard.past_marks("a", ALL).expect("there is a journal");
    assert_eq!(resumed.marks[..found.marks.len()], found.marks);
    assert_eq!((resumed.last_tick, resumed.marks_from), (3_500, 0));
}

#[test]
fn a_restart_uses_the_newest_keyframe_and_passes_over_a_damaged_one_by_name() {
    let home = temp_home();
    small_run(home.path(), 1);
    let resume = || {
        let options = options_with_reload(home.path());
        let found = townlet_shard::find_run(&options.home, "harbour", None, "snapshots").expect("a run");
        TestShard::from_handle(townlet_shard::resume(&found, options).expect("it resumes"))
    };
    let live = resume();
    let (tick, digest) = (live.view().tick, live.digest());
    live.shard.stop().expect("it is saved");
    drop(live);
    let snapshots = Home::new(home.path()).snapshots("snapshots", &run_of(home.path()));
    let from = |file: &PathBuf| {
        std::fs::remove_dir_all(&snapshots).expect("there are snapshots");
        let live = resume();
        assert_eq!((live.view().tick, live.digest()), (tick, digest.clone()), "{}", file.display());
        let notes = live.shard.notes.join("\n");
        let name = format!(" of {}; ", file.display());
        assert!(notes.contains("resumed at tick ") && notes.contains(&name), "{name}: {notes}");
        live.shard.stop().expect("it is saved");
        notes
    };
    let files = keyframes(home.path());
    let [.., second, newest] = files.as_slice() else { panic!("{files:?}") };
    assert!(!from(newest).contains("was skipped"));
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    let skipped = format!("{}: it is damaged: its length or its checksum is wrong. It was skipped.", newest.display());
    assert!(from(second).contains(&skipped), "{skipped}");
}

#[test]
fn a_town_at_full_speed_lives_on_while_clients_drag_through_its_past() {
    let home = temp_home();
    let live = TestShard::paused(home.path());
    live.expect_ok("speed max");
    live.expect_ok("resume");
    wait_until("it has a past", || live.shard.tick() > 2_000);
    let drags = if soak() { 250 } else { 15 };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let shard = &live.shard;
            scope.spawn(move || {
                let mut dice = Dice(number);
                for _ in 0..drags {
                    let tick = dice.roll(2_000);
                    wait_until("a past tick is shown", || match shard.past_view(&number.to_string(), tick) {
                        Ok(view) => view.tick == tick,
                        Err(PastError::Busy | PastError::Unfinished { .. } | PastError::NoTick { .. }) => false,
                        Err(why) => panic!("{why}"),
                    });
                }
            });
        }
    });
    let during = live.shard.tick();
    wait_until("it goes on", || live.shard.tick() > during);
    live.expect_ok("pause");
    let (tick, digest) = (live.view().tick, live.digest());
    live.shard.stop().expect("it is saved");
    // The journal has every tick, and leads to the town that was lived.
    let mut history = history(home.path());
    assert_eq!((history.ticks(), history.seek(tick).expect("they agree").town().digest()), ((0, tick), digest));
    assert_eq!(history.take_notes(), Vec::<String>::new());
}
