//! The journal, which replays a run: seed, configuration texts, applied commands, chosen options, and a digest every 100 ticks.
//!
//! A journal is a sequence of segment files. Each begins with a [`Header`], which holds the town at that moment and says how
//! the segment before it ended, so that a segment can be read by itself and a missing or swapped one is found. `segments` reads
//! the files of a run as one journal, `writer` writes them, `retention` removes the oldest.
//!
//! A file is a sequence of frames: body length (u32), CRC-32 of the body (u32), body (postcard). It holds no wall-clock times.
//! After a crash a torn last frame of the last segment is cut off. Rule: "Journal".

mod open_segment;
mod retention;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use retention::Retention;
pub use segments::Segments;
pub use writer::Journal;
pub(super) use writer::NewSegment;

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use townlet_bounded::BoundedError;
use townlet_town::{Command, Sources};

/// Version of the file format.
pub const VERSION: u32 = 2;
/// Ticks between two digests.
pub const DIGEST_TICKS: u64 = 100;
/// Largest body read; a longer one is damage.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Largest segment read: a header and `journal.segment_bytes` of entries, with room for those of a slow disk.
const MAX_SEGMENT: usize = 2 * MAX_BODY;
/// Most bytes of memory that the fields of a frame take beyond twice its length.
const MAX_FRAME_MEMORY: usize = 16 * 1024 * 1024;
/// Entries between two whose place is kept in memory.
const MARK_ENTRIES: usize = 64;
/// Bytes checked at most in the search for whole entries behind a damaged one, so that reading is linear in the size.
const MAX_SEARCH: usize = 4 * MAX_BODY;

/// What an operator can do about a file that cannot be used.
const REPAIR_HINT: &str =
    "put back a copy of the file, or move it away to resume from the newest snapshot and the audit log";

/// The state at the start of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// A new town of this seed.
    Seed(u64),
    /// A saved town.
    Snapshot(Vec<u8>),
}

/// How the segment before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreviousEnd {
    /// There is none before it.
    First,
    /// It was complete, with so many bytes.
    Complete {
        /// Its length in bytes.
        bytes: u64,
        /// CRC-32 of all its bytes.
        checksum: u32,
    },
    /// It is missing, or its end could not be written, so entries may be missing.
    Unknown,
}

/// The place of a segment in the journal of its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPlace {
    /// Its number, from 1.
    pub sequence: u64,
    /// Number of the oldest segment that was kept when this one began. Retention has removed those before.
    pub oldest: u64,
    /// Its first tick.
    pub tick: u64,
    /// How the segment before it ended.
    pub previous: PreviousEnd,
    /// The last command of an operator before it.
    pub last_command: Option<CommandId>,
}

impl SegmentPlace {
    /// The place of the first segment of a run.
    pub const FIRST: Self = Self { sequence: 1, oldest: 1, tick: 0, previous: PreviousEnd::First, last_command: None };
}

/// What finds a command after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandId {
    /// The issuer.
    pub issuer: String,
    /// The id, unique for one issuer.
    pub cmd_id: String,
    /// The tick before which it was applied.
    pub tick: u64,
}

/// First frame of every segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format version. It stays the first field in all versions.
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// The shard's name.
    pub shard: String,
    /// The segment's place in the run.
    pub place: SegmentPlace,
    /// The texts in force at the start of the segment.
    pub sources: Sources,
    /// The policy at the start of the segment.
    pub policy: String,
    /// The state at the start of the segment.
    pub base: Base,
}

