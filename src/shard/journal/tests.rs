//! Segments: their order, what is found missing or damaged, and what retention removes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use townlet_town::{Rules, Sources, Town, snapshot};

use super::retention::{SegmentFile, removable};
use super::writer::{MAX_AGE, SegmentFill};
use super::*;
use crate::history::KeyframeStore;
use crate::home::Home;
use crate::log::Log;
use crate::recovery::{JournalReplayer, recover_run};

const RUN: &str = "harbour-20260101-000000-000aaa";
/// Ticks of a segment.
const TICKS: u64 = 20;
const KEEP_ALL: Retention =
    Retention { max_bytes: u64::MAX, reserve: 0, max_age: Duration::MAX, needed_from: u64::MAX };

/// A town with its journal.
struct Lived {
    folder: tempfile::TempDir,
    journal: Journal,
    town: Town,
}

fn sources() -> Sources {
    Sources::default_town(&[]).unwrap().without_perturbations()
}

fn header(base: Base) -> Header {
    let (run_id, shard, policy) = (RUN.to_owned(), "harbour".to_owned(), "scripted".to_owned());
    Header { version: VERSION, run_id, shard, place: SegmentPlace::FIRST, sources: sources(), policy, base }
}

impl Lived {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let town = Town::new(Arc::new(Rules::new(sources()).unwrap()), 7);
        let path = Home::new(folder.path()).journal(RUN, 0);
        let journal = Journal::create(&path, &header(Base::Seed(7))).unwrap();
        Self { folder, journal, town }
    }

    /// A journal of so many segments, all but the last complete.
    fn with_segments(count: u64) -> Self {
        let mut lived = Self::new();
        lived.ticks();
        for _ in 1..count {
            lived.begin_segment(&KEEP_ALL);
            lived.ticks();
        }
        lived.journal.flush().unwrap();
        lived
    }

    fn keyframes(&self) -> Arc<KeyframeStore> {
        Arc::new(KeyframeStore::new(self.home().keyframes(RUN)))
    }

    fn home(&self) -> Home {
        Home::new(self.folder.path())
    }

    fn files(&self) -> Vec<PathBuf> {
        self.home().journal_files(RUN)
    }

    fn ticks(&mut self) {
        for _ in 0..TICKS {
            let from = self.town.tick();
            self.town.step(&mut townlet_learn::Scripted);
            let options = self.town.decisions().map(|(_, option)| option.index() as u8).collect();
            let digest = Some(self.town.digest());
            self.journal.append(Entry::Ticks { from, to: self.town.tick(), options, digest });
            self.town.clear_events();
        }
    }

    fn begin_segment(&self, retention: &Retention) {
        let mut header = header(Base::Snapshot(snapshot::save(&self.town)));
        header.place.tick = self.town.tick();
        let log = Log::new(self.home().log(), "shard", false);
        self.journal.begin_segment(NewSegment {
            home: self.home(),
            header,
            retention: *retention,
            log,
            keyframes: self.keyframes(),
        });
        self.journal.flush().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home().log()).unwrap_or_default()
    }

    /// Why the whole journal cannot be read.
    fn refusal(&self) -> String {
        let read =
            Segments::of_run(&self.home(), RUN).and_then(|segments| segments.iter().try_for_each(|it| it.map(drop)));
        read.expect_err("it was read").to_string()
    }
}

#[test]
fn every_segment_replays_by_itself_and_all_of_them_as_one_journal() {
    let lived = Lived::with_segments(4);
    let segments = Segments::of_run(&lived.home(), RUN).unwrap();
    assert_eq!((segments.count(), segments.run_id(), segments.beginning()), (4, RUN, None));
    let mut whole: Option<JournalReplayer> = None;
    for (number, segment) in segments.iter().enumerate() {
        let (path, contents) = segment.unwrap();
        let place = &contents.header.place;
        assert_eq!((place.sequence, place.tick), (number as u64 + 1, number as u64 * TICKS));
        let mut alone = JournalReplayer::from_header(&contents.header).unwrap();
        let whole = whole.get_or_insert_with(|| alone.clone());
        whole.begin_segment(&contents.header).unwrap();
        for entry in contents.entries.iter() {
            alone.apply(&entry, |_| {}).unwrap();
            whole.apply(&entry, |_| {}).unwrap();
        }
        assert_eq!(alone.town.digest(), whole.town.digest(), "{}", path.display());
    }
    assert_eq!(whole.unwrap().town.digest(), lived.town.digest());
}

