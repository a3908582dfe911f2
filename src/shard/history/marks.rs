//! The marks of a run: exits, alerts, windows, perturbations, releases and incidents as the running shard saw them, in a file
//! beside its keyframes. Commands and reloads come from the audit log.
//!
//! Nothing depends on the file: without it, a timeline has commands only. Rule: "Keyframes".

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use townlet_files::write_atomically;
use townlet_wire::history::{Mark, MarkKind};

use super::Busy;
use crate::disk_thread::DiskThread;

/// Most marks of a run; the oldest are dropped.
const MAX_MARKS: usize = 50_000;
/// Most marks that wait to be written.
const MAX_PENDING: usize = 10_000;
/// Largest part of a file that is read.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Least time between two writes.
const INTERVAL: Duration = Duration::from_millis(250);

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Mark(Mark),
    /// The first one: from this tick on there are all.
    Begin {
        from: u64,
    },
}

/// The marks of one run and their file.
pub(crate) struct MarkStore {
    path: PathBuf,
    /// Marks after this tick are of a past that a crash took back.
    until: u64,
    known: Mutex<Option<Known>>,
}

/// The marks in memory, oldest first.
#[derive(Default)]
struct Known {
    from: u64,
    marks: VecDeque<Mark>,
    /// Lines of the file, if it holds these marks at its end.
    lines: Option<usize>,
}

impl MarkStore {
    /// The marks up to a tick in a run's folder of keyframes. The file is read when it is needed first.
    pub(crate) fn new(folder: &Path, until: u64) -> Self {
        Self { path: folder.join("marks.jsonl"), until, known: Mutex::default() }
    }

    /// What `read` makes of the tick from which all marks are known, and of the marks, oldest first.
    pub(crate) fn with<T>(&self, read: impl FnOnce(u64, &VecDeque<Mark>) -> T) -> T {
        let mut known = self.lock();
        let known = known.get_or_insert_with(|| self.read());
        read(known.from, &known.marks)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds marks, also to the file.
    fn append(&self, marks: Vec<Mark>) -> io::Result<()> {
        let mut known = self.lock();
        let known = known.get_or_insert_with(|| self.read());
        let new = marks.len();
        known.marks.extend(marks);
        let excess = known.marks.len().saturating_sub(MAX_MARKS);
        if let Some(last) = known.marks.drain(..excess).next_back() {
            known.from = last.tick + 1;
        }
        let lines = known.lines.filter(|lines| lines + new <= 2 * MAX_MARKS);
        let first = if lines.is_some() { known.marks.len().saturating_sub(new) } else { 0 };
        let mut text = Vec::new();
        if lines.is_none() {
            push_line(&mut text, &Line::Begin { from: known.from });
        }
        known.marks.range(first..).for_each(|mark| push_line(&mut text, mark));
        // Until it is written, the file is to be made again.
        known.lines = None;
        if let Some(lines) = lines {
            let mut file = townlet_files::open_own(&self.path, OpenOptions::new().append(true))?;
            file.write_all(&text)?;
            known.lines = Some(lines + new);
        } else {
            write_atomically(&self.path, &text)?;
            known.lines = Some(known.marks.len());
        }
        Ok(())
    }

    /// The marks of the file, as far as they can be read. A run without one has marks from its next tick on.
    fn read(&self) -> Known {
        let mut bytes = Vec::new();
        let read = townlet_files::open(&self.path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        let mut known = Known::default();
        if read.is_err() && self.until < u64::MAX {
            known.from = self.until;
        }
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Begin { from }) => known.from = from,
                Ok(Line::Mark(mark)) if mark.tick <= self.until => {
                    if known.marks.len() == MAX_MARKS
                        && let Some(dropped) = known.marks.pop_front()
                    {
                        known.from = dropped.tick + 1;
                    }
                    known.marks.push_back(mark);
                }
                Ok(Line::Mark(_)) | Err(_) => {}
            }
        }
        known
    }
}