/// A frame after the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Ticks `from..to` with the options chosen in them, in the order the town asked for them.
    Ticks {
        /// First tick.
        from: u64,
        /// End of the range, exclusive.
        to: u64,
        /// Numbers of [`townlet_town::OptionKind`]s.
        options: Vec<u8>,
        /// Digest after the last tick, if `to` is a multiple of [`DIGEST_TICKS`].
        digest: Option<String>,
    },
    /// A command applied before tick `tick`.
    Command {
        /// Number of commands applied before it.
        index: u64,
        /// The next tick to run.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer.
        issuer: String,
        /// The command.
        command: Command,
    },
    /// A change of policy, effective from tick `tick`. Replay does not need it, because the journal holds the options.
    Policy {
        /// The first tick of the new policy.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer; `town` for an automatic change.
        issuer: String,
        /// The old policy.
        from: String,
        /// The new policy.
        to: String,
    },
    /// A configuration reload before tick `tick`. It counts as a command.
    Reload {
        /// Number of commands applied before it.
        index: u64,
        /// The next tick to run.
        tick: u64,
        /// Finds the command after a crash.
        cmd_id: String,
        /// The issuer.
        issuer: String,
        /// The complete new texts.
        sources: Box<Sources>,
    },
}

impl Entry {
    /// Checks the numbers that the entry states, before anything is replayed. The error is a clause that follows the file's name.
    pub fn check(&self) -> Result<(), String> {
        let Self::Ticks { from, to, .. } = self else { return Ok(()) };
        if to.checked_sub(*from).is_none_or(|ticks| !(1..=DIGEST_TICKS).contains(&ticks)) {
            return Err(format!("it states ticks {from} to {to} in one entry; an entry has 1 to {DIGEST_TICKS}"));
        }
        Ok(())
    }

    /// The operator's command that this entry holds, if any.
    pub fn command_id(&self) -> Option<CommandId> {
        match self {
            Self::Command { tick, cmd_id, issuer, .. }
            | Self::Policy { tick, cmd_id, issuer, .. }
            | Self::Reload { tick, cmd_id, issuer, .. }
                if issuer != super::promotion::TOWN =>
            {
                Some(CommandId { issuer: issuer.clone(), cmd_id: cmd_id.clone(), tick: *tick })
            }
            _ => None,
        }
    }
}

/// Why a journal cannot be used: its path, and the system's error or what is invalid.
#[derive(Debug, Error)]
#[error("{path}: {why}")]
pub struct JournalError {
    path: String,
    why: String,
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> JournalError {
    JournalError { path: path.display().to_string(), why: why.to_string() }
}

pub(super) fn frame<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).expect("journal entries are plain data");
    let mut bytes = Vec::with_capacity(body.len() + 8);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// The valid part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// Number of the segment.
    pub sequence: u64,
    /// As [`SegmentPlace::oldest`].
    pub oldest: u64,
    /// Length of its header in bytes.
    pub header: u64,
    /// Length in bytes up to the end of the last valid frame.
    pub bytes: u64,
    /// CRC-32 of those bytes.
    pub checksum: u32,
}

impl SegmentEnd {
    /// The end of a segment without entries, whose header has these bytes.
    fn of_header(place: &SegmentPlace, header: &[u8]) -> Self {
        let (bytes, checksum) = (header.len() as u64, crc32fast::hash(header));
        Self { sequence: place.sequence, oldest: place.oldest, header: bytes, bytes, checksum }
    }

    /// The end after these further bytes.
    fn and(self, more: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial_len(self.checksum, self.bytes);
        hasher.update(more);
        Self { bytes: self.bytes + more.len() as u64, checksum: hasher.finalize(), ..self }
    }
}

/// The content of a segment.
pub struct Contents {
    /// The first frame.
    pub header: Header,
    /// The frames after it.
    pub entries: Entries,
    /// Where the last valid frame ends.
    pub end: SegmentEnd,
    /// Bytes after it: an incomplete frame that a crash left.
    pub torn: u64,
}

impl Contents {
    /// The configuration texts in force at the end of the segment.
    pub fn sources(&self) -> Sources {
        self.sources_at(usize::MAX)
    }

    /// The configuration texts in force before the entry that begins at this byte of the file.
    pub(crate) fn sources_at(&self, byte: usize) -> Sources {
        let before = self.entries.reloads.partition_point(|reload| *reload < byte);
        let reload = self.entries.reloads[..before].last().and_then(|reload| self.entries.at(*reload));
        match reload {
            Some((Entry::Reload { sources, .. }, _)) => *sources,
            _ => self.header.sources.clone(),
        }
    }