/// A damage of the four files of a journal, and what reading it says.
type Case = (&'static str, fn(&[PathBuf]), &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "a segment missing",
        |files| std::fs::remove_file(&files[1]).unwrap(),
        &[
            "000000000040.tlj: segment 2 of the run is missing between",
            "000000000000.tlj and this one; put back a copy",
        ],
    ),
    (
        "two segments missing",
        |files| files[1..3].iter().for_each(|file| std::fs::remove_file(file).unwrap()),
        &["000000000060.tlj: segments 2 to 3 of the run are missing between"],
    ),
    (
        "two segments swapped",
        |files| {
            let [first, second] = [1, 2].map(|index| std::fs::read(&files[index]).unwrap());
            std::fs::write(&files[1], second).unwrap();
            std::fs::write(&files[2], first).unwrap();
        },
        &["000000000020.tlj: it holds segment 3 of the run, from tick 40 on; files were swapped or renamed"],
    ),
    (
        "a segment twice",
        |files| assert!(std::fs::copy(&files[1], &files[2]).is_ok()),
        &["000000000040.tlj: it is segment 2, and", "000000000020.tlj, which stands before it, is segment 2"],
    ),
    (
        "the end of a segment cut off",
        |files| {
            let bytes = std::fs::read(&files[1]).unwrap();
            std::fs::write(&files[1], &bytes[..bytes.len() - 5]).unwrap();
        },
        &["000000000020.tlj: segment 2 is damaged or was replaced: it has", "000000000040.tlj follows"],
    ),
    (
        "the last entries of a segment missing",
        |files| {
            let end = FrameReader::open(&files[1]).unwrap();
            let header = frame(&end.header).len();
            let bytes = std::fs::read(&files[1]).unwrap();
            std::fs::write(&files[1], &bytes[..header]).unwrap();
        },
        &["000000000020.tlj: segment 2 is damaged or was replaced: it has"],
    ),
    (
        "a byte at the end of a segment altered",
        |files| {
            let mut bytes = std::fs::read(&files[1]).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&files[1], bytes).unwrap();
        },
        &["000000000020.tlj: segment 2 is damaged or was replaced: its", "are not those that"],
    ),
    (
        "a byte in the middle of a segment altered",
        |files| {
            let mut bytes = std::fs::read(&files[1]).unwrap();
            let at = bytes.len() - 300;
            bytes[at] ^= 1;
            std::fs::write(&files[1], bytes).unwrap();
        },
        &["000000000020.tlj: it is damaged at byte", "with whole entries behind it"],
    ),
    (
        "a header altered",
        |files| {
            let mut bytes = std::fs::read(&files[1]).unwrap();
            bytes[40] ^= 1;
            std::fs::write(&files[1], bytes).unwrap();
        },
        &["000000000020.tlj: it does not begin with an intact journal header"],
    ),
    (
        "a segment of another run",
        |files| {
            let mut header = FrameReader::open(&files[1]).unwrap().header;
            header.run_id = "harbour-20260101-000000-000bbb".into();
            std::fs::write(&files[1], frame(&header)).unwrap();
        },
        &["000000000020.tlj: it is of run harbour-20260101-000000-000bbb"],
    ),
];

#[test]
fn a_missing_swapped_or_damaged_segment_is_named() {
    for (what, damage, says) in CASES {
        let lived = Lived::with_segments(4);
        damage(&lived.files());
        let why = lived.refusal();
        assert!(says.iter().all(|part| why.contains(part)), "{what}: {why}");
    }
}

#[test]
fn only_the_last_segment_may_have_a_torn_end() {
    let Lived { folder, journal, .. } = Lived::with_segments(3);
    // A writer that is still at work would write the file again.
    drop(journal);
    let home = Home::new(folder.path());
    let last = home.journal_files(RUN).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 5]).unwrap();
    let segments = Segments::of_run(&home, RUN).unwrap();
    let torn: Vec<u64> = segments.iter().map(|it| it.unwrap().1.torn).collect();
    assert!(torn[..2] == [0, 0] && torn[2] > 0, "{torn:?}");
}

