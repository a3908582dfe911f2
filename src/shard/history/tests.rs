//! Keyframe files, their folder, and the moments kept in memory.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use townlet_learn::Scripted;
use townlet_town::{Rules, Sources, Town, snapshot};

use super::cache::MomentCache;
use super::keyframe::{Capture, Keyframe};
use super::keyframe_store::{KeyframeStore, KeyframeWriter, list};
use super::moment::{Moment, memory};
use crate::disk_thread::DiskThread;
use crate::journal::{Base, Header, SegmentPlace, VERSION};
use crate::log::Log;
use crate::recovery::JournalReplayer;
use crate::telemetry::EventFeed;

const RUN: &str = "harbour-20260101-000000-000aaa";

fn rules(settings: &[(&str, &str)]) -> Arc<Rules> {
    Arc::new(Rules::new(Sources::default_town(settings).unwrap()).unwrap())
}

/// A town that has lived some ticks, with the feed of its events.
fn lived(rules: &Arc<Rules>, ticks: u64) -> (Town, EventFeed) {
    let (mut town, mut feed) = (Town::new(Arc::clone(rules), 7), EventFeed::default());
    while town.tick() < ticks {
        town.step(&mut Scripted);
        feed.record_events(&town);
        town.clear_events();
    }
    (town, feed)
}

fn capture(town: &Town, feed: &EventFeed) -> Capture {
    let (rules, state) = (Arc::clone(town.rules()), town.state().clone());
    Capture { run_id: RUN.into(), policy: "scripted".into(), rules, state, feed: feed.without_new() }
}

#[test]
fn a_keyframe_gives_back_what_was_saved() {
    let rules = rules(&[]);
    let (town, feed) = lived(&rules, 1_300);
    assert!(!feed.events.is_empty() && !feed.narrations.is_empty(), "something happened");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlk");
    fs::write(&path, capture(&town, &feed).encode()).unwrap();
    let found = Keyframe::read(&path, Some(&rules)).unwrap();
    assert_eq!((found.run_id.as_str(), found.policy.as_str()), (RUN, "scripted"));
    assert_eq!(found.town.digest(), town.digest());
    assert!(Arc::ptr_eq(found.town.rules(), &rules), "equal rules are shared");
    assert_eq!((&found.feed.events, &found.feed.narrations), (&feed.events, &feed.narrations));
    assert_eq!(found.feed.counters(), feed.counters());
    // Other rules are not mistaken for those of the file.
    let other = self::rules(&[("employment.daily_exit_cap", "1")]);
    let found = Keyframe::read(&path, Some(&other)).unwrap();
    assert_eq!((&found.town.rules().sources, found.town.digest()), (&rules.sources, town.digest()));
}

#[test]
fn a_damaged_keyframe_is_refused_with_the_reason() {
    let (town, feed) = lived(&rules(&[]), 100);
    let bytes = capture(&town, &feed).encode();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlk");
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Keyframe::read(&path, None).err().expect("it is refused")
    };
    for at in [0, 4, 12, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert_eq!(refusal(&changed), "it is damaged: its length or its checksum is wrong", "byte {at}");
    }
    for length in [0, 7, 100, bytes.len() - 1] {
        assert_eq!(refusal(&bytes[..length]), "it is damaged: its length or its checksum is wrong", "{length} bytes");
    }
    assert!(refusal(&[bytes.clone(), bytes.clone()].concat()).contains("damaged"), "one frame and no more");
    let refused = refusal(&crate::journal::frame(&(9_u32, RUN)));
    assert_eq!(refused, "it is version 9 of the keyframe; this program reads version 1");
    // A feed that states more than it may have.
    let packed = zstd::bulk::compress(&vec![b' '; 8 << 20], 1).unwrap();
    let refused = refusal(&crate::journal::frame(&(1_u32, RUN, "scripted", packed, snapshot::save(&town))));
    assert!(refused.contains("its events are invalid"), "{refused}");
    let refused = refusal(&crate::journal::frame(&(1_u32, RUN, "scripted", vec![0_u8; 3], vec![0_u8; 3])));
    assert!(refused.contains("it is not a townlet snapshot"), "{refused}");
    fs::remove_file(&path).unwrap();
    assert!(Keyframe::read(&path, None).err().unwrap().contains("No such file"));
}

/// A writer of a run, with its disk.
struct Disk {
    folder: tempfile::TempDir,
    writer: KeyframeWriter,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path().join("townlet.log"), "shard", false);
        let writer = KeyframeWriter::new(folder.path().join(RUN), 0, log);
        Self { folder, writer }
    }

    /// Writes a keyframe and waits for it.
    fn write(&mut self, town: &Town) {
        let disk = DiskThread::start();
        self.writer.write(capture(town, &EventFeed::default()), &disk, Instant::now());
    }

    fn ticks(&self) -> Vec<u64> {
        list(&self.folder.path().join(RUN)).into_iter().map(|(tick, _)| tick).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("townlet.log")).unwrap_or_default()
    }
}