    /// The tick at the end of the segment.
    pub const fn last_tick(&self) -> u64 {
        self.entries.last_tick
    }
}

/// The valid entries of a segment. They are decoded when they are read, because an entry can take many times the memory of its
/// bytes in the file.
#[derive(Clone)]
pub struct Entries {
    bytes: Arc<Vec<u8>>,
    /// Where the first frame begins and the last one ends.
    range: Range<usize>,
    count: usize,
    /// Where every [`MARK_ENTRIES`]th entry begins, and the tick before it.
    marks: Arc<Vec<(u64, usize)>>,
    /// Where the reloads begin.
    reloads: Arc<Vec<usize>>,
    last_tick: u64,
}

impl Entries {
    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the first entry begins in the file.
    pub const fn begin(&self) -> usize {
        self.range.start
    }

    /// The entry that begins at byte `at` of the file, and where the next one begins; `None` at the end.
    pub fn at(&self, mut at: usize) -> Option<(Entry, usize)> {
        let entry = next(&self.bytes[..self.range.end], &mut at)?;
        Some((entry, at))
    }

    /// The digest that the journal has of the town at `tick`, and the byte at which the entry after those ticks begins; `None`
    /// if no entry ends at that tick.
    pub(crate) fn digest_at(&self, tick: u64) -> Option<(Option<String>, usize)> {
        let mark = self.marks.partition_point(|(before, _)| *before < tick);
        let mut at = self.marks[..mark].last()?.1;
        loop {
            let (entry, after) = self.at(at)?;
            match entry {
                Entry::Ticks { to, digest, .. } if to == tick => return Some((digest, after)),
                Entry::Ticks { to, .. } if to > tick => return None,
                _ => at = after,
            }
        }
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        let mut at = self.range.start;
        std::iter::from_fn(move || {
            let (entry, end) = self.at(at)?;
            at = end;
            Some(entry)
        })
    }
}

/// Reads a segment up to a torn last frame. Fails if the header is invalid, or if a valid frame follows an invalid one.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let mut bytes = Vec::new();
    townlet_files::open(path)
        .and_then(|file| file.take(MAX_SEGMENT as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(path, &error))?;
    parse(path, Arc::new(bytes))
}

/// As [`read`], from the bytes of a file.
fn parse(path: &Path, file: Arc<Vec<u8>>) -> Result<Contents, JournalError> {
    let bytes = file.as_slice();
    let mut at = 0;
    let header = header(path, next_body(bytes, &mut at))?;
    if bytes.len() > MAX_SEGMENT {
        return Err(failed(path, &format!("it is larger than a segment of a journal may be ({MAX_SEGMENT} bytes)")));
    }
    let mut end = SegmentEnd::of_header(&header.place, &bytes[..at]);
    let (first, mut count, mut last_tick) = (at, 0, header.place.tick);
    let (mut marks, mut reloads) = (Vec::new(), Vec::new());
    loop {
        let begin = at;
        let Some(entry) = next::<Entry>(bytes, &mut at) else { break };
        entry.check().map_err(|why| failed(path, &format!("the entry at byte {begin} is invalid: {why}")))?;
        if count % MARK_ENTRIES == 0 {
            marks.push((last_tick, begin));
        }
        match entry {
            Entry::Ticks { to, .. } => last_tick = to,
            Entry::Reload { .. } => reloads.push(begin),
            Entry::Command { .. } | Entry::Policy { .. } => {}
        }
        count += 1;
    }
    if let Some(behind) = damage_after(bytes, at) {
        return Err(failed(path, &format!("it is damaged at byte {at}, {behind}; nothing was cut off; {REPAIR_HINT}")));
    }
    end = end.and(&bytes[end.bytes as usize..at]);
    let torn = (bytes.len() - at) as u64;
    let (marks, reloads) = (Arc::new(marks), Arc::new(reloads));
    let entries = Entries { bytes: file, range: first..at, count, marks, reloads, last_tick };
    Ok(Contents { header, entries, end, torn })
}

