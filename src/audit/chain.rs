//! The hash chain on disk: appends to the open segment, syncs it, replaces the head file and rotates to the next segment.
//!
//! After a failed write or fsync the chain continues in a new segment. A failed write leaves an unacknowledged torn line, which
//! is cut off; the complete lines before it are synced and kept. A segment whose fsync failed is never synced again, because a
//! second fsync may report lost data as saved: everything after its last durable line is cut off.
//!
//! A line counts as durable once it is synced and its file stands under the segment's name; see `open_segment`.

mod disturbance;
mod open_segment;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use townlet_files::{Identity, Placement};

use super::log_files::{Head, head_name, segment_name};
use super::record::{GENESIS, Record, Stage, VERSION};
use super::recovery::LastRecord;
use super::seal::Seal;
use super::verify::ChainEnd;
use super::writer::Options;
use open_segment::OpenSegment;

/// A fail point: a test makes the disk fail (`return`) or the process die (`return(abort)`) here.
fn point(name: &'static str) -> io::Result<()> {
    fail::fail_point!(name, |how| {
        if how.as_deref() == Some("abort") {
            std::process::abort();
        }
        Err(io::Error::other(format!("injected at {name}")))
    });
    // Without the feature the name has no other use.
    let _ = name;
    Ok(())
}

/// Makes file creations, renames and removals in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    point("audit_write")?;
    // Half of the bytes are written, then the disk fails or the process dies.
    fail::fail_point!("audit_torn", |how| {
        file.write_all(&bytes[..bytes.len() / 2])?;
        if how.as_deref() == Some("abort") {
            std::process::abort();
        }
        Err(io::Error::other("injected at audit_torn"))
    });
    file.write_all(bytes)
}

fn sync(file: &File) -> io::Result<()> {
    point("audit_sync")?;
    file.sync_data()
}

/// A line of the open segment: its sequence number, its hash, and the segment's size in bytes including it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainPosition {
    pub(crate) seq: u64,
    pub(crate) hash: String,
    bytes: u64,
}

/// Whether the open segment can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SegmentState {
    Open,
    /// Full and durable; the next segment follows.
    Closed,
    /// A write failed: bytes after the last complete line are torn.
    WriteFailed,
    /// A sync failed: the content after the last durable line is unknown.
    SyncFailed,
}

pub(crate) struct Chain {
    options: Options,
    /// Locks the run; held on its first segment.
    lock: File,
    segment: OpenSegment,
    number: u32,
    end: ChainPosition,
    durable: ChainPosition,
    /// Sequence number of the open segment's `rotate` line; 0 in the first segment. A segment always gets at least one more line.
    first_seq: u64,
    /// The sequence number that the head file names; `None` until it has been written.
    head: Option<u64>,
    /// The head file, and its size in bytes.
    head_file: Option<(Identity, u64)>,
    /// Closed segments that are missing.
    missing: BTreeSet<u32>,
    /// What happened to the files, for the `rotate` line of the next segment.
    disturbance: Option<String>,
    /// The same, for the operator.
    report: Option<String>,
    segment_state: SegmentState,
    /// `config_id` of the last record, for records the log writes itself.
    config_id: String,
    /// The town's tick, for the same; that of the last record until the shard has said another one.
    tick: Arc<AtomicU64>,
    /// Time of the last record; a later one never has an earlier time.
    last_time: String,
}

impl Chain {
    /// Continues after `end`, where recovery stopped reading, and makes everything before it durable first.
    pub(crate) fn open(options: Options, lock: File, end: Option<ChainEnd>, last: LastRecord) -> io::Result<Self> {
        let end = end.unwrap_or(ChainEnd { segment: 1, bytes: 0, lines: 0, seq: 0, hash: GENESIS.to_owned() });
        let path = options.dir.join(segment_name(&options.run_id, end.segment));
        let mut segment = OpenSegment::open(path, end.bytes)?;
        sync(segment.file())?;
        sync_dir(&options.dir)?;
        let mark = ChainPosition { seq: end.seq, hash: end.hash, bytes: end.bytes };
        let (durable, number) = (mark.clone(), end.segment);
        let first_seq = if number == 1 { 0 } else { durable.seq + 1 - end.lines };
        let (head, head_file, segment_state) = (None, None, SegmentState::Open);
        let (missing, disturbance, report) = (BTreeSet::new(), None, None);
        let tick = Arc::new(AtomicU64::new(options.tick.unwrap_or(last.tick)));
        let (config_id, last_time) = (last.config_id, last.ts);
        let mut chain = Self {
            options,
            lock,
            segment,
            number,
            end: mark,
            durable,
            first_seq,
            head,
            head_file,
            missing,
            disturbance,
            report,
            segment_state,
            config_id,
            tick,
            last_time,
        };
        chain.write_head()?;
        Ok(chain)
    }