#[test]
fn the_folder_of_a_run_is_thinned_and_what_a_crash_left_is_removed() {
    let settings = [("keyframes.every_ticks", "100"), ("keyframes.dense_days", "1"), ("keyframes.sparse_ticks", "500")];
    let rules = rules(&settings);
    let mut disk = Disk::new();
    let folder = disk.folder.path().join(RUN);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("000000000100.part"), b"half").unwrap();
    fs::write(folder.join("000000009000.tlk"), b"of a past that a crash took back").unwrap();
    let (mut town, _) = lived(&rules, 0);
    while town.tick() < 2_000 {
        town.step(&mut Scripted);
        town.clear_events();
        if town.tick().is_multiple_of(200) {
            disk.write(&town);
        }
    }
    // The first of each 500 ticks before the newest day of 1,000 ticks, and all of that day.
    assert_eq!(disk.ticks(), [200, 600, 1_000, 1_200, 1_400, 1_600, 1_800, 2_000]);
    assert!(!folder.join("000000000100.part").exists());
    assert_eq!(disk.writer.store.remove_before(1_200).0, 3);
    assert_eq!(disk.ticks(), [1_200, 1_400, 1_600, 1_800, 2_000]);
    // Another process goes on with the files that are there.
    disk.writer = KeyframeWriter::new(folder.clone(), 2_000, Log::new(folder.join("log"), "shard", false));
    while town.tick() < 2_500 {
        town.step(&mut Scripted);
        town.clear_events();
    }
    disk.write(&town);
    assert_eq!(disk.ticks(), [1_200, 1_600, 1_800, 2_000, 2_500]);
}

#[test]
fn the_bound_on_disk_holds() {
    let rules = rules(&[("keyframes.every_ticks", "100"), ("keyframes.max_bytes", "1048576")]);
    let (town, feed) = lived(&rules, 100);
    let size = capture(&town, &feed).encode().len() as u64;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(KeyframeStore::new(folder.path().join(RUN)));
    let mut writer = KeyframeWriter::new(folder.path().join(RUN), 0, Log::new(folder.path().join("log"), "a", false));
    writer.store = store;
    for number in 1..=1_048_576 / size + 60 {
        let mut capture = capture(&town, &feed);
        capture.state.tick = number * 100;
        writer.write(capture, &DiskThread::start(), Instant::now());
        let files = list(&folder.path().join(RUN));
        let bytes: u64 = files.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= 1_048_576, "{bytes} bytes");
        assert_eq!(files.last().unwrap().0, number * 100);
    }
}

#[test]
fn one_keyframe_is_written_at_a_time_and_not_too_often() {
    let rules = rules(&[("keyframes.every_ticks", "300")]);
    let (town, _) = lived(&rules, 300);
    let mut disk = Disk::new();
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    let is_due = |writer: &KeyframeWriter, tick, now| writer.is_due(tick, &rules.config, now);
    assert!(is_due(&disk.writer, 300, later) && !is_due(&disk.writer, 299, later));
    let off = self::rules(&[("keyframes.every_ticks", "0")]);
    assert!(!disk.writer.is_due(u64::MAX, &off.config, later));
    let thread = DiskThread::start();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    thread.run(move || held.recv().unwrap_or_default());
    disk.writer.write(capture(&town, &EventFeed::default()), &thread, start);
    assert!(!is_due(&disk.writer, 600, later), "one is being written");
    drop(hold);
    drop(thread);
    assert!(is_due(&disk.writer, 600, later) && !is_due(&disk.writer, 599, later));
    assert!(!is_due(&disk.writer, 600, start), "not within a tenth of a second after the last one");
}

#[test]
fn a_keyframe_that_cannot_be_written_is_said_once() {
    let (town, _) = lived(&rules(&[]), 100);
    let mut disk = Disk::new();
    fs::write(disk.folder.path().join(RUN), b"a file in place of the folder").unwrap();
    disk.write(&town);
    disk.write(&town);
    assert_eq!(disk.log().matches("keyframes cannot be written: ").count(), 1, "{}", disk.log());
    fs::remove_file(disk.folder.path().join(RUN)).unwrap();
    disk.write(&town);
    assert_eq!(disk.log().matches("keyframes can be written again").count(), 1, "{}", disk.log());
    assert_eq!(disk.ticks(), [100]);
}

#[test]
fn the_moments_in_memory_are_bounded() {
    let rules = rules(&[]);
    let place = SegmentPlace::FIRST;
    let (version, run_id, shard, policy) = (VERSION, RUN.to_owned(), "harbour".to_owned(), "scripted".to_owned());
    let base = Base::Seed(7);
    let header = Header { version, run_id, shard, place, sources: rules.sources.clone(), policy, base };
    let (mut town, _) = lived(&rules, 0);
    for (moment_bytes, most) in [(memory(town.state()), 64), (8 << 20, 4), (1 << 30, 3), (0, 64)] {
        let mut cache = MomentCache::new(moment_bytes);
        for _ in 0..70 {
            town.step(&mut Scripted);
            town.clear_events();
            cache.keep(Moment::at_start(0, &header, JournalReplayer::from_town(town.clone())));
            // One that is used stays.
            let used = town.tick() - (town.tick() - 1) % 70;
            assert_eq!(cache.before(used).map(|moment| moment.tick()), Some(used));
            assert!(cache.len() <= most, "{} of {most}", cache.len());
        }
        assert_eq!(cache.len(), most);
        assert!(cache.before(0).is_none());
    }
}