fn push_line(text: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *text, line).expect("a mark is plain data");
    text.push(b'\n');
}

/// Takes the marks of the running town to its store.
pub(crate) struct MarkWriter {
    pub(crate) store: Arc<MarkStore>,
    pending: Vec<Mark>,
    written: Instant,
    busy: Arc<AtomicBool>,
}

impl MarkWriter {
    pub(crate) fn new(store: Arc<MarkStore>) -> Self {
        Self { store, pending: Vec::new(), written: Instant::now(), busy: Arc::default() }
    }

    /// Adds a mark at a tick that is not earlier than those of the marks before it. If the disk is too slow, marks are left out.
    pub(crate) fn add(&mut self, mark: Mark) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(mark);
        }
    }

    /// Has the marks written, if there are any and the last ones were written some time ago, or this is the `last` call.
    pub(crate) fn write(&mut self, disk: &DiskThread, now: Instant, last: bool) {
        let is_due = last || now >= self.written + INTERVAL && !self.busy.load(Ordering::Acquire);
        if self.pending.is_empty() || !is_due {
            return;
        }
        self.written = now;
        let (store, marks) = (Arc::clone(&self.store), std::mem::take(&mut self.pending));
        let busy = Busy::begin(&self.busy);
        disk.run(move || {
            // What is not in the file is in memory, and the next write has it.
            drop(store.append(marks));
            drop(busy);
        });
    }
}

/// Which marks are read.
#[derive(Clone, Debug)]
pub struct MarkSelection {
    /// The first tick.
    pub from: u64,
    /// The last tick.
    pub to: u64,
    /// Their kinds; all if it is empty.
    pub kinds: Vec<MarkKind>,
    /// Most marks; the newest are taken.
    pub limit: usize,
    /// Only marks before this place.
    pub before: Option<MarkCursor>,
}

impl MarkSelection {
    /// The newest marks of the whole run.
    pub const fn newest(limit: usize) -> Self {
        Self { from: 0, to: u64::MAX, kinds: Vec::new(), limit, before: None }
    }
}

/// A place among the marks: before the last so many of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkCursor {
    tick: u64,
    last: usize,
}

impl MarkCursor {
    /// The texts that [`MarkCursor::parse`] reads, as a regular expression.
    pub const PATTERN: &str = "^[0-9]{1,19}/[0-9]{1,9}$";

    /// Reads what [`std::fmt::Display`] writes: `<tick>/<number>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (tick, last) = text.split_once('/')?;
        let plain = |text: &str, most: usize| text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        (plain(tick, 19) && plain(last, 9)).then_some(())?;
        Some(Self { tick: tick.parse().ok()?, last: last.parse().ok()? })
    }
}

impl std::fmt::Display for MarkCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tick, self.last)
    }
}