    pub(crate) fn file_name(&self) -> String {
        segment_name(&self.options.run_id, self.number)
    }

    /// Where the lines of the open segment stand.
    pub(crate) fn placement(&self) -> Placement {
        self.segment.placement()
    }

    pub(crate) fn end(&self) -> &ChainPosition {
        &self.end
    }

    /// Number of the open segment.
    pub(crate) fn segment(&self) -> u32 {
        self.number
    }

    /// The time of a record written now. A clock that was set back stands still here.
    pub(crate) fn time(&mut self) -> String {
        let now = format!("{:.3}", (self.options.clock)());
        // All times have one length, so their order is that of the text.
        if now > self.last_time {
            self.last_time = now;
        }
        self.last_time.clone()
    }

    /// The last line that survives a failure.
    pub(crate) fn last_kept(&self) -> &ChainPosition {
        if self.segment_state == SegmentState::SyncFailed { &self.durable } else { &self.end }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.durable == self.end
    }

    /// Whether the head on disk names an earlier line than the last durable one.
    pub(crate) fn is_head_stale(&self) -> bool {
        self.head != Some(self.durable.seq)
    }

    /// Writes the records into one segment, after rotating if the open one is full. They are not durable until [`Self::sync`].
    pub(crate) fn append<'a>(&mut self, records: impl Iterator<Item = &'a Record>) -> io::Result<Vec<Record>> {
        if self.end.bytes >= self.options.segment_bytes {
            self.begin_segment("size")?;
        }
        let mut lines = String::new();
        let mut linked = Vec::new();
        let mut end = self.end.clone();
        for record in records {
            let ts = self.time();
            let (record, line) = self.link(record, ts, &mut end);
            lines.push_str(&line);
            self.config_id.clone_from(&record.config_id);
            self.tick.fetch_max(record.tick, Ordering::Relaxed);
            linked.push(record);
        }
        self.write_lines(&lines, end)?;
        Ok(linked)
    }

    /// The town's tick, to be changed as the town advances.
    pub(crate) fn tick(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.tick)
    }

    /// A record that the log writes itself, now.
    fn own(&self, stage: Stage, args: Value) -> Record {
        Record::own(stage, &self.config_id, self.tick.load(Ordering::Relaxed), args)
    }

    /// Writes a seal. If it seals the line before it, it has the time of the seal, so that the seal proves every byte of it.
    pub(crate) fn append_seal(&mut self, seal: &Seal) -> io::Result<Record> {
        let follows = (&seal.run_id, seal.seq, &seal.hash) == (&self.options.run_id, self.end.seq, &self.end.hash);
        let ts = if follows && seal.at >= self.last_time { seal.at.clone() } else { self.time() };
        self.last_time.clone_from(&ts);
        let record = self.own(Stage::Seal, seal.args());
        let mut end = self.end.clone();
        let (record, line) = self.link(&record, ts, &mut end);
        self.write_lines(&line, end)?;
        Ok(record)
    }

    fn write_lines(&mut self, lines: &str, end: ChainPosition) -> io::Result<()> {
        let written = write(self.segment.file(), lines.as_bytes());
        if written.is_err() {
            self.segment_state = SegmentState::WriteFailed;
        }
        written?;
        self.segment.keep(lines.as_bytes());
        self.end = end;
        Ok(())
    }

    /// The record as the line after `end`; advances `end` past it.
    fn link(&self, record: &Record, ts: String, end: &mut ChainPosition) -> (Record, String) {
        let record = Record {
            seq: end.seq + 1,
            ts,
            shard: self.options.shard.clone(),
            run_id: self.options.run_id.clone(),
            prev: end.hash.clone(),
            ..record.clone()
        }
        .sealed();
        let line = record.line();
        *end = ChainPosition { seq: record.seq, hash: record.hash.clone(), bytes: end.bytes + line.len() as u64 };
        (record, line)
    }

    /// Makes every line durable, and then makes sure that the segment stands under its name. Lines that the folder lost are
    /// written again.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.segment_state != SegmentState::Open {
            return Err(io::Error::other("the segment failed and is not synced again"));
        }
        if self.is_synced() { Ok(()) } else { self.sync_file() }
    }

    fn sync_file(&mut self) -> io::Result<()> {
        let synced = sync(self.segment.file()).and_then(|()| point("audit_check")).and_then(|()| self.keep_in_place());
        if synced.is_err() {
            self.segment_state = SegmentState::SyncFailed;
        }
        synced?;
        self.durable = self.end.clone();
        Ok(())
    }

    /// Completes the open segment and begins the next one. A segment always gets at least one line after its `rotate` line.
    pub(crate) fn begin_segment(&mut self, cause: &str) -> io::Result<()> {
        self.sync()?;
        if self.end.seq <= self.first_seq {
            return Ok(());
        }
        // If the next segment cannot be created, `repair` tries again.
        self.segment_state = SegmentState::Closed;
        self.rotate(cause)
    }

    /// Replaces the head by one that names the last durable line.
    pub(crate) fn write_head(&mut self) -> io::Result<()> {
        self.note_changed_head()?;
        let head = Head {
            v: VERSION,
            run_id: self.options.run_id.clone(),
            file: self.file_name(),
            seq: self.durable.seq,
            hash: self.durable.hash.clone(),
        };
        let path = self.options.dir.join(head_name(&self.options.run_id));
        let fresh = path.with_extension("head.tmp");
        // A file left by a failed attempt is not synced again either.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&fresh)?;
        file.write_all(head.line().as_bytes())?;
        file.sync_all()?;
        point("audit_head")?;
        std::fs::rename(&fresh, &path)?;
        sync_dir(&self.options.dir)?;
        self.head = Some(head.seq);
        self.head_file = Some((Identity::of(&file)?, head.line().len() as u64));
        Ok(())
    }

    /// Makes the log writable again after a failure, in a new segment if the open one failed.
    pub(crate) fn repair(&mut self, cause: &str) -> io::Result<()> {
        if self.segment_state != SegmentState::Open {
            return self.rotate(cause);
        }
        // The folder may be what is missing.
        self.check(false)?;
        self.write_head()
    }

    /// Truncates what a failure left at the end of the open segment.
    fn truncate_failed(&mut self) -> io::Result<()> {
        match self.segment_state {
            SegmentState::Open | SegmentState::Closed => {}
            SegmentState::WriteFailed => {
                self.segment.truncate(self.end.bytes)?;
                self.sync_file()?;
                self.segment_state = SegmentState::Closed;
            }
            SegmentState::SyncFailed => self.segment.truncate(self.durable.bytes)?,
        }
        Ok(())
    }

    /// Starts the next segment after the last durable line.
    fn rotate(&mut self, cause: &str) -> io::Result<()> {
        point("audit_rotate")?;
        self.truncate_failed()?;
        self.keep_in_place()?;
        let mut args = json!({
            "from": self.file_name(),
            "seq": self.durable.seq,
            "cause": cause,
            // Records that the failed sync may have lost.
            "dropped": self.end.seq - self.durable.seq,
        });
        if let Some(disturbance) = &self.disturbance {
            args["disturbed"] = disturbance.as_str().into();
        }
        let record = self.own(Stage::Rotate, args);
        let mut end = ChainPosition { bytes: 0, ..self.durable.clone() };
        let ts = self.time();
        let (_, line) = self.link(&record, ts, &mut end);
        let path = self.options.dir.join(segment_name(&self.options.run_id, self.number + 1));
        let mut file = OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
        let started =
            write(&mut file, line.as_bytes()).and_then(|()| sync(&file)).and_then(|()| sync_dir(&self.options.dir));
        if let Err(error) = started {
            // The next attempt starts with a new file.
            drop(file);
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        self.segment = OpenSegment::of(path, file, line.into_bytes())?;
        self.disturbance = None;
        self.number += 1;
        self.first_seq = end.seq;
        self.durable = end.clone();
        self.end = end;
        self.segment_state = SegmentState::Open;
        self.write_head()
    }
}
