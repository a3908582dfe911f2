//! The chain on disk: the open segment, its last durable line, the head beside it, and the change to a further segment.
//!
//! Owns every write of the log. Must not know queues, threads or who waits. After a failed write or fsync the chain goes on
//! in a further segment. A failed write costs what it left torn, which was acknowledged to nobody; the whole lines before
//! it are synced and stay. After a failed fsync the segment is never synced again, because a second fsync may call lost
//! data saved: what it holds beyond the last durable line is cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::log_files::{Head, head_name, segment_name};
use super::record::{Entry, GENESIS, Link, Record, Stage, VERSION};
use super::verify::ChainEnd;
use super::writer::Clock;

/// A named place where a test makes the disk fail (`return`) or the process die (`return(abort)`).
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

/// Makes names created, replaced or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    point("audit_write")?;
    // Half of it is written, and then the disk fails or the process dies.
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

/// A line of the open segment: its number, its hash, and the segment's size up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainPosition {
    pub(crate) seq: u64,
    pub(crate) hash: String,
    bytes: u64,
}

/// Where and as what a chain is written.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) run_id: String,
    pub(crate) shard: String,
    /// A segment of this size is followed by another, in bytes.
    pub(crate) segment_bytes: u64,
    pub(crate) clock: Clock,
}

/// How the open segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SegmentState {
    /// It is written and synced.
    Open,
    /// Done with: all it holds is durable, and a further one follows.
    Closed,
    /// A write failed: what follows its last whole line is torn.
    WriteFailed,
    /// A sync failed: nobody knows what it holds beyond its last durable line.
    SyncFailed,
}

/// The open chain of one run.
pub(crate) struct Chain {
    home: Home,
    /// Held for as long as the chain is open: the run's lock is on its first segment.
    _lock: File,
    file: File,
    number: u32,
    end: ChainPosition,
    durable: ChainPosition,
    /// Number of the open segment's `rotate` line; 0 in the first. A segment is never left with nothing else in it.
    first_seq: u64,
    /// The number the head on disk names; `None` before it is known to.
    head: Option<u64>,
    segment_state: SegmentState,
    /// `config_id` and tick of the last entry, for records of the log's own.
    last: (String, u64),
}

impl Chain {
    /// Goes on after `end`, which recovery has read; makes all of it durable first.
    pub(crate) fn open(home: Home, lock: File, end: Option<ChainEnd>, last: (String, u64)) -> io::Result<Self> {
        let end = end.unwrap_or(ChainEnd { segment: 1, bytes: 0, lines: 0, seq: 0, hash: GENESIS.to_owned() });
        let path = home.dir.join(segment_name(&home.run_id, end.segment));
        let file = OpenOptions::new().append(true).open(path)?;
        sync(&file)?;
        sync_dir(&home.dir)?;
        let mark = ChainPosition { seq: end.seq, hash: end.hash, bytes: end.bytes };
        let (durable, number) = (mark.clone(), end.segment);
        let first_seq = if number == 1 { 0 } else { durable.seq + 1 - end.lines };
        let (head, segment_state) = (None, SegmentState::Open);
        let mut chain = Self { home, _lock: lock, file, number, end: mark, durable, first_seq, head, segment_state, last };
        chain.write_head()?;
        Ok(chain)
    }

    /// The open segment's name.
    pub(crate) fn file_name(&self) -> String {
        segment_name(&self.home.run_id, self.number)
    }

    /// The last written line.
    pub(crate) fn end(&self) -> &ChainPosition {
        &self.end
    }

    /// The last line that a failure leaves.
    pub(crate) fn kept(&self) -> &ChainPosition {
        if self.segment_state == SegmentState::SyncFailed { &self.durable } else { &self.end }
    }

    /// Whether every line is durable.
    pub(crate) fn is_synced(&self) -> bool {
        self.durable == self.end
    }

    /// Whether the head on disk names an earlier line than the last durable one.
    pub(crate) fn is_head_stale(&self) -> bool {
        self.head != Some(self.durable.seq)
    }