/// The newest marks that are selected, oldest first, and where older ones continue.
pub(crate) fn select<'a>(
    marks: impl Iterator<Item = &'a Mark>,
    selection: &MarkSelection,
) -> (Vec<Mark>, Option<MarkCursor>) {
    let MarkSelection { from, to, kinds, limit, before } = selection;
    let is_wanted =
        |mark: &&Mark| (*from..=*to).contains(&mark.tick) && (kinds.is_empty() || kinds.contains(&mark.kind));
    let mut wanted: Vec<&Mark> = marks.filter(is_wanted).collect();
    wanted.sort_by_key(|mark| mark.tick);
    let up_to = |tick: u64| wanted.partition_point(|mark| mark.tick <= tick);
    let end = before.map_or(wanted.len(), |MarkCursor { tick, last }| {
        let begin = wanted.partition_point(|mark| mark.tick < tick);
        up_to(tick).saturating_sub(last).max(begin)
    });
    let start = end.saturating_sub(*limit);
    let cursor = (start > 0).then(|| MarkCursor { tick: wanted[start].tick, last: up_to(wanted[start].tick) - start });
    (wanted[start..end].iter().map(|mark| (*mark).clone()).collect(), cursor.filter(|_| start < end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(tick: u64, text: impl Into<String>) -> Mark {
        Mark { tick, kind: MarkKind::Exit, text: text.into() }
    }

    fn texts(store: &MarkStore) -> (u64, Vec<String>) {
        store.with(|from, marks| (from, marks.iter().map(|mark| mark.text.clone()).collect()))
    }

    #[test]
    fn marks_are_read_back_and_those_of_a_past_that_a_crash_took_back_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = MarkStore::new(folder.path(), 0);
        store.append(vec![mark(3, "a"), mark(7, "b")]).unwrap();
        store.append(vec![mark(7, "c"), mark(9, "d")]).unwrap();
        assert_eq!(texts(&store), (0, vec!["a".into(), "b".into(), "c".into(), "d".into()]));
        // A write that was cut by a crash.
        let mut file = OpenOptions::new().append(true).open(folder.path().join("marks.jsonl")).unwrap();
        file.write_all(b"{\"tick\":9,\"ki").unwrap();
        let store = MarkStore::new(folder.path(), 8);
        assert_eq!(texts(&store), (0, vec!["a".into(), "b".into(), "c".into()]));
        store.append(vec![mark(8, "e")]).unwrap();
        store.append(vec![mark(9, "f")]).unwrap();
        let all = vec!["a".into(), "b".into(), "c".into(), "e".into(), "f".into()];
        assert_eq!(texts(&MarkStore::new(folder.path(), u64::MAX)), (0, all));
        // A run whose marks were not kept has them from now on.
        let other = tempfile::tempdir().unwrap();
        MarkStore::new(other.path(), 500).append(vec![mark(600, "a")]).unwrap();
        assert_eq!(texts(&MarkStore::new(other.path(), u64::MAX)), (500, vec!["a".into()]));
    }

    #[test]
    fn the_oldest_marks_are_dropped_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let store = MarkStore::new(folder.path(), 0);
        let step = MAX_MARKS as u64 / 2;
        for part in 0..7 {
            store.append((part * step..(part + 1) * step).map(|tick| mark(tick, "x")).collect()).unwrap();
            let lines = std::fs::read_to_string(folder.path().join("marks.jsonl")).unwrap().lines().count();
            assert!(lines <= 2 * MAX_MARKS + 1, "{lines} lines");
        }
        for store in [store, MarkStore::new(folder.path(), u64::MAX)] {
            let (from, marks) = texts(&store);
            assert_eq!((from, marks.len()), (5 * step, MAX_MARKS));
        }
    }

    #[test]
    fn pages_have_every_mark_once_whatever_their_length() {
        let marks: Vec<Mark> = [1, 1, 1, 4, 5, 5, 5, 5, 9]
            .iter()
            .enumerate()
            .map(|(place, tick)| mark(*tick, place.to_string()))
            .collect();
        for limit in 1..12 {
            let mut selection = MarkSelection { from: 0, to: 100, kinds: Vec::new(), limit, before: None };
            let mut found: Vec<Mark> = Vec::new();
            loop {
                let (page, before) = select(marks.iter(), &selection);
                assert!(page.len() <= limit);
                found.splice(..0, page);
                let Some(before) = before else { break };
                assert_eq!(MarkCursor::parse(&before.to_string()), Some(before));
                selection.before = Some(before);
            }
            assert_eq!(found, marks, "pages of {limit}");
        }
        let some = MarkSelection { from: 4, to: 5, kinds: vec![MarkKind::Exit], limit: 9, before: None };
        assert_eq!(select(marks.iter(), &some).0, marks[3..8]);
        let none = MarkSelection { kinds: vec![MarkKind::Alert], ..some };
        assert_eq!(select(marks.iter(), &none), (Vec::new(), None));
        for text in ["", "1", "1/", "/1", "-1/1", "1/1/1", "1/ 1", "99999999999999999999/1"] {
            assert_eq!(MarkCursor::parse(text), None, "{text}");
        }
    }
}
