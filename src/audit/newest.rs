//! The newest records of a log folder, read from the ends of its files: the cost is that of the answer, not of the log.
//!
//! Runs are merged by time. A run is opened only when its files changed late enough to hold a record of the answer.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::export::Filter;
use super::log_files::{MAX_LINE, list};
use super::record::Record;
use townlet_wire::telemetry::AuditRow;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Bytes at which the search for a time ends.
const PRECISION: u64 = 8 * 1024;
/// How much earlier a file may seem to have changed than its last record says: file times can be coarse.
const SLACK_MS: i64 = 2_000;

/// Which records are read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Most records.
    pub limit: usize,
    /// Most lines read. A filter that fits few records ends there.
    pub max_lines: u64,
    /// Only records of this run.
    pub run_id: Option<String>,
    /// Conditions that every record meets.
    pub filter: Filter,
    /// Only records before this one.
    pub before: Option<Cursor>,
}

/// A place between two records of a folder: before the record `seq` of a run, written at `ts`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    ts: String,
    run_id: String,
    seq: u64,
}

impl Cursor {
    fn of(record: &Record) -> Self {
        Self { ts: record.ts.clone(), run_id: record.run_id.clone(), seq: record.seq }
    }

    /// Before the record `seq` of a run, whose time in the log is `ts`.
    pub fn new(ts: &str, run_id: &str, seq: u64) -> Self {
        Self { ts: ts.to_owned(), run_id: run_id.to_owned(), seq }
    }

    /// The first time after the record.
    fn just_after(&self) -> Option<Timestamp> {
        let time: Timestamp = self.ts.parse().ok()?;
        Timestamp::from_millisecond(time.as_millisecond() + 1).ok()
    }

    /// The texts that [`Cursor::parse`] reads, as a regular expression.
    pub const PATTERN: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z/[^/]+/[0-9]{1,19}$";

    /// Reads what [`std::fmt::Display`] writes: `<ts>/<run_id>/<seq>`. A time that no calendar has is a place, too.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (ts, run_id, seq) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = ts.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        if run_id.is_empty() || !digits.eq(*b"0000-00-00T00:00:00.000Z") {
            return None;
        }
        Some(Self { ts: ts.to_owned(), run_id: run_id.to_owned(), seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.ts, self.run_id, self.seq)
    }
}

/// The records that were read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Oldest first.
    pub rows: Vec<AuditRow>,
    /// Lines read.
    pub lines: u64,
    /// Lines that are no valid records: their files, and why.
    pub damaged: Vec<(String, String)>,
    /// Where older records begin, if the folder may have any.
    pub before: Option<Cursor>,
}

/// The newest valid records in `dir` that are selected.
pub fn newest(dir: &Path, selection: &Selection) -> io::Result<Page> {
    let mut runs = Vec::new();
    let wanted = |run_id: &String| selection.run_id.as_ref().is_none_or(|wanted| wanted == run_id);
    for (run_id, files) in list(dir)?.runs.into_iter().filter(|(run_id, _)| wanted(run_id)) {
        let paths: Vec<PathBuf> = files.segments.values().map(|name| dir.join(name)).collect();
        let changed = paths.last().map(|path| path.metadata()?.modified()).transpose()?;
        let changed = changed.and_then(|changed| Timestamp::try_from(changed).ok());
        // A run whose time is unknown is opened first.
        runs.push((
            changed.map_or(i64::MAX, |changed| changed.as_millisecond().saturating_add(SLACK_MS)),
            run_id,
            paths,
        ));
    }
    runs.sort();
    // Nothing newer than this is wanted.
    let until = [selection.filter.until, selection.before.as_ref().and_then(Cursor::just_after)];
    let until = until.into_iter().flatten().min();
    let mut page = Page { before: selection.before.clone(), ..Page::default() };
    let mut open: Vec<RunBackwards> = Vec::new();
    while page.rows.len() < selection.limit {
        if page.lines >= selection.max_lines {
            return Ok(page.reversed());
        }
        // Every run whose files changed after the newest record found so far may hold a newer one.
        let newest = open.iter().filter_map(|run| run.next.as_ref()).map(Cursor::of).max();
        let since = newest.as_ref().and_then(|newest| newest.ts.parse().ok()).map(Timestamp::as_millisecond);
        if runs.last().is_some_and(|(changed, ..)| since.is_none_or(|since| *changed >= since))
            && let Some((_, _, paths)) = runs.pop()
        {
            open.push(RunBackwards::new(paths, until, &mut page)?);
            continue;
        }
        let Some(newest) = newest else {
            page.before = None;
            return Ok(page.reversed());
        };
        let run = open.iter_mut().find(|run| run.next.as_ref().is_some_and(|next| Cursor::of(next) == newest));
        let Some(run) = run else { return Ok(page.reversed()) };
        let Some(record) = run.advance(&mut page)? else { return Ok(page.reversed()) };
        if selection.filter.since.is_some_and(|since| record.ts.parse().is_ok_and(|time: Timestamp| time < since)) {
            page.before = None;
            return Ok(page.reversed());
        }
        if selection.before.as_ref().is_none_or(|before| newest < *before) {
            if selection.filter.matches(&record) {
                page.rows.push(record.row());
            }
            page.before = Some(newest);
        }
    }
    Ok(page.reversed())
}