/// The header in the body of a first frame.
fn header(path: &Path, body: Option<&[u8]>) -> Result<Header, JournalError> {
    let none = || failed(path, &format!("it does not begin with an intact journal header; {REPAIR_HINT}"));
    let body = body.ok_or_else(none)?;
    let (version, _) = postcard::take_from_bytes::<u32>(body).map_err(|_| none())?;
    if version != VERSION {
        let what = format!(
            "it is version {version} of the journal; this program reads version {VERSION}. Resume or replay the run with \
             the version of the program that wrote it, or start a new run without `--resume`"
        );
        return Err(failed(path, &what));
    }
    decode(body).map_err(|error| match error {
        BoundedError::TooLarge { .. } => failed(path, &format!("the header is invalid: {error}")),
        BoundedError::Invalid(_) => none(),
    })
}

/// The value in a body, within a memory bound.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BoundedError<postcard::Error>> {
    townlet_bounded::deserialize(&mut postcard::Deserializer::from_bytes(body), body.len() * 2 + MAX_FRAME_MEMORY)
}

/// Streams a segment's entries, whatever their number. Ends at the first invalid frame.
pub(super) struct FrameReader {
    reader: BufReader<File>,
    pub(super) header: Header,
}

impl FrameReader {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let mut reader = BufReader::new(townlet_files::open(path).map_err(|error| failed(path, &error))?);
        let bytes = read_frame(&mut reader).unwrap_or_default();
        let header = header(path, next_body(&bytes, &mut 0))?;
        Ok(Self { reader, header })
    }

    /// The header with the configuration texts in force at the end of the file, and whether the end was reached before `deadline`.
    pub(super) fn header_at_end(self, deadline: Instant) -> (Header, bool) {
        let mut header = self.header.clone();
        for entry in self {
            if let Entry::Reload { sources, .. } = entry {
                header.sources = *sources;
            }
            if Instant::now() > deadline {
                return (header, false);
            }
        }
        (header, true)
    }
}

impl Iterator for FrameReader {
    type Item = Entry;

    fn next(&mut self) -> Option<Self::Item> {
        next(&read_frame(&mut self.reader)?, &mut 0)
    }
}

fn read_frame(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8];
    reader.read_exact(&mut bytes).ok()?;
    let length = u64::from(u32::from_le_bytes(bytes[..4].try_into().ok()?));
    // The buffer grows with the data read, so a damaged length does not allocate memory.
    let read = reader.take(length.min(MAX_BODY as u64)).read_to_end(&mut bytes).ok()?;
    (read as u64 == length).then_some(bytes)
}

/// What shows that an invalid frame was damaged and not torn by a crash: a valid entry after it.
fn damage_after(bytes: &[u8], bad: usize) -> Option<String> {
    let mut left = MAX_SEARCH;
    for at in bad + 1..bytes.len() {
        if next::<Entry>(bytes, &mut { at }).is_some() {
            return Some(format!("with whole entries behind it from byte {at}"));
        }
        let length = bytes.get(at..at + 4).map_or(0, |head| u32::from_le_bytes(head.try_into().unwrap_or_default()));
        let checked = if (length as usize) < bytes.len() - at { length as usize } else { 0 };
        match left.checked_sub(checked + 1) {
            Some(rest) => left = rest,
            None => return Some(format!("and the {} bytes behind it are no torn entry", bytes.len() - bad)),
        }
    }
    None
}

/// The body of bytes that are one valid frame.
pub(super) fn only_body(bytes: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    next_body(bytes, &mut end).filter(|_| end == bytes.len())
}

/// The body of the frame at `at`, if it is valid.
fn next_body<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let head = bytes.get(*at..*at + 8)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(head[4..].try_into().ok()?);
    let body = bytes.get(*at + 8..(*at + 8).checked_add(length)?)?;
    if length > MAX_BODY || crc32fast::hash(body) != crc {
        return None;
    }
    *at += 8 + length;
    Some(body)
}

fn next<T: DeserializeOwned>(bytes: &[u8], at: &mut usize) -> Option<T> {
    let mut end = *at;
    let value = decode(next_body(bytes, &mut end)?).ok()?;
    *at = end;
    Some(value)
}