    /// Writes the entries behind each other into one segment, a further one when the open one is full. Not yet durable.
    pub(crate) fn append<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> io::Result<Vec<Record>> {
        if self.end.bytes >= self.home.segment_bytes && self.end.seq > self.first_seq {
            self.sync()?;
            // If the further segment cannot be first_seq, mending tries that again.
            self.segment_state = SegmentState::Closed;
            self.rotate("size")?;
        }
        let mut lines = String::new();
        let mut records = Vec::new();
        let mut end = self.end.clone();
        for entry in entries {
            let (record, line) = self.link(entry, &mut end);
            lines.push_str(&line);
            records.push(record);
            self.last = (entry.config_id.clone(), entry.tick);
        }
        let written = write(&mut self.file, lines.as_bytes());
        if written.is_err() {
            self.segment_state = SegmentState::WriteFailed;
        }
        written?;
        self.end = end;
        Ok(records)
    }

    /// The entry as the line after `end`, and `end` moved behind it.
    fn link(&self, entry: &Entry, end: &mut ChainPosition) -> (Record, String) {
        let link = Link {
            seq: end.seq + 1,
            ts: format!("{:.3}", (self.home.clock)()),
            shard: &self.home.shard,
            run_id: &self.home.run_id,
            prev: &end.hash,
        };
        let record = Record::new(entry, link);
        let line = record.line();
        *end = ChainPosition { seq: record.seq, hash: record.hash.clone(), bytes: end.bytes + line.len() as u64 };
        (record, line)
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.segment_state != SegmentState::Open {
            return Err(io::Error::other("the segment has failed and is not synced again"));
        }
        if self.is_synced() { Ok(()) } else { self.sync_file() }
    }

    fn sync_file(&mut self) -> io::Result<()> {
        let synced = sync(&self.file);
        if synced.is_err() {
            self.segment_state = SegmentState::SyncFailed;
        }
        synced?;
        self.durable = self.end.clone();
        Ok(())
    }

    /// Replaces the head by one that names the last durable line.
    pub(crate) fn write_head(&mut self) -> io::Result<()> {
        let head = Head {
            v: VERSION,
            run_id: self.home.run_id.clone(),
            file: self.file_name(),
            seq: self.durable.seq,
            hash: self.durable.hash.clone(),
        };
        let path = self.home.dir.join(head_name(&self.home.run_id));
        let fresh = path.with_extension("head.tmp");
        // What is left of a failed attempt is not synced again either.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&fresh)?;
        file.write_all(head.line().as_bytes())?;
        file.sync_all()?;
        point("audit_head")?;
        std::fs::rename(&fresh, &path)?;
        sync_dir(&self.home.dir)?;
        self.head = Some(head.seq);
        Ok(())
    }

    /// Makes the log writable again after a failure: in a further segment when the open one failed, and with a head.
    pub(crate) fn repair(&mut self, cause: &str) -> io::Result<()> {
        if self.segment_state == SegmentState::Open { self.write_head() } else { self.rotate(cause) }
    }

    /// Cuts off what a failure left at the end of the open segment.
    fn cut(&mut self) -> io::Result<()> {
        match self.segment_state {
            SegmentState::Open | SegmentState::Closed => {}
            SegmentState::WriteFailed => {
                self.file.set_len(self.end.bytes)?;
                self.sync_file()?;
                self.segment_state = SegmentState::Closed;
            }
            SegmentState::SyncFailed => self.file.set_len(self.durable.bytes)?,
        }
        Ok(())
    }

    /// Goes on in a further segment from the last durable line.
    fn rotate(&mut self, cause: &str) -> io::Result<()> {
        point("audit_rotate")?;
        self.cut()?;
        let entry = Entry::own(
            Stage::Rotate,
            &self.last.0,
            self.last.1,
            json!({
                "from": self.file_name(),
                "seq": self.durable.seq,
                "cause": cause,
                // Records that a failed sync may have lost.
                "dropped": self.end.seq - self.durable.seq,
            }),
        );
        let mut end = ChainPosition { bytes: 0, ..self.durable.clone() };
        let (_, line) = self.link(&entry, &mut end);
        let path = self.home.dir.join(segment_name(&self.home.run_id, self.number + 1));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let first_seq =
            write(&mut file, line.as_bytes()).and_then(|()| sync(&file)).and_then(|()| sync_dir(&self.home.dir));
        if let Err(error) = first_seq {
            // Nothing stands in it yet; the next attempt begins with a new file.
            drop(file);
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        self.file = file;
        self.number += 1;
        self.first_seq = end.seq;
        self.durable = end.clone();
        self.end = end;
        self.segment_state = SegmentState::Open;
        self.write_head()
    }
}