impl Page {
    fn reversed(mut self) -> Self {
        self.rows.reverse();
        self
    }
}

/// The valid records of a run, newest first.
struct RunBackwards {
    segments: Vec<PathBuf>,
    lines: Option<LinesBackwards>,
    until: Option<Timestamp>,
    next: Option<Record>,
}

impl RunBackwards {
    fn new(segments: Vec<PathBuf>, until: Option<Timestamp>, page: &mut Page) -> io::Result<Self> {
        let mut run = Self { segments, lines: None, until, next: None };
        run.advance(page)?;
        Ok(run)
    }

    /// Takes the record that is next, and reads the one before it.
    fn advance(&mut self, page: &mut Page) -> io::Result<Option<Record>> {
        let taken = self.next.take();
        loop {
            if let Some(lines) = &mut self.lines {
                if let Some(line) = lines.next()? {
                    page.lines += 1;
                    match Record::parse(&line) {
                        Ok(record) => {
                            self.next = Some(record);
                            return Ok(taken);
                        }
                        // A line without its end may be one that is being written.
                        Err(why) if line.ends_with(b"\n") => page.damaged.push((lines.name.clone(), why)),
                        Err(_) => {}
                    }
                    continue;
                }
                self.lines = None;
            }
            let Some(path) = self.segments.pop() else { return Ok(taken) };
            let mut lines = LinesBackwards::open(&path)?;
            if let Some(until) = self.until {
                lines.skip_newer(until, &mut page.lines)?;
            }
            self.lines = Some(lines);
        }
    }
}

/// The lines of a file from its end, each with its newline.
struct LinesBackwards {
    name: String,
    file: File,
    /// Bytes of the file before `buffer`.
    before: u64,
    buffer: Vec<u8>,
}

impl LinesBackwards {
    fn open(path: &Path) -> io::Result<Self> {
        let file = townlet_files::open(path)?;
        let before = file.metadata()?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, file, before, buffer: Vec::new() })
    }

    /// Reads the block before the buffer.
    fn fill(&mut self) -> io::Result<()> {
        let size = self.before.min(BLOCK as u64);
        self.before -= size;
        let mut block = vec![0; size as usize];
        self.file.seek(SeekFrom::Start(self.before))?;
        self.file.read_exact(&mut block)?;
        // A piece longer than any record is no line; what is left of it is none either.
        if self.buffer.len() as u64 <= MAX_LINE {
            block.append(&mut self.buffer);
        }
        self.buffer = block;
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let body = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
            let start = body.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            match start {
                Some(start) => return Ok(Some(self.buffer.split_off(start))),
                None if self.before > 0 => self.fill()?,
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.buffer))),
            }
        }
    }

    /// Moves before the lines written at `until` or later, by bisection: times do not decrease within a run.
    fn skip_newer(&mut self, until: Timestamp, read: &mut u64) -> io::Result<()> {
        let (mut low, mut high) = (0, self.before);
        *read += 1;
        if self.time_at(0)?.is_some_and(|(_, time)| time >= until) {
            high = 0;
        }
        // The line that a byte is in ends before `low` or begins after `high`.
        while high - low > PRECISION {
            let middle = low + (high - low) / 2;
            *read += 1;
            match self.time_at(middle)? {
                Some((_, time)) if time >= until => high = middle,
                Some((end, _)) => low = end.min(high),
                None => high = middle,
            }
        }
        // The newer lines that are left are dropped by the caller's filter.
        (self.before, self.buffer) = (self.end_of_line(high)?, Vec::new());
        Ok(())
    }

    /// The end and the time of the first whole line that begins after a place, or at the beginning.
    fn time_at(&mut self, place: u64) -> io::Result<Option<(u64, Timestamp)>> {
        let mut bytes = vec![0; 2 * BLOCK];
        self.file.seek(SeekFrom::Start(place))?;
        let mut length = 0;
        while length < bytes.len() {
            match self.file.read(&mut bytes[length..])? {
                0 => break,
                count => length += count,
            }
        }
        let mut at = match place {
            0 => 0,
            _ => bytes[..length].iter().position(|byte| *byte == b'\n').map_or(length, |at| at + 1),
        };
        while let Some(end) = bytes[at..length].iter().position(|byte| *byte == b'\n').map(|end| at + end + 1) {
            if let Some(time) = Record::parse(&bytes[at..end]).ok().and_then(|record| record.ts.parse().ok()) {
                return Ok(Some((place + end as u64, time)));
            }
            at = end;
        }
        Ok(None)
    }

    /// The end of the line that a place is in.
    fn end_of_line(&mut self, place: u64) -> io::Result<u64> {
        if place == 0 || place >= self.before {
            return Ok(place);
        }
        let mut bytes = vec![0; MAX_LINE as usize];
        self.file.seek(SeekFrom::Start(place))?;
        let count = self.file.read(&mut bytes)?;
        Ok(bytes[..count].iter().position(|byte| *byte == b'\n').map_or(self.before, |at| place + at as u64 + 1))
    }
}