#[test]
fn a_segment_that_could_not_be_completed_may_have_a_torn_end() {
    let lived = Lived::with_segments(2);
    let first = lived.files().remove(0);
    let mut header = FrameReader::open(&lived.files()[1]).unwrap().header;
    header.place.previous = PreviousEnd::Unknown;
    std::fs::write(&lived.files()[1], frame(&header)).unwrap();
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() - 5]).unwrap();
    let segments = Segments::of_run(&lived.home(), RUN).unwrap();
    assert!(segments.read(0).unwrap().torn > 0);
}

#[test]
fn a_journal_without_its_beginning_says_so() {
    let lived = Lived::with_segments(4);
    std::fs::remove_file(&lived.files()[0]).unwrap();
    let beginning = |lived: &Lived| Segments::of_run(&lived.home(), RUN).unwrap().beginning();
    assert_eq!(beginning(&lived).unwrap(), "the run begins at tick 20; segment 1 is missing.");
    std::fs::remove_file(&lived.files()[0]).unwrap();
    assert_eq!(beginning(&lived).unwrap(), "the run begins at tick 40; segments 1 to 2 are missing.");
}

#[test]
fn retention_removes_the_oldest_segments_and_says_so() {
    let mut lived = Lived::with_segments(4);
    let files = lived.files();
    let sizes: Vec<u64> = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).collect();
    // The header of the segment that begins counts, too.
    lived.begin_segment(&Retention { max_bytes: sizes[1] + sizes[2] + sizes[3], ..KEEP_ALL });
    lived.ticks();
    lived.journal.flush().unwrap();
    assert_eq!(lived.files()[..2], files[2..]);
    let segments = Segments::of_run(&lived.home(), RUN).unwrap();
    assert_eq!(segments.beginning().unwrap(), "the run begins at tick 40; earlier segments were removed by retention.");
    let bytes = sizes[0] + sizes[1];
    let said = format!("the journal before tick 40 was removed by retention: 2 segments from tick 0 on, {bytes} bytes");
    assert!(lived.log().contains(&said), "{}", lived.log());
    let rebuilt = recover_run(&lived.home(), "snapshots", RUN, None).unwrap();
    assert_eq!((rebuilt.town.tick(), rebuilt.town.digest()), (5 * TICKS, lived.town.digest()));
}

#[test]
fn what_is_removed_depends_on_size_age_and_what_is_needed() {
    let now = SystemTime::now();
    let file = |number: u64| {
        let age = Duration::from_secs(100 * (5 - number));
        SegmentFile { path: PathBuf::new(), tick: number * 10, bytes: 100, modified: now - age }
    };
    let files: Vec<SegmentFile> = (0..5).map(file).collect();
    let count = |retention: Retention| removable(&files, &retention, now);
    assert_eq!(count(KEEP_ALL), 0);
    assert_eq!(count(Retention { max_bytes: 500, ..KEEP_ALL }), 0);
    assert_eq!(count(Retention { max_bytes: 499, ..KEEP_ALL }), 1);
    assert_eq!(count(Retention { max_bytes: 500, reserve: 101, ..KEEP_ALL }), 2);
    assert_eq!(count(Retention { max_bytes: 0, ..KEEP_ALL }), 4, "the newest stays");
    assert_eq!(count(Retention { max_age: Duration::from_secs(250), ..KEEP_ALL }), 3);
    // The segment from tick 20 on holds the command of tick 25, the one from tick 10 on may hold that of tick 20.
    assert_eq!(count(Retention { max_bytes: 0, needed_from: 25, ..KEEP_ALL }), 2);
    assert_eq!(count(Retention { max_bytes: 0, needed_from: 20, ..KEEP_ALL }), 1);
    assert_eq!(count(Retention { max_bytes: 0, needed_from: 0, ..KEEP_ALL }), 0);
}

#[test]
fn a_segment_is_full_by_its_size_or_after_a_day() {
    let now = Instant::now();
    let fill = |bytes| SegmentFill { sequence: 1, bytes, since: Some(now) };
    assert!(fill(4_096).is_full(4_096, now) && !fill(4_095).is_full(4_096, now));
    assert!(fill(1).is_full(4_096, now + MAX_AGE) && !fill(1).is_full(4_096, now + MAX_AGE / 2));
    assert!(!fill(0).is_full(4_096, now + MAX_AGE), "an empty segment is not followed by another");
}

