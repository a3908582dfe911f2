//! File names of a log folder, its listing, and streaming readers for heads and lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// Longest line read, in bytes; every record is far shorter.
pub(crate) const MAX_LINE: u64 = 256 * 1024;

pub(crate) fn segment_name(run_id: &str, number: u32) -> String {
    format!("{run_id}-{number:04}.jsonl")
}

pub(crate) fn head_name(run_id: &str) -> String {
    format!("{run_id}.head")
}

/// Whether a run id is valid: file names must tell runs apart.
pub(crate) fn is_run_id(run_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !run_id.is_empty() && run_id.len() <= 128 && run_id.bytes().all(plain)
}

/// The content of a head file: the last durable line of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) v: u32,
    pub(crate) run_id: String,
    pub(crate) file: String,
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

impl Head {
    pub(crate) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a head holds only strings and numbers");
        line.push('\n');
        line
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let head: Self = serde_json::from_slice(bytes).map_err(|why| format!("the head is not readable: {why}."))?;
        if head.v != super::record::VERSION || head.line().as_bytes() != bytes {
            return Err("the head is not in the canonical form of the log.".into());
        }
        Ok(head)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RunFiles {
    /// File names by segment number.
    pub(crate) segments: BTreeMap<u32, String>,
    pub(crate) head: bool,
    pub(crate) torn: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) runs: BTreeMap<String, RunFiles>,
    pub(crate) unknown_files: Vec<String>,
}

fn segment_of(name: &str) -> Option<(&str, u32)> {
    let (run_id, number) = name.strip_suffix(".jsonl")?.rsplit_once('-')?;
    let number = number.parse().ok()?;
    (number > 0 && is_run_id(run_id) && segment_name(run_id, number) == name).then_some((run_id, number))
}

/// Lists a log folder; a missing folder is empty.
pub(crate) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type()?.is_file();
        if let Some((run_id, number)) = segment_of(&name).filter(|_| is_file) {
            listing.runs.entry(run_id.to_owned()).or_default().segments.insert(number, name);
        } else if let Some(run_id) = name.strip_suffix(".head").filter(|run_id| is_file && is_run_id(run_id)) {
            listing.runs.entry(run_id.to_owned()).or_default().head = true;
        } else if let Some((run_id, _)) = name.strip_suffix(".torn").and_then(segment_of).filter(|_| is_file) {
            let run_id = run_id.to_owned();
            listing.runs.entry(run_id).or_default().torn.push(name);
        } else if !name.strip_suffix(".head.tmp").or(name.strip_suffix(".part")).is_some_and(is_run_id) {
            // What a crash leaves of a head that was being replaced, and of a segment that was written again.
            listing.unknown_files.push(name);
        }
    }
    listing.unknown_files.sort();
    Ok(listing)
}

pub(crate) fn run_files(dir: &Path, run_id: &str) -> io::Result<RunFiles> {
    Ok(list(dir)?.runs.remove(run_id).unwrap_or_default())
}

/// One line of a segment, including its newline if it has one.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Iterator over the lines of a segment. A line longer than any record comes in pieces, none of which is a valid record.
pub(crate) struct Lines<R = File> {
    reader: BufReader<R>,
    number: u64,
    offset: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(townlet_files::open(path).map_err(|error| named(path, &error))?))
    }
}

impl<R: Read> Lines<R> {
    fn of(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, reader), number: 0, offset: 0 }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        match (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(read) => {
                let line = Line { number: self.number + 1, offset: self.offset, bytes };
                self.number += 1;
                self.offset += read as u64;
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Calls `visit` with the file name, line number and record (or why it is invalid) of every line in `dir`, run by run in
/// the order written. Stops at an error that `visit` returns.
pub fn records(
    dir: &Path,
    mut visit: impl FnMut(&str, u64, Result<Record, String>) -> io::Result<()>,
) -> io::Result<()> {
    for files in list(dir)?.runs.values() {
        for name in files.segments.values() {
            for line in Lines::open(&dir.join(name))? {
                let line = line?;
                visit(name, line.number, Record::parse(&line.bytes))?;
            }
        }
    }
    Ok(())
}

/// Calls `visit` with the file name, line number, length in bytes and record (or why it is invalid) of every line of a run, in
/// the order written. Stops at an error that `visit` returns.
pub fn run_records(
    dir: &Path,
    run_id: &str,
    mut visit: impl FnMut(&str, u64, usize, Result<Record, String>) -> io::Result<()>,
) -> io::Result<()> {
    for name in run_files(dir, run_id)?.segments.values() {
        for line in Lines::open(&dir.join(name))? {
            let line = line?;
            visit(name, line.number, line.bytes.len(), Record::parse(&line.bytes))?;
        }
    }
    Ok(())
}

/// As [`run_records`], for the content of one file of a log, such as one in an archive.
pub fn file_records(content: impl Read, mut visit: impl FnMut(Result<Record, String>)) -> io::Result<()> {
    for line in Lines::of(content) {
        visit(Record::parse(&line?.bytes));
    }
    Ok(())
}

/// The run of which a file with this name holds a segment of the log.
pub fn run_of_file(name: &str) -> Option<&str> {
    segment_of(name).map(|(run_id, _)| run_id)
}

/// Adds the file's name to an error.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// The bytes of a file; `None` if it does not exist.
pub(crate) fn bytes_of(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match townlet_files::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, &error)),
    }
}
