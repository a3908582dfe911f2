//! The past of a run: any tick is rebuilt as it was lived, from keyframes and segments, and damage is named.
//!
//! `TOWNLET_SOAK=1` takes fifty runs of twenty seeks instead of two. Rules: "Keyframes", "Journal".

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::kit::{
    CONFIG_FILE, TestShard, journal_files, options_with_reload, soak, store_idle_policy, temp_home, wait_until,
};
use townlet_shard::Home;
use townlet_shard::history::History;
use townlet_shard::journal::{Entry, Segments};
use townlet_shard::recovery::JournalReplayer;
use townlet_town::Town;

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
    let mut files: Vec<PathBuf> = std::fs::read_dir(Home::new(home).keyframes(&run_of(home)))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
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
        assert!(!files.is_empty() && files.iter().all(|path| tick_of(path) >= Some(first)), "{first}: {files:?}");
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

/// A run with several keyframes and segments.
fn small_run(home: &Path) {
    let live = TestShard::from_file(home, &SETTINGS.replace("max_bytes: 65536", "max_bytes: 1048576"));
    live.run(9_500);
    wait_until("there are keyframes and segments", || {
        live.run(100);
        keyframes(home).len() >= 5 && journal_files(home).len() >= 3
    });
    live.shard.stop().expect("it is saved");
}

#[test]
fn a_keyframe_is_used_and_a_damaged_or_foreign_one_is_passed_over_by_name() {
    let home = temp_home();
    small_run(home.path());
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
    small_run(other.path());
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
    small_run(home.path());
    let files = journal_files(home.path());
    assert!(files.len() >= 3, "{files:?}");
    let begins = |index: usize| {
        let name = files[index].file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap().1;
        name.parse::<u64>().unwrap()
    };
    let last = history(home.path()).ticks().1;
    let (from, to) = (begins(files.len() - 2), begins(files.len() - 1));
    let whole = [last, to.midpoint(last), from - 1, 0];
    let (digests, _) = journalled(home.path(), &whole.into_iter().chain([to + 1]).collect());
    let damaged = &files[files.len() - 2];
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
    small_run(home.path());
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