#[test]
fn a_restart_reads_the_newest_segment_and_those_with_commands_that_are_asked_for() {
    let mut lived = Lived::new();
    let command = |town: &mut Town, id: &str| {
        let (index, tick) = (town.state().commands, town.tick());
        let command = townlet_town::Command::ExitCap(index as u32);
        town.apply(&command).unwrap();
        Entry::Command { index, tick, cmd_id: id.into(), issuer: "test".into(), command }
    };
    for id in ["first", "second", "third"] {
        lived.ticks();
        let entry = command(&mut lived.town, id);
        let mut header = header(Base::Snapshot(snapshot::save(&lived.town)));
        header.place =
            SegmentPlace { tick: lived.town.tick(), last_command: entry.command_id(), ..SegmentPlace::FIRST };
        lived.journal.append(entry);
        let log = Log::new(lived.home().log(), "shard", false);
        lived.journal.begin_segment(NewSegment {
            home: lived.home(),
            header,
            retention: KEEP_ALL,
            log,
            keyframes: lived.keyframes(),
        });
    }
    lived.ticks();
    lived.journal.flush().unwrap();
    let known = |since| {
        let rebuilt = recover_run(&lived.home(), "snapshots", RUN, since).unwrap();
        assert_eq!(rebuilt.town.digest(), lived.town.digest());
        assert_eq!(rebuilt.header.place.last_command.unwrap().cmd_id, "third");
        rebuilt.commands.into_keys().map(|(_, cmd_id)| cmd_id).collect::<Vec<_>>()
    };
    assert_eq!(known(None), ["third"], "the header names the last command before the segment");
    assert_eq!(known(Some(3 * TICKS)), ["second", "third"]);
    assert_eq!(known(Some(0)), ["first", "second", "third"]);
    // What a restart does not need may be damaged.
    std::fs::write(&lived.files()[0], b"damaged").unwrap();
    assert_eq!(known(Some(3 * TICKS)), ["second", "third"]);
    let why = recover_run(&lived.home(), "snapshots", RUN, Some(0)).err().unwrap();
    assert!(why.contains("000000000000.tlj: it does not begin with an intact journal header"), "{why}");
}

#[test]
fn a_segment_that_starts_from_another_town_is_found() {
    let lived = Lived::with_segments(2);
    let contents: Vec<Contents> =
        Segments::of_run(&lived.home(), RUN).unwrap().iter().map(|segment| segment.unwrap().1).collect();
    let mut player = JournalReplayer::from_header(&contents[0].header).unwrap();
    contents[0].entries.iter().for_each(|entry| player.apply(&entry, |_| {}).unwrap());
    let mut other = player.town.clone();
    other.apply(&townlet_town::Command::ExitCap(9)).unwrap();
    // The same position with another digest.
    player.town.apply(&townlet_town::Command::ExitCap(8)).unwrap();
    let header = Header { base: Base::Snapshot(snapshot::save(&other)), ..contents[1].header.clone() };
    let why = player.begin_segment(&header).unwrap_err();
    assert!(why.starts_with("tick 20: the digest is") && why.contains("the segment starts from"), "{why}");
}

#[test]
fn a_journal_of_one_file_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.tlj");
    // Version 1 had no place of the segment, and could be of any size.
    let old = (1_u32, RUN, "harbour", sources(), "scripted", Base::Seed(7));
    std::fs::write(&path, frame(&old)).unwrap();
    for why in [read(&path).err().unwrap(), FrameReader::open(&path).err().unwrap()] {
        let why = why.to_string();
        assert!(why.contains("old.tlj: it is version 1 of the journal; this program reads version 2"), "{why}");
        assert!(why.contains("Resume or replay the run with") && why.contains("a new run without `--resume`"), "{why}");
    }
}

#[test]
fn the_search_behind_a_damaged_entry_is_linear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlj");
    let mut bytes = frame(&header(Base::Seed(7)));
    // At every place there stands the length of a large body.
    bytes.extend([0, 0, 8].repeat(1 << 20));
    std::fs::write(&path, bytes).unwrap();
    let why = read(&path).err().expect("it is damaged").to_string();
    assert!(why.contains("bytes behind it are no torn entry"), "{why}");
}
